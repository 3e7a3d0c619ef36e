"""Walks on a cluster: what a second worker adds, and a walk that is killed half-way.

    OMP_NUM_THREADS=1 python -m benchmarks.cluster.walk [--windows 2000] [--rounds 5] [--long 10000]

The first walk (bundled model, 64 bars read, 12 bars, 16 paths) is done by one worker and by two,
of one thread each, beside an idle replica: in rounds, in turn, as the machine's speed drifts; a
second worker gains the median over the rounds. The long walk (32 bars read, 2 bars, 4 paths) is
killed with its process once half of it is stored, started again, and compared row by row with the
same walk in one process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing

from benchmarks.cluster.load import foot
from data_sources.samples import SAMPLES, SampleBars, load_sample
from kronos.forecast import SamplingParameters
from kronos.serving.cluster import bulk, connection, deployment
from kronos.serving.cluster.service import ClusterService
from kronos.serving.interface import ForecastService
from kronos.serving.local import LocalService
from kronos.store.store import Store
from kronos.walk_forward import Series, WalkPlan, WalkReport, walk_forward

_AGAIN = """
import sys
from contextlib import closing
from benchmarks.cluster.walk import long_plan, walk
from kronos.serving.cluster.service import ClusterService
with closing(ClusterService(sys.argv[1])) as service:
    walk(service, sys.argv[2], long_plan(int(sys.argv[3])), lambda done, _: print(done, flush=True))
"""


def plan(n_windows: int) -> WalkPlan:
    """The walk that is timed."""
    return WalkPlan(
        n_origins=n_windows // len(SAMPLES), horizon=12, lookback=64,
        sampling=SamplingParameters(sample_count=16),
    )  # fmt: skip


def long_plan(n_windows: int) -> WalkPlan:
    """The walk that is killed."""
    return WalkPlan(
        n_origins=n_windows // len(SAMPLES), horizon=2, lookback=32,
        sampling=SamplingParameters(sample_count=4),
    )  # fmt: skip


def walk(service: ForecastService, place: str, plan: WalkPlan, progress=None) -> WalkReport:
    """Walk through the bundled samples into a store."""
    series = [Series(load_sample(key), SampleBars.name) for key in SAMPLES]
    with Store(place) as store:
        return walk_forward(service, store, series, plan, progress=progress)


def rows(place: str) -> list[tuple]:
    """What a store holds of each window, without its own numbers and times."""
    with Store(place) as store, store.database.reading() as reading:
        found = reading.exec_driver_sql(
            "select instrument, origin, quantiles from ml_predictions order by 1, 2, 3"
        )
        return [tuple(row) for row in found]


def print_rounds(service: ClusterService, folder: str, n_rounds: int, n_windows: int) -> None:
    """The walk by one worker and by two: seconds, gain, and whether the rows are the same."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    places = []
    for i in range(n_rounds):
        for n_workers, taken in seconds.items():
            bulk.free_processors = lambda n=n_workers: n  # type: ignore[assignment]
            places.append(f"{folder}/{i}_{n_workers}")
            begun = time.perf_counter()
            report = walk(service, places[-1], plan(n_windows))
            taken.append(time.perf_counter() - begun)
            assert report.n_stored == report.n_windows
    for n_workers, taken in seconds.items():
        print(
            f"{n_workers} workers: {report.n_stored:,} windows in "
            f"{statistics.median(taken):.1f} s (rounds: {', '.join(f'{s:.1f}' for s in taken)})"
        )
    gains = [one / two for one, two in zip(*seconds.values(), strict=True)]
    print(
        f"two workers: {statistics.median(gains):.2f} times the rate of one "
        f"(rounds: {', '.join(f'{gain:.2f}' for gain in gains)})"
    )
    first = rows(places[0])
    print(f"rows of all the same: {all(rows(place) == first for place in places[1:])}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", type=int, default=10_000)
    args = parser.parse_args()
    address = f"ray://{connection.start(3)}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            deployment.deploy(deployment.Plan())
            service = ClusterService(address)
            print_rounds(service, folder, args.rounds, args.windows)

            place, words = f"{folder}/long", (address, f"{folder}/long", str(args.long))
            first = subprocess.Popen(
                [sys.executable, "-c", _AGAIN, *words], stdout=subprocess.PIPE, text=True
            )
            assert first.stdout is not None
            for line in first.stdout:
                if int(line) >= args.long // 2:
                    first.kill()
                    break
            first.wait()
            stored = len(rows(place))
            subprocess.run(
                [sys.executable, "-c", _AGAIN, *words], stdout=subprocess.DEVNULL, check=True
            )
            service.worker.close()
        finally:
            connection.disconnect()
        with closing(LocalService()) as local:
            walk(local, f"{folder}/local", long_plan(args.long))
        resumed, wanted = rows(place), rows(f"{folder}/local")
        print(
            f"killed after {stored:,} of {len(wanted):,} windows and started again: "
            f"{len(resumed):,} rows, {len(resumed) - len(set(resumed))} double, "
            f"{len(set(wanted) - set(resumed))} missing or other than in one process"
        )
    print(foot())
    return 0


if __name__ == "__main__":
    sys.exit(main())
