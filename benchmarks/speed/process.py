"""A process of its own for every engine, and the rounds in which they take turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Protocol, Self

from benchmarks.speed.engines import Run
from benchmarks.speed.memory import MemoryGrowth


class Engine(Protocol):
    """Something that can be timed again and again, and knows how its memory grew."""

    memory: MemoryGrowth

    def run(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Summary:
    """What was measured of one engine.

    Attributes:
        step: Median seconds per step.
        step_range: Fastest and slowest.
        first: Median seconds to the end of the first step.
        total: Median seconds of the whole horizon.
        total_range: Fastest and slowest.
        cold: Total of the very first call, or None where it was not timed on its own.
        peak: Bytes memory grew beyond the loaded weights.
        repetitions: Forecasts measured.
    """

    step: float
    step_range: tuple[float, float]
    first: float
    total: float
    total_range: tuple[float, float]
    cold: float | None
    peak: int
    repetitions: int


class EngineProcess:
    """An engine in a fresh process, so that no other one's memory counts as its own."""

    def __init__(self, make: Callable[..., Engine], *args: Any) -> None:
        """Begins loading `make(*args)`."""
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._loaded: Future[None] = self._pool.submit(_load, make, args)
        self.peak = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def wait(self) -> None:
        """Returns when the engine is loaded; raises what loading it raised."""
        self._loaded.result()

    def run(self) -> Any:
        """What `Engine.run` returns."""
        result, self.peak = self._pool.submit(_run).result()
        return result


# What an engine's process holds between calls.
_engines: list[Engine] = []


def _load(make: Callable[..., Engine], args: tuple[Any, ...]) -> None:
    _engines.append(make(*args))


def _run() -> tuple[Any, int]:
    (engine,) = _engines
    return engine.run(), engine.memory.peak()


def take_turns(
    engines: Mapping[str, tuple[Any, ...]],
    repetitions: Mapping[str, int],
    warm_ups: Mapping[str, int],
) -> dict[str, tuple[list[Any], list[Any], int]]:
    """Runs engines in rounds, one at a time, so that a slow spell of the machine hits them all.

    Args:
        engines: For each name the class and its arguments: first a `Workload`.
        repetitions: Measured runs of each.
        warm_ups: Runs of each before them.

    Returns:
        For each name the warm-up runs, the measured runs, and the bytes memory grew.
    """
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(EngineProcess(*made)) for name, made in engines.items()
        }
        for process in processes.values():
            process.wait()
        warm: dict[str, list[Any]] = {name: [] for name in processes}
        runs: dict[str, list[Any]] = {name: [] for name in processes}
        for name, process in processes.items():
            warm[name] += [process.run() for _ in range(warm_ups[name])]
        for turn in range(max(repetitions.values())):
            for name, process in processes.items():
                if turn < repetitions[name]:
                    runs[name].append(process.run())
        return {name: (warm[name], runs[name], p.peak) for name, p in processes.items()}


def summarize(warm: list[Run], runs: list[Run], peak: int) -> Summary:
    """Medians and ranges of an engine's runs."""
    steps = [step for run in runs for step in run.steps]
    totals = [run.total for run in runs]
    return Summary(
        step=statistics.median(steps),
        step_range=(min(steps), max(steps)),
        first=statistics.median(run.first for run in runs),
        total=statistics.median(totals),
        total_range=(min(totals), max(totals)),
        cold=warm[0].total if warm else None,
        peak=peak,
        repetitions=len(runs),
    )
