"""The table of times, beside what bandwidth, arithmetic and launches of this device allow."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import torch

from benchmarks.gpu.recorded import recorded
from benchmarks.gpu.results import Found, Work
from benchmarks.speed.engines import OurEngine
from benchmarks.speed.limits import Limits, Rates, StepCost, floor, model_config, step_cost
from benchmarks.speed.process import summarize
from benchmarks.speed.workload import Workload, prepare
from kronos.decoding import MAX_ROWS
from kronos.decoding.cuda import StaticBatch, StaticDecoder
from kronos.decoding.weights import fastest_dtype
from kronos.nn.checkpoint import load_model
from kronos.nn.config import ModelConfig
from tests.golden_vectors import GOLDEN
from tests.token_sequences import copied_to, make

CELLS = ((1, 30), (1, 300), (1, 3000), (32, 30), (32, 300), (32, 3000))
"""Series and paths of each, the cheapest first."""
DRY_CELLS = ((1, 3), (1, 40), (2, 3))
CONTEXT, HORIZON = 400, 24
DRY_CONTEXT, DRY_HORIZON = 24, 4
AIM_MS, AIM_MB = 25.0, 300.0
"""Of base, one series, 30 paths: the time of a forecast, and memory beyond the weights."""
SECONDS, MOST_RUNS = 2.0, 20
"""How long and how often a forecast is repeated."""


def sizes(is_dry: bool) -> list[str]:
    """The models that are timed; base first, whose memory counts."""
    return ["golden"] if is_dry else ["base", "small", "mini"]


def units(is_dry: bool) -> list[str]:
    """The units of the part, in their order."""
    cells = DRY_CELLS if is_dry else CELLS
    return [
        "launches",
        *(f"{size}, rates" for size in sizes(is_dry)),
        f"{sizes(is_dry)[0]}, rows at once",
        *(_named(size, *cell) for cell in cells for size in sizes(is_dry)),
    ]


def _named(size: str, n_series: int, n_paths: int) -> str:
    return f"{size}, {n_series} series, {n_paths} paths"


def measure(work: Work) -> None:
    """Looks for every unit of `units`."""
    work.look("launches", lambda: _launches(work))
    workloads = {size: _workload(size, work) for size in sizes(work.is_dry)}
    for size, workload in workloads.items():
        work.look(f"{size}, rates", lambda w=workload: _rates(w, work.is_dry))  # type: ignore[misc]
    some = sizes(work.is_dry)[0]
    work.look(f"{some}, rows at once", lambda: _rows_at_once(workloads[some], work.is_dry))
    for n_series, n_paths in DRY_CELLS if work.is_dry else CELLS:
        for size, workload in workloads.items():
            cell = replace(workload, n_series=n_series, paths=n_paths)
            work.look(
                _named(size, n_series, n_paths),
                lambda cell=cell: _forecasts(cell),  # type: ignore[misc]
                expected=_expected(size, n_series, n_paths, work),
            )


def _expected(size: str, n_series: int, n_paths: int, work: Work) -> float:
    """Seconds of a first and a second forecast, by those of fewer paths of the same model."""
    least = 0.0
    for result in work.file.read():
        figures = result.figures
        if result.part == work.part and figures.get("model") == size and "forecast" in figures:
            growth = n_series * n_paths / (figures["series"] * figures["paths"])
            # The smallest forecasts are all overhead, which does not grow.
            least = max(least, (2 * growth if figures["forecast"] > 0.2 else 0) * figures["step"])
    return least * (DRY_HORIZON if work.is_dry else HORIZON)


def _workload(size: str, work: Work) -> Workload:
    if size == "golden":
        return Workload(
            prepare(str(GOLDEN), work.scratch), DRY_CONTEXT, 3, DRY_HORIZON, work.device
        )
    checkpoint = prepare(size, work.scratch)
    dtype = fastest_dtype(load_model(checkpoint.model), torch.device(work.device))
    named = str(dtype).removeprefix("torch.")
    return Workload(checkpoint, CONTEXT, 30, HORIZON, work.device, named)


def _launches(work: Work) -> Found:
    """What a kernel that does next to nothing costs, alone and in a graph."""
    x, n = torch.zeros(1, device=work.device), 100 if work.is_dry else 1000

    def many() -> None:
        for _ in range(n):
            x.add_(1.0)

    single = _fastest(many, work.device) / n
    figures = {"single": single, "graph": single}
    if work.device == "cuda":
        many()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            many()
        figures["graph"] = _fastest(graph.replay, work.device) / n
    text = (
        f"{figures['single'] * 1e6:.2f} \N{MICRO SIGN}s for an operation called by Python, "
        f"{figures['graph'] * 1e6:.2f} \N{MICRO SIGN}s in a graph"
    )
    return Found(None, text if work.device == "cuda" else f"{text} (no graphs here)", figures)


def _fastest(function: Callable[[], None], device: str) -> float:
    times = []
    for _ in range(6):
        _wait(device)
        started = time.perf_counter()
        function()
        _wait(device)
        times.append(time.perf_counter() - started)
    return min(times)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _rates(workload: Workload, is_quick: bool) -> Found:
    """Rates of the model's own products at few and at many rows, and the operations of a step."""
    measured = []
    for rows in (workload.paths, workload.paths if is_quick else MAX_ROWS):
        limits = Limits(replace(workload, paths=rows), is_quick)
        limits.seconds = min(limits.seconds, 0.05)
        measured.append(limits.run())
        del limits
        free(workload.device)
    few, many = measured
    n_operations = operations_of_a_step(workload)
    figures = {
        "few": asdict(few),
        "many": asdict(many),
        "operations": n_operations,
        "config": model_config(workload).to_dict(),
    }
    text = (
        f"{few.best_products / 1e12:.2f} TFLOP/s at {workload.paths} rows, "
        f"{many.best_products / 1e12:.2f} at {MAX_ROWS}; {many.best_bandwidth / 1e9:,.0f} GB/s; "
        f"{n_operations} operations in a step"
    )
    return Found(None, text, figures)


