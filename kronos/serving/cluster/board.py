"""Place and progress of the jobs that replicas work on.

One question a second for all jobs of a replica: one for each job would cost both sides a tenth of
what a forecast does.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from kronos.serving.cluster.calls import Call, full, lost
from kronos.serving.jobs import Job

__all__ = ["EVERY", "Board"]

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two questions."""
_VAIN = 4
"""Questions about one model that find no job, after which the rest waits for the next round."""


@dataclass(slots=True)
class _Carried:
    """A job under way.

    Attributes:
        job: Its place, stage, done and total are written.
        handle: Of the replica that has it.
        joined: `n_joined` of when the handle was made.
        model: Name of its model: jobs of one model are with few replicas.
        since: When it was sent.
        is_known: Whether its replica has spoken of it.
    """

    job: Job
    handle: Any
    joined: int
    model: str
    since: float
    is_known: bool = False


class Board:
    """Writes place and progress into jobs; any thread may call."""

    def __init__(self) -> None:
        self._carried: dict[Job, _Carried] = {}
        self._change = threading.Condition()
        self._is_closed = False
        threading.Thread(target=self._run, name="kronos-board", daemon=True).start()

    def add(self, job: Job, handle: Any, joined: int, model: str) -> None:
        """Ask for a job from now on.

        Args:
            job: Its place, stage, done and total are written.
            handle: Of the replica that it was sent to.
            joined: `n_joined` of when the handle was made.
            model: Name of its model.
        """
        with self._change:
            self._carried[job] = _Carried(job, handle, joined, model, time.monotonic())
            self._change.notify()

    def remove(self, job: Job) -> None:
        """Ask no more for a job."""
        with self._change:
            self._carried.pop(job, None)

    def close(self) -> None:
        """End the thread."""
        with self._change:
            self._is_closed = True
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._is_closed or self._carried)
                self._change.wait_for(lambda: self._is_closed, EVERY)
                if self._is_closed:
                    return
                # What is answered at once needs no place.
                sent = time.monotonic() - EVERY / 2
                due = [each for each in self._carried.values() if each.since < sent]
            models: dict[tuple[int, str], list[_Carried]] = {}
            for each in sorted(due, key=lambda each: not each.is_known):
                models.setdefault((each.joined, each.model), []).append(each)
            for jobs in models.values():
                self._ask(jobs)

    def _ask(self, jobs: list[_Carried]) -> None:
        """Ask for jobs of one model: the replica of the first, until each replica has answered."""
        left, n_vain = jobs, 0
        while left and n_vain < _VAIN:
            first, *others = left
            priorities = {each.job.key: int(each.job.priority) for each in left}
            try:
                call = Call(first.handle.options(method_name="status"), first.joined, priorities)
                try:
                    found = call.answer.result(EVERY)
                except TimeoutError:  # no slot for a question: nor for a request, for all we know
                    call.cancel()
                    break
            except (*lost(), full()):  # what became of the requests, their own calls say
                return
            except Exception as error:  # the thread goes on: the next round asks again
                logger.warning("No places from the replicas of %s.", first.model, exc_info=error)
                return
            n_vain += not found
            for each in left:
                if (state := found.get(each.job.key)) is not None:
                    self._write(each, *state)
            left = [each for each in others if each.job.key not in found]
        with self._change:
            for each in jobs:
                if not each.is_known and self._carried.get(each.job) is each:
                    each.job.place = each.job.place or 1

    def _write(self, carried: _Carried, stage: str, done: int, total: int, place: int) -> None:
        with self._change:
            if self._carried.get(carried.job) is not carried:  # it has ended since
                return
            job, carried.is_known = carried.job, True
            if stage != job.stage:
                job.begin(stage)
            job.done, job.total, job.place = done, total, place
