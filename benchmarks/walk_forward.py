"""Measures a walk of the bundled model over the bundled samples.

    python -m benchmarks.walk_forward [--windows 2000] [--horizon 24]

Forecasts, scores and stores windows as `kronos walk-forward` does, in a store that is thrown away,
and prints how long it took and which share of that the store and the scores had. Loading the model
counts.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.revision import revision
from data_sources.samples import SAMPLES, SampleBars, load_sample
from kronos.serving.service import LocalService
from kronos.store.store import Store
from kronos.walk_forward import Series, WalkPlan, walk_forward


def measure(n_windows: int, horizon: int) -> str:
    """The table, as Markdown."""
    load = os.getloadavg()[0]
    series = [Series(load_sample(key), SampleBars.name) for key in SAMPLES]
    plan = WalkPlan(n_origins=-(-n_windows // len(series)), horizon=horizon)
    service = LocalService(device="cpu")
    try:
        with tempfile.TemporaryDirectory() as folder, Store(str(Path(folder, "s.db"))) as store:
            started = time.perf_counter()
            report = walk_forward(service, store, series, plan)
            seconds = time.perf_counter() - started
    finally:
        service.close()
    rows = {
        "windows": f"{report.n_stored:,}",
        "horizon, paths": f"{plan.horizon}, {plan.sampling.sample_count}",
        "seconds": f"{seconds:.0f}",
        "windows per second": f"{report.n_stored / seconds:.1f}",
        "seconds in scores and store": f"{report.seconds_storing:.0f}",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "load of the machine before": f"{load:.1f}",
        "torch": torch.__version__,
        "revision": revision(),
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items())])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--horizon", type=int, default=WalkPlan().horizon)
    given = parser.parse_args()
    print(measure(given.windows, given.horizon))