def operations_of_a_step(workload: Workload) -> int:
    """Operations of one step of a lane, each at least one kernel."""
    model = load_model(workload.checkpoint.model)
    model = model.to(workload.device, getattr(torch, workload.dtype)).eval()
    decoder, seq = StaticDecoder(model), make(24, 8, n_paths=30, top_p=0.9)
    decoder.capture = None
    seq = copied_to(workload.device, seq)
    decoder.step([seq])
    batch = seq.state
    assert isinstance(batch, StaticBatch)
    halves = (batch.decode_step, batch.sample_step)
    return sum(len(recorded(half).operations) for half in halves)


def _rows_at_once(workload: Workload, is_dry: bool) -> Found:
    """Whether steps of more paths than `MAX_ROWS` would pay: the time of one, by its paths."""
    model = load_model(workload.checkpoint.model)
    decoder = StaticDecoder(model.to(workload.device, getattr(torch, workload.dtype)).eval())
    n_steps, seconds = 4 if is_dry else 16, {}
    for rows in (32, 64) if is_dry else (32, 256, 512, 1024, 2048):
        settings = {"n_paths": rows, "top_p": 0.9, "max_context": 512}
        seq = copied_to(workload.device, make(workload.context, n_steps + 2, **settings))
        seq.portion, seq.rows = rows, slice(0, rows)
        for _ in range(2):  # the context and the first steps
            decoder.step([seq])
        _wait(workload.device)
        started = time.perf_counter()
        for _ in range(n_steps - 1):
            decoder.step([seq])
        _wait(workload.device)
        seconds[str(rows)] = (time.perf_counter() - started) / (n_steps - 1)
    told = ", ".join(f"{each * 1e3:.2f} ms for {rows}" for rows, each in seconds.items())
    return Found(None, f"a step takes {told} paths; at most {MAX_ROWS} are drawn at once", seconds)


def _forecasts(workload: Workload) -> Found:
    engine = OurEngine(workload)
    first = engine.run()
    runs = [engine.run()]
    while sum(run.total for run in runs) < SECONDS and len(runs) < MOST_RUNS:
        runs.append(engine.run())
    summary = summarize([first], runs, engine.memory.peak())
    on_gpu = workload.device == "cuda"
    figures = {
        "model": workload.checkpoint.name,
        "origin": workload.checkpoint.origin,
        "dtype": workload.dtype,
        "context": workload.context,
        "horizon": workload.horizon,
        "series": workload.n_series,
        "paths": workload.paths,
        "first call": first.total,
        "forecast": summary.total,
        "range": summary.total_range,
        "to the first step": summary.first,
        "step": summary.step,
        "memory": summary.peak,
        "allocated": torch.cuda.max_memory_allocated() if on_gpu else 0,
        "repetitions": summary.repetitions,
    }
    del engine
    free(workload.device)
    after = summary.total - summary.first - (workload.horizon - 1) * summary.step
    text = (
        f"{summary.total * 1e3:,.1f} ms: {summary.first * 1e3:,.1f} to the end of the first step, "
        f"{summary.step * 1e3:.2f} for each further one, {max(0.0, after) * 1e3:,.1f} after the "
        f"last; {summary.peak / 1e6:,.0f} MB beyond the weights"
    )
    return Found(None, text, figures)


def free(device: str) -> None:
    """Lets go of what earlier units left, so that memory counts for the next one alone."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def batches_of_a_step(n_series: int, n_paths: int) -> int:
    """Groups of lanes that step one after the other for all series to be one bar on."""
    if n_paths > MAX_ROWS:
        return n_series * -(-n_paths // MAX_ROWS)
    return -(-n_series // (MAX_ROWS // n_paths))


def floors(figures: dict, rates: dict, launches: dict) -> tuple[float, float]:
    """Least seconds of a step by arithmetic and bandwidth, and by launches in graphs.

    Args:
        figures: Of a forecast.
        rates: Of its model.
        launches: Of the device.
    """
    n_series, n_paths = figures["series"], figures["paths"]
    cost = step_cost(
        ModelConfig.from_dict(rates["config"]),
        paths=n_paths,
        context=figures["context"],
        horizon=figures["horizon"],
        itemsize=getattr(torch, figures["dtype"]).itemsize,
    )
    # Weights are read once for all series, all else grows with them.
    cost = StepCost(
        n_series * cost.product_operations,
        n_series * cost.attention_operations,
        cost.weight_bytes,
        n_series * cost.cache_bytes,
    )
    reached = Rates(**rates["few" if n_series * n_paths <= 32 else "many"])
    n_batches = batches_of_a_step(n_series, n_paths)
    return floor(cost, reached), n_batches * rates["operations"] * launches["graph"]
