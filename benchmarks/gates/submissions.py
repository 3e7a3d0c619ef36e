"""A million submissions from many threads: joined, left, too late, failed, replaced, abandoned.

    python -m benchmarks.gates.submissions [--quick] [--seed 0]

The queue, the worker and the engine are the real ones; only the work is scripted, and ends at
once. Every submission has a model of how it may end. Nothing may end otherwise, be lost, or stay:
no job, no watcher, no thread, no memory.
"""

from __future__ import annotations

import argparse
import gc
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from benchmarks.revision import revision
from kronos.errors import Busy, DeadlineExceeded, ForecastCancelled, InvalidRequest
from kronos.forecasters.base import Forecaster, Pending
from kronos.serving.engine import Engine
from kronos.serving.jobs import JobControl, Limits, Priority
from kronos.serving.queue import JobQueue
from kronos.serving.requests import ModelRequest
from kronos.serving.worker import Worker

N_SUBMISSIONS, N_QUICK, N_THREADS, N_SHARED = 1_000_000, 20_000, 16, 24
PATIENCE = 120.0
"""Seconds after which an answer counts as lost."""
LIMITS = Limits(max_queued=8, max_results=32, abandon_after=60.0)
ABANDONED = Limits(max_queued=64, max_results=32, abandon_after=0.02)
GROWTH = 1.1
"""Largest memory at the end, over that after a tenth of the submissions."""
KINDS = {
    "wait": 40, "join": 20, "fail": 10, "leave": 10,
    "late": 8, "tight": 4, "replace": 7.9, "abandon": 0.1,
}  # fmt: skip


class Broken(RuntimeError):
    """What failing work raises."""


class _Model(Forecaster):
    """A model that is loaded at once and steps nothing."""

    name, revision, decoder = "scripted", "", None

    @property
    def facts(self) -> Any:
        raise TypeError("no submission of the soak needs this")

    def prepare(self, request: Any) -> Pending[Any]:
        raise TypeError("no submission of the soak needs this")

    def prepare_samples(self, *_: Any, **__: Any) -> Pending[Any]:
        raise TypeError("no submission of the soak needs this")


@dataclass(frozen=True)
class _Request(ModelRequest):
    """A request of the engine whose answer is its key."""

    key: str
    fails: bool = False
    model: str = "scripted"
    revision: str = ""

    @property
    def digest(self) -> str:
        return self.key

    def prepare(self, forecaster: Forecaster) -> Pending[str]:
        return Pending([], lambda: _answer(self.key, self.fails))


def _answer(key: str, fails: bool) -> str:
    if fails:
        raise Broken(key)
    return f"result of {key}"


@dataclass
class Target:
    """A queue, and how its work is written."""

    queue: JobQueue
    payload: Callable[[str, bool], Any]


@dataclass
class Tally:
    """How submissions ended, and which ended wrongly."""

    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, other: Tally) -> None:
        """Add the submissions of another thread."""
        self.ends.update(other.ends)
        self.wrong += other.wrong
        self.slowest = max(self.slowest, other.slowest)


class Client:
    """One thread of callers.

    Args:
        number: Number of the thread.
        targets: Where it submits.
        abandoned: Where it submits what it never asks for again.
        seed: Seed of the soak.
    """

    def __init__(self, number: int, targets: list[Target], abandoned: Target, seed: int) -> None:
        self._number, self._targets, self._abandoned = number, targets, abandoned
        self._random = random.Random(seed * 1000 + number)
        self.tally = Tally()
        self.n_done = 0

    def run(self, n_submissions: int) -> None:
        """Submit so often, and compare each end with its model."""
        names, weights = list(KINDS), list(KINDS.values())
        while self.n_done < n_submissions:
            (kind,) = self._random.choices(names, weights)
            started = time.perf_counter()
            try:
                end = self._submit(kind)
            except Exception as error:  # noqa: BLE001 - what no model foresees is the finding
                end = f"WRONG {type(error).__name__}"
                self.tally.wrong.append(f"{kind}: {error!r}")
            self.tally.slowest = max(self.tally.slowest, time.perf_counter() - started)
            self.tally.ends[f"{kind} {end}"] += 1
            self.n_done += 1

    def _submit(self, kind: str) -> str:
        target = self._random.choice(self._targets)
        name = f"{self._number} {self.n_done}"
        key = f"own {name}"
        if kind == "abandon":
            return self._abandon(key, name)
        fails = kind == "fail"
        if kind == "join":
            shared = self._random.randrange(N_SHARED)
            key, fails = f"shared {shared}", shared % 5 == 0
            if self._random.random() < 0.1:
                target.queue.forget(key)
        deadline = {"late": 0.0, "tight": self._random.random() * 0.002}.get(kind)
        # One that may be displaced holds no place in line for others.
        waits = self._random.random() < 0.95
        try:
            target.queue.submit(
                key,
                target.payload(key, fails),
                owner=name,
                priority=self._random.choice(list(Priority)),
                deadline=deadline,
                wait=waits,
                keep=self._random.random() < 0.5,
            )
        except Busy:
            return self._expect(not waits, "busy", key)
        except DeadlineExceeded:
            return self._expect(deadline is not None, "too late", key)
        if kind == "leave":
            target.queue.leave(key, owner=name)
        elif kind == "replace":
            other = f"other {name}"
            target.queue.submit(other, target.payload(other, False), owner=name, wait=True)
            found = target.queue.result(other, owner=name, timeout=PATIENCE)
            self._expect(found == f"result of {other}", "done", other)
        may_be_gone = kind in ("leave", "replace")
        try:
            found = target.queue.result(key, owner=name, timeout=PATIENCE)
        except Broken as error:
            return self._expect(fails and str(error) == key, "failed", key)
        except DeadlineExceeded:
            return self._expect(deadline is not None, "too late", key)
        except ForecastCancelled:
            return self._expect(may_be_gone, "cancelled", key)
        except InvalidRequest:
            return self._expect(may_be_gone, "not stored", key)
        right = found == f"result of {key}" and not fails and kind != "late"
        return self._expect(right, "done", key)

    def _abandon(self, key: str, name: str) -> str:
        self._abandoned.queue.submit(
            key, self._abandoned.payload(key, False), owner=name, wait=True
        )
        return "left alone"

    def _expect(self, right: bool, end: str, key: str) -> str:
        if not right:
            self.tally.wrong.append(f"{key} ended as {end}")
        return end


