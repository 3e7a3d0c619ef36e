"""What a request costs on a cluster, and how soon it is answered.

    OMP_NUM_THREADS=1 python -m benchmarks.cluster.answers [--requests 100] [--rounds 3]

Bundled model, context 128, 30 paths, 24 bars, 32 clients. In rounds: in this process with one
thread, then by one replica with one thread; likewise by two. Prints how many answers have the same
bits, the processor time of a request (of the replicas and of this process), the rate of two
replicas over that of one beside that of two processes without Ray (all while 64 clients go on
asking, so that every replica has a line at all times), a question without sampling, the time from
a cancel until the replica is idle, how often 50 equal requests of two processes are computed, and
a person's wait while 1,000 windows are queued in bulk beside the time without them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from benchmarks.cluster.load import (
    Load,
    answer_all,
    foot,
    processor_seconds,
    requests,
    same,
    wait_until,
)
from kronos.request import ForecastRequest
from kronos.serving.cluster import bulk, connection, deployment
from kronos.serving.cluster.service import ClusterService
from kronos.serving.interface import BulkRequest, ForecastService
from kronos.serving.local import LocalService
from kronos.serving.requests import FactsRequest

CLIENTS = 32
SUSTAINED = 600
"""Requests for `sustained`, more than can be answered meanwhile."""
_ALONE = """
import sys
from benchmarks.cluster.answers import SUSTAINED, sustained
from benchmarks.cluster.load import requests
from kronos.serving.local import LocalService
local = LocalService()
asked = requests(local, SUSTAINED, first_seed=100_000 * int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(sustained(local, asked))
"""
_OTHER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from benchmarks.cluster.load import requests
from kronos.serving.cluster.service import ClusterService
service = ClusterService(sys.argv[1])
(asked,) = requests(service, 1, first_seed=9_999, horizon=200)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(25) as pool:
    found = list(pool.map(lambda _: service.run(asked).n_paths, range(25)))
print(len(found))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    address = f"ray://{connection.start(3)}"
    try:
        with closing(LocalService()) as local:
            answer_all(local, requests(local, 16, first_seed=50_000), CLIENTS)
            print_rounds(local, address, options.rounds, options.requests)
    finally:
        connection.disconnect()
    print_ceiling()
    print(foot())
    return 0


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw, in milliseconds of a processor for a request and answers a second.

    Attributes:
        local: Cost of a request in this process.
        replicas: Its cost in the replicas, beside `own` in this process.
        own: See `replicas`.
        sustained: Answers a second of the replicas while clients go on asking.
        equal: Answers with the same bits.
    """

    local: float
    replicas: float
    own: float
    sustained: float
    equal: int

    @property
    def extra(self) -> float:
        """Share by which a request costs more than in this process."""
        return (self.replicas + self.own) / self.local - 1


def measured(
    local: LocalService, cluster: ClusterService, asked: Sequence[ForecastRequest], seed: int
) -> Round:
    """One round: the same requests in this process, then by the replicas."""
    n, own = len(asked), [os.getpid()]
    pids = [each["pid"] for each in cluster.replicas()]
    answer_all(cluster, requests(local, 16, first_seed=seed), CLIENTS)
    before = processor_seconds(own)
    wanted, _, _ = answer_all(local, asked, CLIENTS)
    alone = processor_seconds(own) - before
    before, there = processor_seconds(own), processor_seconds(pids)
    found, _, _ = answer_all(cluster, asked, CLIENTS)
    costs = [alone, processor_seconds(pids) - there, processor_seconds(own) - before]
    rate = sustained(cluster, requests(local, SUSTAINED, first_seed=seed + 16))
    return Round(*(1e3 * cost / n for cost in costs), rate, sum(map(same, found, wanted)))


def print_rounds(local: LocalService, address: str, n_rounds: int, n: int) -> None:
    """One replica and two in turn, as the machine's speed drifts; medians over the rounds."""
    rounds: dict[int, list[Round]] = {1: [], 2: []}
    for i in range(n_rounds):
        for n_replicas, done in rounds.items():
            deployment.deploy(deployment.Plan(replicas=n_replicas, cpus=1))
            cluster = ClusterService(address)
            wait_until(lambda: len(cluster.replicas()) == n_replicas)  # noqa: B023
            asked = requests(local, n, first_seed=n * (2 * i + n_replicas))
            done.append(measured(local, cluster, asked, 100_000 * (2 * i + n_replicas)))
            if n_replicas == 1 and i == 0:
                print_small(cluster, address)
            cluster.worker.close()
    for n_replicas, done in rounds.items():
        replicas, own, alone, extra, rate = (
            statistics.median(getattr(each, name) for each in done)
            for name in ("replicas", "own", "local", "extra", "sustained")
        )
        print(
            f"{n_replicas} replicas: {sum(each.equal for each in done)} of {n * n_rounds} answers "
            f"bitwise as in process; {replicas:.0f} + {own:.0f} ms of a processor each, "
            f"{alone:.0f} in process: {extra:+.0%} (rounds: "
            f"{', '.join(f'{each.extra:+.0%}' for each in done)}); {rate:.1f} a second"
        )
    gains = [two.sustained / one.sustained for one, two in zip(*rounds.values(), strict=True)]
    print(
        f"two replicas: {statistics.median(gains):.2f} times the rate of one "
        f"(rounds: {', '.join(f'{gain:.2f}' for gain in gains)})"
    )


def sustained(service: ForecastService, asked: Sequence[ForecastRequest]) -> float:
    """Answers a second while 64 clients go on asking."""
    load = Load(service, asked, 2 * CLIENTS)
    time.sleep(5)
    n, begun = len(load.answers), time.perf_counter()
    time.sleep(15)
    rate = (len(load.answers) - n) / (time.perf_counter() - begun)
    load.stop()
    assert len(load.answers) < len(asked)
    return rate


def print_ceiling() -> None:
    """What two processes gain without Ray: they share caches and memory."""
    rates = []
    for n_processes in (1, 2, 1):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", _ALONE, str(i)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for i in range(n_processes)
        ]  # fmt: skip
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline().strip() == "ready"
        for each in started:
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        rates.append(sum(float(each.communicate()[0]) for each in started))
    gain = 2 * rates[1] / (rates[0] + rates[2])
    print(f"two processes without Ray: {gain:.2f} times the rate of one")


