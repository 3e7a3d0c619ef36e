"""Many requests by workers beside the replicas.

Bulk work never goes through the replicas, where it would stand in the way of people: a worker is an
actor with a processor that no replica has reserved, and has the lowest priority of its machine.
A request is made, and reduced, where it is answered: the caller, one process beside many, hands out
small parts and writes. Ray starts a lost worker again and repeats its request, and a seed makes the
repeated answer the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psutil

from kronos.errors import KronosError
from kronos.serving.cluster.connection import code_digest, load_ray
from kronos.serving.cluster.replica import other_code
from kronos.serving.interface import BulkRequest, Prepare
from kronos.serving.jobs import Priority
from kronos.serving.local import LocalService
from kronos.serving.wire import dump, load

__all__ = ["free_processors", "run_many"]

_AHEAD = 2
"""Requests that each worker has, so that it computes while an answer is used."""
_WATCH_EVERY = 0.1
_NICE = 10


class BulkWorker:
    """An engine that answers one request after another."""

    def __init__(self) -> None:
        psutil.Process().nice(_NICE)
        self._service = LocalService()
        self._prepare: Prepare | None = None

    def answer(self, code: str, prepare: list[Any], part: Any) -> tuple[bytes | None, Any]:
        """An error as bytes, or None and what was made of the answer.

        Args:
            code: Digest of the caller's code.
            prepare: Reference to the `Prepare`; in a list, or Ray would read it for every part.
            part: What it makes a request of.
        """
        if code != code_digest():
            return dump(other_code(code, code_digest())), None
        if self._prepare is None:
            self._prepare = load_ray().get(prepare[0])
        try:
            each = self._prepare(part)
            answer = self._service.run(each.request, priority=Priority.BATCH)
            return None, each.reduced(answer)
        except KronosError as error:
            return dump(error), None


def free_processors() -> int:
    """Processors of the cluster that no replica or other work has reserved."""
    return math.floor(load_ray().available_resources().get("CPU", 0.0))


def run_many(
    requests: Iterable[Any],
    n_workers: int,
    *,
    prepare: Prepare | None = None,
    watch: Callable[[], object] | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Answer many requests by workers; see `ForecastService.run_many`.

    Args:
        requests: The questions; read as there is room.
        n_workers: Workers, of one processor and one thread each.
        prepare: See `ForecastService.run_many`.
        watch: Called in this thread, again and again; raising ends the workers.
    """
    ray = load_ray()
    # A worker that is lost starts again; what it was asked is asked again.
    made = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(BulkWorker)
    shared = [ray.put(prepare or _unpacked)]
    workers = [made.remote() for _ in range(n_workers)]
    waiting, code = iter(requests), code_digest()
    running: dict[Any, tuple[Any, Any]] = {}

    def give(worker: Any) -> None:
        if (part := next(waiting, None)) is not None:
            sent = part if prepare else (dump(part.request), part.reduce)
            running[worker.answer.remote(code, shared, sent)] = part, worker

    try:
        for _ in range(_AHEAD):
            for worker in workers:
                give(worker)
        while running:
            look_every = _WATCH_EVERY if watch else None
            done, _ = ray.wait([*running], num_returns=1, timeout=look_every)
            if watch:
                watch()
            for answer in done:
                part, worker = running.pop(answer)
                error, reduced = ray.get(answer)
                if error is not None:
                    raise load(error)
                give(worker)
                yield part, reduced
    finally:
        for worker in workers:
            ray.kill(worker)


def _unpacked(part: tuple[bytes, Callable[[Any], Any] | None]) -> BulkRequest:
    """The `Prepare` of requests that travel whole."""
    return BulkRequest(load(part[0]), part[1])
