"""A job of the queue: what is to be done, how far it is, and what outsiders may see of it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from kronos.errors import ForecastCancelled

State = Literal["queued", "running", "done", "failed", "cancelled"]
FINAL_STATES = frozenset({"done", "failed", "cancelled"})


class Priority(IntEnum):
    """How soon a job is taken; the smaller number goes first."""

    PERSON = 0  # somebody waits for the answer
    BATCH = 1  # work in the background


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What a job looked like at one moment.

    Attributes:
        key: Key it was submitted under.
        state: queued, running, done, failed or cancelled; the last three are final.
        position: Place in the queue, 1 being next; 0 once it runs.
        stage: What the work says it is doing.
        done: Steps finished in this stage.
        total: Steps of this stage; 0 while unknown.
        seconds: Time spent in this stage.
        seconds_left: Estimate for the rest of this stage; None until a step is finished.
        watchers: Number of owners waiting for it; of a final job, those who have not seen its end.
        result: What the work returned, once done.
        error: What the work raised, once failed.
        priority: Class it waits or waited in.
    """

    key: str
    state: State
    position: int = 0
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    watchers: int = 0
    result: Any = None
    error: Exception | None = None
    priority: Priority = Priority.PERSON

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES


class JobControl:
    """The worker's side of a job: where work reports progress and learns that it must stop.

    Args:
        job: The running job.
        is_wanted: Whether anybody still wants its result.
    """

    def __init__(self, job: Job, is_wanted: Callable[[Job], bool]) -> None:
        self._job = job
        self._is_wanted = is_wanted

    @property
    def stage_name(self) -> str:
        """The stage that was begun last."""
        return self._job.stage

    def progress(self, done: int, total: int) -> None:
        """Report `done` of `total` steps.

        Raises:
            ForecastCancelled: nobody wants the result any more.
        """
        self._job.done, self._job.total = int(done), int(total)
        self.check()

    def stage(self, name: str) -> None:
        """Begin a stage; progress and the estimate of the time left start anew.

        Raises:
            ForecastCancelled: nobody wants the result any more.
        """
        self._job.begin(name)
        self.check()

    def check(self) -> None:
        """Return if the work is still wanted.

        Raises:
            ForecastCancelled: nobody wants the result any more.
        """
        if not self._is_wanted(self._job):
            raise ForecastCancelled("The forecast was cancelled; nothing of it is kept.")


Work = Callable[[JobControl], Any]


@dataclass(slots=True)
class Watcher:
    """One owner's interest in a job; times are those of the queue's clock, in seconds.

    Attributes:
        seen: When the owner was last heard of.
        deadline: When the answer becomes worthless to the owner; infinite for never.
        n_blocked: Calls in which the owner waits for the end right now.
    """

    seen: float
    deadline: float
    n_blocked: int = 0

    def is_silent_since(self, limit: float) -> bool:
        return self.n_blocked == 0 and self.seen < limit


class Job:
    """The queue's own record of a job.

    Its worker alone writes stage, done, total and since; the rest is guarded by the queue's lock.

    Attributes:
        key: Key it was submitted under.
        payload: What is to be done, for the worker; None once the job has ended.
        priority: Class it waits in.
        number: Orders the jobs of a class, smallest first.
        submitted: When it was first submitted, by the queue's clock.
        deadline: The latest deadline of those who wait for it, by the queue's clock; infinite if
            one of them sets none.
        stop: Set once the result is no longer wanted.
        is_kept: Whether its result is kept once everybody who waits has seen it.
    """

    def __init__(self, key: str, payload: Any, submitted: float) -> None:
        self.key = key
        self.payload = payload
        self.priority = Priority.PERSON
        self.number = 0
        self.submitted = submitted
        self.deadline = -math.inf
        self.state: State = "queued"
        self.stop = threading.Event()
        self.is_kept = False
        self.watchers: dict[str, Watcher] = {}
        self.ended: threading.Condition | None = None
        self.result: Any = None
        self.error: Exception | None = None
        self.begin("")

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    def begin(self, stage: str) -> None:
        self.stage, self.done, self.total = stage, 0, 0
        self.since = time.monotonic()

    def watch(self, owner: str, now: float, deadline: float) -> Watcher:
        """Count `owner` as waiting; of several deadlines of one owner the latest holds."""
        watcher = self.watchers.setdefault(owner, Watcher(now, deadline))
        watcher.seen = now
        watcher.deadline = max(watcher.deadline, deadline)
        self.deadline = max(self.deadline, watcher.deadline)
        return watcher

    def unwatch(self, owner: str) -> None:
        watcher = self.watchers.pop(owner, None)
        if watcher is not None and self.watchers and watcher.deadline >= self.deadline:
            self.deadline = max(other.deadline for other in self.watchers.values())

    def is_unwanted(self, now: float, abandon_after: float) -> bool:
        """Whether it was stopped, came too late, or was abandoned by everybody."""
        if self.stop.is_set() or self.deadline <= now:
            return True
        limit = now - abandon_after
        return all(watcher.is_silent_since(limit) for watcher in self.watchers.values())

    def describe(self, position: int) -> JobStatus:
        done, total, seconds = self.done, self.total, time.monotonic() - self.since
        return JobStatus(
            key=self.key,
            state=self.state,
            position=position,
            stage=self.stage,
            done=done,
            total=total,
            seconds=seconds,
            seconds_left=seconds / done * max(total - done, 0) if done else None,
            watchers=len(self.watchers),
            result=self.result,
            error=self.error,
            priority=self.priority,
        )
