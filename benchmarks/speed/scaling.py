"""How time and memory grow with paths, series and horizon, and where the ends are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.speed.engines import OurEngine
from benchmarks.speed.process import Summary, summarize, take_turns
from benchmarks.speed.workload import Workload


@dataclass(frozen=True, slots=True)
class Row:
    """One measured forecast of the scaling table.

    Attributes:
        varied: What differs from the other rows of its group.
        workload: What was forecast.
        summary: What was measured.
    """

    varied: str
    workload: Workload
    summary: Summary


def groups(base: Workload) -> dict[str, list[Workload]]:
    """Workloads that differ in one count, by its name."""
    return {
        "paths": [replace(base, paths=base.paths * n) for n in (1, 2, 4)],
        "series": [replace(base, n_series=n) for n in (1, 2, 4)],
        "horizon": [
            replace(base, horizon=n) for n in (base.horizon // 2, base.horizon, 2 * base.horizon)
        ],
    }


def ends(base: Workload, quick: bool) -> dict[str, Workload]:
    """The largest workloads, by what they have much of; a few of each for a quick trial."""
    return {
        "many paths": replace(base, paths=60 if quick else 1000),
        "many series": replace(base, n_series=8 if quick else 200),
    }


def measure(base: Workload, repetitions: int, quick: bool) -> list[Row]:
    """Times every group in rounds, then each end alone and once."""
    rows = []
    for varied, workloads in groups(base).items():
        rows += _rows(varied, workloads, repetitions, warm_ups=1)
    for varied, workload in ends(base, quick).items():
        # A first call differs on a GPU alone, where it records the graphs.
        rows += _rows(varied, [workload], 1, warm_ups=int(base.device == "cuda"))
    return rows


def _rows(varied: str, workloads: list[Workload], repetitions: int, warm_ups: int) -> list[Row]:
    names = [str(i) for i in range(len(workloads))]
    measured = take_turns(
        {name: (OurEngine, workload) for name, workload in zip(names, workloads, strict=True)},
        dict.fromkeys(names, repetitions),
        dict.fromkeys(names, warm_ups),
    )
    return [
        Row(varied, workload, summarize(*measured[name]))
        for name, workload in zip(names, workloads, strict=True)
    ]
