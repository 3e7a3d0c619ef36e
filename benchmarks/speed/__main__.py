"""Times forecasts against the published code and against what the machine allows.

Needs no downloaded weights: a published checkpoint that is not on this machine is replaced by
random weights of its configuration. Every engine runs in a process of its own with the same
weights and the same bars; they take turns.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import report, scaling
from benchmarks.speed.engines import OurEngine, RecomputingEngine, UpstreamEngine
from benchmarks.speed.limits import Limits, Rates, model_config, step_cost
from benchmarks.speed.process import summarize, take_turns
from benchmarks.speed.report import OURS, RECOMPUTE, UPSTREAM, SizeResult
from benchmarks.speed.workload import Workload, prepare
from kronos.errors import KronosError

LIMITS = "limits"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add(
        "--sizes",
        nargs="+",
        default=["mini", "small", "base"],
        metavar="SIZE",
        help="mini, small, base, large, or checkpoint folders (default: mini small base)",
    )
    add("--device", choices=["cpu", "cuda"], default="cpu", help="where to compute (default: cpu)")
    add(
        "--dtype",
        choices=["float32", "bfloat16"],
        default="float32",
        help="type of the weights of our engines; the published code stays as shipped, float32",
    )
    add("--context", type=int, default=400, help="bars read (default: 400)")
    add("--paths", type=int, default=30, help="paths drawn (default: 30)")
    add("--horizon", type=int, default=24, help="steps, at least 2 (default: 24)")
    add("--repetitions", type=int, default=3, help="measured runs of our engine (default: 3)")
    add(
        "--recompute-steps",
        type=int,
        default=2,
        help="steps of the engine without a cache; its total is horizon x time per step "
        "(default: 2)",
    )
    add(
        "--upstream",
        type=Path,
        metavar="CHECKOUT",
        help="time the published code too: a checkout of github.com/shiyu-coder/Kronos whose "
        "requirements can be imported",
    )
    add(
        "--upstream-steps",
        type=int,
        default=3,
        help="steps the published code makes; its total is what surrounds the steps, as measured, "
        "and horizon x time per step (default: 3)",
    )
    add(
        "--scaling",
        action="store_true",
        help="also show how time and memory grow with paths, series and horizon, up to 1,000 "
        "paths and 200 series, with small (or else the first size)",
    )
    add(
        "--quick",
        action="store_true",
        help="one repetition, rough limits, a small --scaling: for a trial",
    )
    add("--out", type=Path, metavar="FILE.md", help="write the report here as well")
    return made


def measure(workload: Workload, options: argparse.Namespace) -> SizeResult:
    """All engines and the limits for one size."""
    engines: dict[str, tuple[Any, ...]] = {
        LIMITS: (Limits, workload, options.quick),
        OURS: (OurEngine, workload),
        RECOMPUTE: (RecomputingEngine, workload, options.recompute_steps),
    }
    if options.upstream:
        engines[UPSTREAM] = (
            UpstreamEngine, workload, options.upstream.resolve(), options.upstream_steps,
        )  # fmt: skip
    # The slow engines repeat only where they are not slow. Their steps count one by one.
    on_gpu = workload.device == "cuda"
    repetitions = dict.fromkeys(engines, options.repetitions if on_gpu else 1)
    repetitions[OURS] = repetitions[LIMITS] = options.repetitions
    warm_ups = dict.fromkeys(engines, int(on_gpu)) | {OURS: 1, LIMITS: 0}
    measured = take_turns(engines, repetitions, warm_ups)
    _, rates, _ = measured.pop(LIMITS)
    cost = step_cost(
        model_config(workload),
        paths=workload.paths,
        context=workload.context,
        horizon=workload.horizon,
        itemsize=getattr(torch, workload.dtype).itemsize,
    )
    # Only ours makes its first call in full; the totals of the others are reckoned from steps.
    summaries = {
        name: summarize(warm if name == OURS else [], runs, peak)
        for name, (warm, runs, peak) in measured.items()
    }
    return SizeResult(workload, summaries, cost, Rates.best(rates))


def notes(results: Sequence[SizeResult], options: argparse.Namespace) -> str:
    """What was measured, and how every number was computed."""
    some = results[0].workload
    lines = [
        *(f"{r.workload.checkpoint.name}: {r.workload.checkpoint.origin}." for r in results),
        f"Context {some.context}, {some.paths} paths, {some.horizon} steps, T = 1, top_p = 0.9, "
        f"{some.dtype} weights on {some.device}.",
        f"{OURS}: medians of {results[0].engines[OURS].repetitions} whole forecasts after a first "
        "call; a step is the time from the first step's end to the last one's, shared evenly.",
        f"{RECOMPUTE}: median of {options.recompute_steps} steps; total = horizon x step, without "
        "tokenizing and decoding.",
    ]
    if options.upstream:
        lines.append(
            f"{UPSTREAM}: float32 as shipped, median of {options.upstream_steps} steps of its own "
            "predict; total = what surrounds the steps, as measured, + horizon x step. Its window "
            "grows at every step, so a whole run takes slightly longer."
        )
    lines += [
        "Memory: growth of the peak beyond the loaded weights, over all runs of a process.",
        "Floor: max(operations / GEMM rate, bytes / bandwidth) of a step in mid-horizon, with the "
        "products of blocks, fusion, dependency layer and heads, attention over context and "
        "generated positions, and weights, keys and values read once. Of the rates with the "
        "step's own weights and with cold ones the better counts. Products an engine looks up "
        "instead (fusion, the dependency layer's query) count all the same.",
    ]
    if sliding := [r.workload.checkpoint.name for r in results if _slides(r.workload)]:
        lines.append(
            f"{', '.join(sliding)}: context and horizon exceed the window, which every engine "
            "reads anew at every step from there on; the floor is that of a step that does not."
        )
    if options.quick:
        lines.insert(0, "A trial (--quick): one repetition, and limits that are not the machine's.")
    return "\n".join(f"- {line}" for line in lines)


def write_report(options: argparse.Namespace) -> str:
    """Measures all requested sizes, as Markdown.

    Raises:
        KronosError: A checkpoint cannot be used.
        ValueError: The counts do not fit the model or the sample.
    """
    # The load of other processes slows the engines, so the report shows it.
    load_before = os.getloadavg()[0]
    results, scaled_parts = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for size in options.sizes:
            workload = Workload(
                prepare(size, Path(scratch)),
                options.context,
                options.paths,
                options.horizon,
                options.device,
                options.dtype,
            )
            _require_room(workload)
            print(f"{workload.checkpoint.name} ...", file=sys.stderr, flush=True)
            results.append(measure(workload, options))
        if options.scaling:
            names = [result.workload.checkpoint.name for result in results]
            scaled = results[names.index("small") if "small" in names else 0].workload
            print(f"scaling of {scaled.checkpoint.name} ...", file=sys.stderr, flush=True)
            rows, throughput = scaling.measure(scaled, options.repetitions, options.quick)
            scaled_parts = [
                f"Scaling of {scaled.checkpoint.name}:",
                report.scaling_table(rows),
                report.throughput(throughput),
            ]
    parts = [report.engine_table(results), report.limit_table(results)]
    parts += scaled_parts
    parts += [notes(results, options), report.environment(options.device, load_before)]
    return "\n\n".join(parts) + "\n"


def _require_room(workload: Workload) -> None:
    checkpoint = workload.checkpoint
    if workload.context > checkpoint.max_context:
        raise ValueError(
            f"{checkpoint.name} reads at most {checkpoint.max_context} bars, but the context is "
            f"{workload.context}. Choose a shorter --context."
        )


def _slides(workload: Workload) -> bool:
    return workload.context + workload.horizon - 1 > workload.checkpoint.max_context


def main(arguments: Sequence[str] | None = None) -> int:
    made = parser()
    options = made.parse_args(arguments)
    for name, least in (
        ("context", 2), ("paths", 1), ("horizon", 2), ("repetitions", 1),
        ("recompute_steps", 1), ("upstream_steps", 1),
    ):  # fmt: skip
        if getattr(options, name) < least:
            flag = name.replace("_", "-")
            made.error(f"--{flag} must be at least {least}, found {getattr(options, name)}.")
    if options.device == "cuda" and not torch.cuda.is_available():
        made.error("torch finds no CUDA device here. Choose --device cpu.")
    if options.quick:
        options.repetitions = 1
    try:
        text = write_report(options)
    except (KronosError, ValueError, ImportError) as error:
        made.exit(2, f"{made.prog}: {error}\n")
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
