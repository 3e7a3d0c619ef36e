"""What a request costs on a cluster, and how soon it is answered.

    OMP_NUM_THREADS=1 python -m benchmarks.cluster.answers [--requests 200]

Bundled model, context 128, 30 paths, 24 bars, 32 clients. First in this process with one thread,
then by one replica with one thread, then by two. Prints how many answers have the same bits, the
processor time of a request (of the replicas and of this process), the rate of two replicas over
that of one beside that of two processes without Ray, a question without sampling, the time from a
cancel until the replica is idle, how often 50 equal requests of two processes are computed, and a
person's wait while 1,000 windows are queued in bulk beside the time without them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np

from benchmarks.cluster.load import (
    answer_all,
    foot,
    processor_seconds,
    requests,
    same,
    wait_until,
)
from kronos.serving.cluster import bulk, connection, deployment
from kronos.serving.cluster.service import ClusterService
from kronos.serving.interface import BulkRequest
from kronos.serving.local import LocalService
from kronos.serving.requests import FactsRequest

CLIENTS = 32
_ALONE = """
import sys, time
from benchmarks.cluster.load import answer_all, requests
from kronos.serving.local import LocalService
local = LocalService()
asked = requests(local, int(sys.argv[1]))
answer_all(local, asked[:16], 8)
print("ready", flush=True)
sys.stdin.readline()
print(len(asked) / answer_all(local, asked, 8)[2])
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
    parser.add_argument("--requests", type=int, default=200)
    n = parser.parse_args().requests
    with closing(LocalService()) as local:
        asked = requests(local, n)
        answer_all(local, requests(local, 16, first_seed=50_000), CLIENTS)
        before = processor_seconds([os.getpid()])
        wanted, _, seconds = answer_all(local, asked, CLIENTS)
        cost = (processor_seconds([os.getpid()]) - before) / n
        print(f"in process: {n / seconds:.1f} a second, {1e3 * cost:.0f} ms of a processor each")
        print_cluster(local, asked, wanted, cost)
    print_ceiling(n)
    print(foot())
    return 0


def print_ceiling(n: int) -> None:
    """What two processes gain without Ray: they share caches and memory."""
    rates = []
    for n_processes in (1, 2):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", _ALONE, str(n // n_processes)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for _ in range(n_processes)
        ]  # fmt: skip
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline().strip() == "ready"
        for each in started:
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        rates.append(sum(float(each.communicate()[0]) for each in started))
    print(f"two processes without Ray: {rates[1] / rates[0]:.2f} times the rate of one")


def print_cluster(local, asked, wanted, cost) -> None:
    address = f"ray://{connection.start(3)}"
    rates = {}
    try:
        for n_replicas in (1, 2):
            deployment.deploy(deployment.Plan(replicas=n_replicas, cpus=1))
            with_all = ClusterService(address)
            wait_until(lambda: len(with_all.replicas()) == n_replicas)  # noqa: B023
            answer_all(with_all, requests(local, 16, first_seed=60_000), CLIENTS)
            pids = [each["pid"] for each in with_all.replicas()]
            before, own = processor_seconds(pids), processor_seconds([os.getpid()])
            found, waits, seconds = answer_all(with_all, asked, CLIENTS)
            replicas = (processor_seconds(pids) - before) / len(asked)
            own = (processor_seconds([os.getpid()]) - own) / len(asked)
            rates[n_replicas] = len(asked) / seconds
            equal = sum(map(same, found, wanted))
            print(
                f"{n_replicas} replicas: {equal} of {len(asked)} answers bitwise as in process, "
                f"{rates[n_replicas]:.1f} a second, {1e3 * replicas:.0f} + {1e3 * own:.0f} ms of a "
                f"processor each ({(replicas + own) / cost - 1:+.0%}), median wait "
                f"{1e3 * np.median(waits):.0f} ms"
            )
            if n_replicas == 1:
                print_small(with_all, address)
            with_all.worker.close()
        print(f"two replicas: {rates[2] / rates[1]:.2f} times the rate of one")
    finally:
        connection.disconnect()


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
    stop = threading.Event()

    def walk() -> None:
        for _ in bulk.run_many(queued, 1):
            if stop.is_set():
                return

    walking = threading.Thread(target=walk)
    walking.start()
    time.sleep(8)  # the worker draws
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
