"""The measurements as Markdown."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.revision import revision
from benchmarks.speed.limits import Rates, StepCost, floor
from benchmarks.speed.process import Summary
from benchmarks.speed.scaling import Row, Throughput
from benchmarks.speed.workload import Workload

OURS, RECOMPUTE, UPSTREAM = "ours", "recompute everything", "upstream"


@dataclass(frozen=True, slots=True)
class SizeResult:
    """Everything measured for one size.

    Attributes:
        workload: What was forecast.
        engines: Measurements by engine, `OURS` among them.
        cost: Operations and bytes of a decode step.
        rates: What the machine reached.
    """

    workload: Workload
    engines: dict[str, Summary]
    cost: StepCost
    rates: Rates


def table(header: Sequence[str], rows: Sequence[Sequence[str]], n_words: int = 1) -> str:
    """A Markdown table: the first `n_words` columns left, numbers right."""
    aligned = ["---" if i < n_words else "---:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, aligned, *rows))


def engine_table(results: Sequence[SizeResult]) -> str:
    """One row for each size and engine."""
    header = (
        "model", "engine", "step (ms)", "range", "first step (s)", "total (s)", "range",
        "first call (s)", "memory (MB)", "step, times ours", "total, times ours",
        "times the floor",
    )  # fmt: skip
    rows = []
    for result in results:
        ours, least = result.engines[OURS], floor(result.cost, result.rates)
        for name, found in result.engines.items():
            rows.append(
                (
                    result.workload.checkpoint.name,
                    name,
                    _ms(found.step),
                    _range(found.step_range, 1e3),
                    _digits(found.first),
                    _digits(found.total),
                    _range(found.total_range),
                    "" if found.cold is None else _digits(found.cold),
                    _digits(found.peak / 1e6),
                    _digits(found.step / ours.step),
                    _digits(found.total / ours.total),
                    _digits(found.step / least),
                )
            )
    return table(header, rows, n_words=2)


def limit_table(results: Sequence[SizeResult]) -> str:
    """The machine's limits for each size."""
    header = (
        "model", "products (GFLOP)", "attention (GFLOP)", "weights (MB)", "cache (MB)",
        "GEMM (GFLOP/s)", "GEMM cold (GFLOP/s)", "bandwidth (GB/s)", "bandwidth cold (GB/s)",
        "floor (ms)", "without attention (ms)",
    )  # fmt: skip
    rows = []
    for result in results:
        cost, rates = result.cost, result.rates
        bare = StepCost(cost.product_operations, 0.0, cost.weight_bytes, 0.0)
        measured = (
            cost.product_operations / 1e9, cost.attention_operations / 1e9,
            cost.weight_bytes / 1e6, cost.cache_bytes / 1e6,
            rates.own_products / 1e9, rates.cold_products / 1e9,
            rates.own_bandwidth / 1e9, rates.cold_bandwidth / 1e9,
        )  # fmt: skip
        rows.append(
            (
                result.workload.checkpoint.name,
                *map(_digits, measured),
                _ms(floor(cost, rates)),
                _ms(floor(bare, rates)),
            )
        )
    return table(header, rows)


def scaling_table(rows: Sequence[Row]) -> str:
    """Totals as counts grow.

    Growth is against the first row of the same group. A step takes all series one bar on.
    """
    header = (
        "varied", "series", "paths", "horizon", "total (s)", "range", "growth", "step (ms)",
        "series/s", "memory (MB)",
    )  # fmt: skip
    first: dict[str, float] = {}
    lines = []
    for row in rows:
        w, found = row.workload, row.summary
        start = first.setdefault(row.varied, found.total)
        lines.append(
            (
                row.varied,
                str(w.n_series),
                str(w.paths),
                str(w.horizon),
                _digits(found.total),
                _range(found.total_range),
                _digits(found.total / start),
                _ms(found.step),
                _digits(w.n_series / found.total),
                _digits(found.peak / 1e6),
            )
        )
    return table(header, lines)


def throughput(found: Throughput) -> str:
    """Many series in one call against one call each, in words."""
    many, total = found.together.workload, found.together.summary.total
    return (
        f"{many.n_series} series of {many.paths} paths and {many.horizon} steps: "
        f"{_digits(total)} s in one call, {_digits(found.one_by_one)} s one at a time (one half "
        f"before that call, one behind it): {_digits(found.one_by_one / total)} times the "
        "throughput."
    )


def environment(device: str, load_before: float) -> str:
    """One line: processor, cores, threads, torch, revision, date.

    Args:
        device: "cpu" or "cuda".
        load_before: Processes that wanted a core before anything was measured.
    """
    parts = [
        processor(),
        f"{os.cpu_count()} cores",
        f"{torch.get_num_threads()} threads",
        f"load {load_before:.1f} before the run",
        f"torch {torch.__version__}",
        f"revision {revision()}",
        datetime.date.today().isoformat(),
    ]
    if device == "cuda":
        parts.insert(0, torch.cuda.get_device_name())
    return ", ".join(parts)


def processor() -> str:
    """Name of the processor."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _digits(value: float) -> str:
    """Three significant digits without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 0.001 else f"{value:.6f}"


def _ms(seconds: float) -> str:
    return _digits(seconds * 1e3)


def _range(ends: tuple[float, float], unit: float = 1.0) -> str:
    return f"{_digits(ends[0] * unit)}\N{EN DASH}{_digits(ends[1] * unit)}"
