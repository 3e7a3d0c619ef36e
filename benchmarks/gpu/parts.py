"""The parts of a run: what each needs, and what there is to be found. Needs no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from benchmarks.gpu.results import Work


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a run.

    Attributes:
        name: On the command line and in the results.
        title: What it shows.
        does: Function that looks for its units, as "module:function".
        weight: Its share of the minutes, relative to those of the others.
        least: Seconds below which it is not begun on a GPU: a process that imports torch and
            opens the device takes most of them.
    """

    name: str
    title: str
    does: str
    weight: float
    least: float

    def run(self, work: Work) -> None:
        """Looks for the part's units."""
        module, _, function = self.does.partition(":")
        getattr(importlib.import_module(f"benchmarks.gpu.{module}"), function)(work)


PARTS = (
    Part("golden", "the published code's outputs on a tiny checkpoint", "golden:check", 4, 20),
    Part("decoders", "every decoder against the plain network", "draws:check_decoders", 8, 25),
    Part("graphs", "captured graphs against single operations", "draws:check_graphs", 6, 25),
    Part("bfloat16", "quantiles in bfloat16 against float32", "quantiles:check", 6, 30),
    Part("speed", "time and memory of forecasts", "speed:measure", 20, 45),
    Part("lora", "memory and time of LoRA", "training:measure_lora", 8, 40),
    Part("training", "training of the bundled model", "training:train", 14, 60),
)
"""In their order. What a part does not use, those after it may."""
DRY_LEAST = 5.0
"""Seconds below which no part is begun in the dry form."""
