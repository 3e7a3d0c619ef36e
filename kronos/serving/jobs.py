"""A job of the queue: its work, its progress, what outsiders see of it, and its errors."""

from __future__ import annotations

import contextlib
import copy
import math
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from kronos.errors import Busy, DeadlineExceeded, ForecastCancelled, InvalidRequest, NotFinished

State = Literal["queued", "running", "done", "failed", "cancelled"]
FINAL_STATES = frozenset({"done", "failed", "cancelled"})


class Priority(IntEnum):
    """How soon a job is taken; the smaller number goes first."""

    PERSON = 0  # somebody asked for the result and waits for it
    VISIT = 1  # a page that was opened shows it, but nobody has asked for it
    BATCH = 2  # work in the background


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a queue.

    Attributes:
        max_queued: Jobs of each priority that may wait beside those that run.
        max_results: Finished results stored, least recently used dropped first, and as many
            failed or cancelled jobs; beside those whose end an owner has yet to see.
        abandon_after: Seconds of silence after which an owner counts as gone.
        max_visits: Jobs of visits that may wait, instead of `max_queued`: a page that is opened
            shows a place in line, however long the line is.

    Raises:
        InvalidRequest: there is no room for even one job or result.
    """

    max_queued: int = 8
    max_results: int = 32
    abandon_after: float = 300.0
    max_visits: int = 4096

    def __post_init__(self) -> None:
        if min(self.max_queued, self.max_visits, self.max_results) < 1:
            raise InvalidRequest(
                "A queue needs room for at least one waiting job and one result, found "
                f"max_queued={self.max_queued}, max_visits={self.max_visits} and "
                f"max_results={self.max_results}."
            )

    def room(self, priority: Priority) -> int:
        """Jobs of a priority that may wait."""
        return self.max_visits if priority is Priority.VISIT else self.max_queued


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A snapshot of a job.

    Attributes:
        key: Key it was submitted under.
        state: queued, running, done, failed or cancelled; the last three are final.
        position: Place in the queue, 1 being next; 0 once it runs.
        stage: What the work is doing.
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


@dataclass(slots=True)
class Watcher:
    """One owner's interest in a job; times are those of the queue's clock, in seconds.

    Attributes:
        seen: When the owner last showed that it is there.
        deadline: When the result becomes worthless to the owner; infinite for never.
        n_blocked: Calls in which the owner waits for the end now.
        is_told: Whether the owner knows that its deadline has passed: it will not ask for the end.
    """

    seen: float
    deadline: float
    n_blocked: int = 0
    is_told: bool = False

    def is_silent_since(self, limit: float) -> bool:
        return self.n_blocked == 0 and self.seen < limit


class Job:
    """The queue's own record of a job.

    Its worker alone writes stage, done, total, since and place; the rest is guarded by the queue's
    lock.

    Attributes:
        key: Key it was submitted under.
        payload: What to do, for the worker; None once the job has ended.
        priority: Class it waits in.
        number: Orders the jobs of a class, smallest first.
        submitted: When it was first submitted, by the queue's clock.
        deadline: The latest deadline of its owners, by the queue's clock; infinite if one of them
            sets none.
        stop: Set once the result is no longer wanted.
        on_stop: Called, with the queue's lock held, where the job is stopped: a worker that waits
            for something else than the queue is woken by it.
        place: Place in the line of a replica elsewhere that works on it; 0 once it runs there.
        is_stored: Whether its result is stored once all its owners have seen it.
        ended: Notified when the job ends or an owner leaves it; None while nobody blocks on it.
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
        self.on_stop: Callable[[], object] | None = None
        self.place = 0
        self.is_stored = False
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
        watcher.seen, watcher.is_told = now, False
        watcher.deadline = max(watcher.deadline, deadline)
        self.deadline = max(self.deadline, watcher.deadline)
        return watcher

    def unwatch(self, owner: str) -> None:
        watcher = self.watchers.pop(owner, None)
        if watcher is not None and self.watchers and watcher.deadline >= self.deadline:
            self.deadline = max(other.deadline for other in self.watchers.values())

    def wake(self) -> None:
        """Wake the callers that block on it."""
        if self.ended is not None:
            self.ended.notify_all()

    def is_unwanted(self, now: float, abandon_after: float) -> bool:
        """Whether it was stopped, is past its deadline, or was abandoned by all owners."""
        if self.stop.is_set() or self.deadline <= now:
            return True
        limit = now - abandon_after
        return all(watcher.is_silent_since(limit) for watcher in self.watchers.values())

    def describe(self, position: int) -> JobStatus:
        done, total, seconds = self.done, self.total, time.monotonic() - self.since
        return JobStatus(
            key=self.key,
            state="queued" if self.place and self.state == "running" else self.state,
            position=position or (0 if self.is_final else self.place),
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


class JobControl:
    """The worker's side of a job: reports progress and says when to stop.

    Args:
        job: The running job.
        is_wanted: Whether an owner still wants its result.
    """

    def __init__(self, job: Job, is_wanted: Callable[[Job], bool]) -> None:
        self._job = job
        self._is_wanted = is_wanted

    @property
    def stage_name(self) -> str:
        """The stage that began last."""
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
            raise cancelled()


Work = Callable[[JobControl], Any]


# The errors that a queue raises of its own accord.


def full(position: int) -> Busy:
    return Busy(
        f"The forecast queue is full: yours would be number {position} in line. Nothing was "
        "started; try again in a moment.",
        position=position,
    )


def closed() -> Busy:
    return Busy("The forecast engine is shutting down; reload the page in a moment.")


def too_late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The forecast was not ready by its deadline and was given up; allow more time next time."
    )


def cancelled() -> ForecastCancelled:
    return ForecastCancelled("The forecast was cancelled; nothing of it is kept.")


def unknown(key: str) -> InvalidRequest:
    return InvalidRequest(
        f"There is no job {key[:16]!r} and no result of it is kept: submit it first."
    )


def not_finished(job: Job) -> NotFinished:
    return NotFinished(
        f"The job {job.key[:16]!r} is still {job.state} after the time allowed for waiting; it "
        "goes on, so ask for its result again."
    )


# Errors of the work outlive the call that raised them, and are raised again in other threads.


def release_frames(error: BaseException) -> None:
    """Turn the traceback of an error, and those of its causes, into a note of text.

    A traceback holds its frames, each frame holds the one that called it, and all of them hold
    their variables, tensors above all.
    """
    if error.__traceback__ is not None:
        error.add_note("Raised in the worker:\n" + "".join(traceback.format_exception(error)))
    pending: list[BaseException | None] = [error]
    known: set[int] = set()
    while pending:
        found = pending.pop()
        if found is None or id(found) in known:
            continue
        known.add(id(found))
        # Frames that caught an error and named it form a cycle with it, which clearing breaks.
        traceback.clear_frames(found.__traceback__)
        found.__traceback__ = None
        pending += [found.__cause__, found.__context__]


def raisable(error: Exception) -> Exception:
    """A copy of a stored error for one caller.

    Raising writes into the error, so one that several threads raised would collect the frames of
    all of them. An error that cannot be copied is returned as it is.
    """
    twin = error
    # The constructor of an error may need more than its args: nothing says which way it fails.
    with contextlib.suppress(Exception):
        twin = copy.copy(error)
    if twin is error or type(twin) is not type(error):
        return error
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin
