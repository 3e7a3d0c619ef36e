"""Threads that carry jobs to replicas and bring back how they ended.

A replica that is lost is asked again elsewhere: a seed gives the same paths wherever it is drawn.
"""

from __future__ import annotations

import threading
import time

from kronos.errors import DeadlineExceeded, ForecastCancelled, ServiceUnreachable
from kronos.request import EngineRequest
from kronos.serving.cluster.board import EVERY, Board
from kronos.serving.cluster.calls import PATIENCE, PAUSE, Call, full, lost
from kronos.serving.cluster.connection import code_digest, n_joined
from kronos.serving.cluster.handles import Handles
from kronos.serving.cluster.replica import ONGOING
from kronos.serving.jobs import Job, JobStatus, Limits, Priority
from kronos.serving.wire import dump, load
from kronos.serving.worker import Worker

__all__ = ["Carriers"]

_RESERVED = {Priority.PERSON: ONGOING // 4, Priority.VISIT: ONGOING // 2}
"""Threads that carry nothing of a worse class: work in the background leaves room for people here
and, because a replica takes no more than there are threads, in the replicas."""


class Carriers(Worker):
    """Each thread carries one request at a time.

    Attributes:
        n_repeated: Requests that were asked again because a replica was lost.
    """

    def __init__(self, handles: Handles, limits: Limits | None) -> None:
        """Args:
        handles: Of the replicas.
        limits: Of the queue.
        """
        self._handles = handles
        self._board = Board()
        self.n_repeated = 0
        classes = [worst for worst, n in _RESERVED.items() for _ in range(n)]
        self._classes = iter([*classes, *[Priority.BATCH] * (ONGOING - len(classes))])
        self._choosing = threading.Lock()
        super().__init__("kronos-cluster", limits, n_threads=ONGOING)

    def close(self, timeout: float = 5.0) -> bool:
        """See `Worker.close`."""
        self._board.close()
        return super().close(timeout)

    def _serve(self) -> None:
        with self._choosing:
            worst = next(self._classes)
        while (job := self.queue.take(worst=worst)) is not None:
            self._perform(job)
            del job  # as in Worker._serve

    def _perform(self, job: Job) -> None:
        try:
            status = self.carry(job)
        except ForecastCancelled:
            self.queue.cancel(job)
        except Exception as error:  # noqa: BLE001 (as in Worker._perform)
            self._fail(job, error)
        else:
            job.place = 0
            if status.state == "done":
                self.queue.finish(job, status.result)
            elif status.error is not None:
                self._fail(job, status.error)
            else:
                self.queue.cancel(job)

    def carry(self, job: Job) -> JobStatus:
        """Have a replica answer a job; the final status.

        Raises:
            ForecastCancelled: Nobody wants it any more.
            ServiceUnreachable: No replica was there for a minute.
        """
        message, give_up = dump(job.payload), None
        while True:
            try:
                status = self._carry_once(job, message)
                # Another owner, who has more time, may have joined since.
                if not isinstance(status.error, DeadlineExceeded) or _is_late(job):
                    return status
            except lost() as error:
                now = time.monotonic()
                give_up = now + PATIENCE if give_up is None else give_up
                self.n_repeated += 1
                if now > give_up:
                    raise ServiceUnreachable(
                        f"The cluster at {self._handles.address} has had no replica for "
                        f"{PATIENCE:.0f} s ({type(error).__name__}). kronos cluster status shows "
                        "what runs there."
                    ) from error
                self._wait(job)
                self._handles.join_again(error)
            except full():
                job.place = job.place or 1
                self._wait(job)

    def _carry_once(self, job: Job, message: bytes) -> JobStatus:
        request: EngineRequest = job.payload
        seconds = None if job.deadline == float("inf") else job.deadline - time.monotonic()
        joined, handle = n_joined(), self._handles.of(request.model, job.key)
        words = (code_digest(), message, int(job.priority), seconds)
        call = Call(handle.options(method_name="answer"), joined, *words)
        news = threading.Event()
        call.answer.add_done_callback(lambda _: news.set())
        job.on_stop = news.set
        self._board.add(job, handle, joined, request.model)
        try:
            while not call.answer.done():
                if not self.queue.is_wanted(job):
                    call.cancel()
                    raise ForecastCancelled("Nobody waits for it.")
                call.require_node()
                news.wait(EVERY)  # the clock is for owners that fell silent, and for the node
            status: JobStatus = load(call.answer.result())
            return status
        finally:
            job.on_stop = None
            self._board.remove(job)

    def _wait(self, job: Job) -> None:
        time.sleep(PAUSE)
        if not self.queue.is_wanted(job):
            raise ForecastCancelled("Nobody waits for it.")


def _is_late(job: Job) -> bool:
    """Whether the deadline of a job has passed."""
    return job.deadline <= time.monotonic()
