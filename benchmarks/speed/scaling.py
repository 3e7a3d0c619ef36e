"""How time and memory grow with paths, series and horizon, and where the ends are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.speed.engines import OneByOneEngine, OurEngine
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


@dataclass(frozen=True, slots=True)
class Throughput:
    """Many series in one call, and one after the other.

    Attributes:
        together: All in one call.
        one_by_one: Seconds of as many series, one half before that call and one behind it, so
            that a machine that grows slower or faster meanwhile is no advantage to either.
    """

    together: Row
    one_by_one: float


def groups(base: Workload) -> dict[str, list[Workload]]:
    """Workloads that differ in one count, by its name."""
    return {
        "paths": [replace(base, paths=base.paths * n) for n in (1, 2, 4)],
        "series": [replace(base, n_series=n) for n in (1, 2, 4)],
        "horizon": [
            replace(base, horizon=n) for n in (base.horizon // 2, base.horizon, 2 * base.horizon)
        ],
    }


def measure(base: Workload, repetitions: int, quick: bool) -> tuple[list[Row], Throughput]:
    """Times every group in rounds, then each end, a few of it for a quick trial."""
    rows = []
    for varied, workloads in groups(base).items():
        rows += _rows(varied, workloads, repetitions, warm_ups=1)
    # A first call differs on a GPU alone, where it records the graphs.
    warm_ups = int(base.device == "cuda")
    many_paths = replace(base, paths=60 if quick else 1000)
    rows += _rows("many paths", [many_paths], 1, warm_ups)
    throughput = _throughput(replace(base, n_series=8 if quick else 200), warm_ups)
    return [*rows, throughput.together], throughput


def _throughput(many: Workload, warm_ups: int) -> Throughput:
    half = replace(many, n_series=many.n_series // 2)
    measured = take_turns(
        {"one by one": (OneByOneEngine, half), "together": (OurEngine, many)},
        {"one by one": 2, "together": 1},
        {"one by one": warm_ups, "together": warm_ups},
    )
    _, halves, _ = measured["one by one"]
    row = Row("many series", many, summarize(*measured["together"]))
    return Throughput(row, sum(run.total for run in halves))


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