def print_small(service: ClusterService, address: str) -> None:
    """A question, a cancel, equal requests, and a person beside bulk work; one replica."""
    question = FactsRequest("bundled", service.facts("bundled").revision)
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        service.run(question)
        times.append(time.perf_counter() - begun)
    print(f"question without sampling: median {1e3 * np.median(times):.1f} ms")

    idle = []
    for i in range(10):
        (long,) = requests(service, 1, first_seed=7_000 + i, paths=500, horizon=400)
        service.submit(long, owner="page")
        wait_until(lambda: service.replicas()[0]["running"] == 1)
        begun = time.perf_counter()
        service.leave(long.digest, owner="page")
        wait_until(lambda: service.replicas()[0]["running"] == 0)
        idle.append(time.perf_counter() - begun)
    print(
        f"cancel until idle: median {1e3 * np.median(idle):.0f} ms, most {1e3 * max(idle):.0f} ms"
    )

    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "ready"
    (equal,) = requests(service, 1, first_seed=9_999, horizon=200)
    before = service.replicas()[0]["steps"]
    other.stdin.write("\n")
    other.stdin.flush()
    answer_all(service, [equal] * 25, 25)
    assert other.communicate()[0].strip() == "25"
    computed = (service.replicas()[0]["steps"] - before) / (200 * 30)
    print(f"50 equal requests of two processes: computed {computed:.2f} times")

    _, alone, _ = answer_all(service, requests(service, 40, first_seed=11_000), 1)
    queued = (BulkRequest(each) for each in requests(service, 1000, first_seed=20_000))
    begun, stop = threading.Event(), threading.Event()

    def walk() -> None:
        for _ in bulk.run_many(queued, 1):
            begun.set()
            if stop.is_set():
                return

    walking = threading.Thread(target=walk)
    walking.start()
    wait_until(begun.is_set)  # until then the worker reads its packages
    _, beside, _ = answer_all(service, requests(service, 40, first_seed=12_000), 1)
    stop.set()
    walking.join()
    p95 = [1e3 * np.quantile(each, 0.95) for each in (alone, beside)]
    print(
        f"a person's p95: {p95[0]:.0f} ms alone, {p95[1]:.0f} ms beside 1,000 windows in bulk "
        f"({p95[1] / p95[0]:.2f} times)"
    )


if __name__ == "__main__":
    sys.exit(main())