@dataclass(frozen=True)
class Soaked:
    """What a soak found.

    Attributes:
        tally: How submissions ended.
        left: What stayed that should not, by name.
        seconds: Time of all submissions.
        memory: Resident memory after each tenth, MB.
    """

    tally: Tally
    left: dict[str, int]
    seconds: float
    memory: list[float]

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong; empty for a soak that passed."""
        found = [f"left behind: {n} {name}" for name, n in self.left.items() if n]
        if self.memory[-1] > GROWTH * self.memory[0]:
            found.append(f"memory grew from {self.memory[0]:.0f} to {self.memory[-1]:.0f} MB")
        return [*self.tally.wrong, *found]


def soak(n_submissions: int, *, seed: int = 0, n_threads: int = N_THREADS) -> Soaked:
    """Submit so often from so many threads, and look at what is left afterwards."""
    for name in ("engine", "worker"):
        # Wanted failures: their tracebacks would cost more than the work.
        logging.getLogger(f"kronos.serving.{name}").disabled = True
    n_before = threading.active_count()
    model = _Model()
    engine = Engine(lambda name, progress: model, limits=LIMITS)
    worker = Worker("soaked", LIMITS, n_threads=2)
    lonely = Worker("lonely", ABANDONED)
    stopped: list[str] = []

    def until_unwanted(key: str) -> Callable[[JobControl], None]:
        def work(control: JobControl) -> None:
            while True:
                try:
                    control.check()
                except ForecastCancelled:
                    stopped.append(key)
                    raise
                time.sleep(0.002)

        return work

    targets = [
        Target(engine.queue, _Request),
        Target(worker.queue, lambda key, fails: lambda control: _answer(key, fails)),
    ]
    abandoned = Target(lonely.queue, lambda key, fails: until_unwanted(key))
    each = n_submissions // n_threads
    clients = [Client(number, targets, abandoned, seed) for number in range(n_threads)]
    threads = [threading.Thread(target=client.run, args=(each,)) for client in clients]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    memory = []
    for tenth in range(1, 11):
        while sum(c.n_done for c in clients) < tenth * each * n_threads // 10:
            time.sleep(0.02)
        gc.collect()
        memory.append(psutil.Process().memory_info().rss / 1e6)
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started

    tally = Tally()
    for client in clients:
        tally.add(client.tally)
    queues = [target.queue for target in (*targets, abandoned)]
    _wait_until(lambda: not any(queue._active for queue in queues))
    left = {
        "active jobs": sum(len(queue._active) for queue in queues),
        "waiting jobs": sum(queue._line.length(p) for queue in queues for p in Priority),
        # Ends that nobody came to see: in the queue of what is abandoned they are the rule.
        "watchers": sum(len(target.queue._watched) for target in targets),
        "jobs that waited unseen": sum(len(target.queue._ended._unseen) for target in targets),
        "results over the limit": sum(
            max(len(stored) - LIMITS.max_results, 0)
            for queue in queues
            for stored in (queue._ended._results, queue._ended._failures)
        ),
        "submissions without an end": n_threads * each - sum(tally.ends.values()),
        "abandoned jobs twice stopped": len(stopped) - len(set(stopped)),
    }
    closed = [each.close() for each in (engine, worker, lonely)]
    left["workers that did not end"] = closed.count(False)
    _wait_until(lambda: threading.active_count() <= n_before)
    left["threads"] = max(threading.active_count() - n_before, 0)
    return Soaked(tally, left, seconds, memory)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def main() -> int:
    """Run the soak, print its figures; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{N_QUICK:,} submissions")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = soak(N_QUICK if args.quick else N_SUBMISSIONS, seed=args.seed)
    n = sum(found.tally.ends.values())
    print(f"revision {revision()}, seed {args.seed}")
    print(f"{n:,} submissions from {N_THREADS} threads in {found.seconds:.0f} s")
    for end, count in sorted(found.tally.ends.items()):
        print(f"  {count:>9,}  {end}")
    print(f"longest submission {found.tally.slowest:.2f} s")
    print("memory after each tenth, MB:", " ".join(f"{mb:.0f}" for mb in found.memory))
    for problem in found.problems[:20]:
        print("WRONG", problem)
    print(f"{len(found.problems)} failures")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
