"""One engine of a process, behind a Serve deployment.

A question and its answer travel as the bytes of `wire`. An answer is the final status of a job, so
that errors arrive as themselves. The engine is that of any process: requests that arrive while
others are drawn join their batch.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from kronos.errors import Busy, ForecastCancelled, KronosError, RevisionMismatch
from kronos.serving.cluster.connection import code_digest
from kronos.serving.jobs import JobStatus, Limits, Priority
from kronos.serving.local import LocalService
from kronos.serving.requests import WarmUpRequest
from kronos.serving.wire import dump, load
from kronos.system import process_bytes

__all__ = ["ONGOING", "SLOTS", "Replica", "other_code"]

ONGOING = 64
"""Requests in one replica: those that are drawn, and a line behind them that the engine orders."""
SLOTS = ONGOING + 32
"""Calls that a replica takes at a time: those requests, and questions about them."""
STUCK_AFTER = 120.0
"""Seconds without a step, while jobs run, after which an engine counts as stuck."""


class Replica:
    """Answers requests; every method but `answer` returns at once."""

    def __init__(self, models: tuple[str, ...] = ("bundled",)) -> None:
        """Args:
        models: Loaded before the replica counts as ready.
        """
        limits = Limits(max_queued=SLOTS, max_results=SLOTS)
        self._service = LocalService(limits=limits, budget=_budget())
        self._waits = ThreadPoolExecutor(SLOTS, "answers")
        self._progress = (0, time.monotonic())
        self._n_asked = 0
        for model in models:
            revision = self._service.facts(model).revision
            self._service.run(WarmUpRequest(model, revision))

    async def answer(
        self, code: str, message: bytes, priority: int, seconds: float | None
    ) -> bytes:
        """The final status of a request; a caller that leaves ends it.

        Args:
            code: Digest of the caller's code.
            message: The request.
            priority: Class to wait in.
            seconds: Until the answer is worthless; None for never.
        """
        if code != code_digest():
            return dump(JobStatus("", "failed", error=other_code(code, code_digest())))
        self._n_asked += 1
        request, owner = load(message), uuid4().hex
        key = request.digest
        loop = asyncio.get_running_loop()
        try:
            self._service.submit(
                request, owner=owner, priority=Priority(priority), deadline=seconds,
                supersede=False, keep=False,
            )  # fmt: skip
            return await loop.run_in_executor(self._waits, self._end, key, owner)
        except KronosError as error:  # there is no room, or it is too late
            return dump(JobStatus(key, "failed", error=error))
        finally:  # a caller that is gone, too: the engine drops the job at its next step
            self._service.leave(key, owner=owner)

    def _end(self, key: str, owner: str) -> bytes:
        try:
            return dump(JobStatus(key, "done", result=self._service.result(key, owner=owner)))
        except ForecastCancelled:
            return dump(JobStatus(key, "cancelled"))
        except Exception as error:  # noqa: BLE001 (whatever the request raised is its answer)
            return dump(JobStatus(key, "failed", error=error))

    async def status(self, priorities: dict[str, int]) -> dict[str, tuple[str, int, int, int]]:
        """Stage, steps done, steps in all and place in line of the requests that wait or run here.

        Args:
            priorities: By digest of a request, the class that the caller has it in now; a better
                one is taken over. Those that are not here are left out of the answer.
        """
        found = {}
        for key, priority in priorities.items():
            self._service.engine.queue.promote(key, Priority(priority))
            status = self._service.status(key)
            if status is not None and not status.is_final:
                found[key] = status.stage, status.done, status.total, status.position
        return found

    async def state(self) -> dict[str, Any]:
        """What the handshake compares, and what pages and commands show."""
        import torch

        counts = self._service.engine.queue.counts()
        return {
            "pid": os.getpid(),
            "code": code_digest(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "models": dump(self._service.models),
            "waiting": sum(counts.waiting.values()),
            "running": counts.running,
            "asked": self._n_asked,
            "joined": counts.joined,
            "steps": self._service.engine.n_steps,
            "bytes": process_bytes(),
        }

    async def facts(self, model: str) -> bytes:
        """What a request needs to know of a model; an error as a value."""
        try:
            return dump(self._service.facts(model))
        except KronosError as error:
            return dump(error)

    def check_health(self) -> None:
        """Called by Serve every second or so.

        Raises:
            Busy: The engine's thread has ended, or has made no step for long while jobs run.
        """
        engine, now = self._service.engine, time.monotonic()
        if not engine.is_alive:
            raise Busy("The engine's thread has ended.")
        if engine.n_steps != self._progress[0] or not engine.is_drawing:
            self._progress = (engine.n_steps, now)
        elif now - self._progress[1] > STUCK_AFTER:
            raise Busy(f"The engine has made no step for {now - self._progress[1]:.0f} s.")

    def __del__(self) -> None:
        threading.Thread(target=self._service.close, daemon=True).start()


def other_code(own: str, theirs: str) -> RevisionMismatch:
    """The refusal between an application and replicas of different code."""
    return RevisionMismatch(
        f"The replicas of the cluster run other code ({theirs}) than this application ({own}), and "
        "might draw other paths. Install the same version on both sides, then run kronos cluster "
        "start again."
    )


def _budget() -> int | None:
    """Bytes of weights: the share of the machine that this replica's processors are."""
    import ray

    from kronos.system import total_bytes

    total = total_bytes()
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 0.0)
    if not total or not cpus:
        return None
    return int(total / 2 * min(1.0, cpus / (os.cpu_count() or 1)))
