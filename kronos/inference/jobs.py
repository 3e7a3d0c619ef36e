"""A job of the runner: what is to be done, how far it is, and what outsiders may see of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from kronos.errors import ForecastCancelled

State = Literal["queued", "running", "done", "failed", "cancelled"]


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
        watchers: Number of owners waiting for it.
        result: What the work returned, once done.
        error: What the work raised, once failed.
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

    @property
    def is_final(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class JobControl:
    """The worker's side of a job: where work reports progress and learns that it must stop."""

    def __init__(self, job: Job, is_abandoned: Callable[[Job], bool]) -> None:
        self._job = job
        self._is_abandoned = is_abandoned

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
        if self._job.stop.is_set() or self._is_abandoned(self._job):
            raise ForecastCancelled("The forecast was cancelled; nothing of it is kept.")


Work = Callable[[JobControl], Any]


class Job:
    """The runner's own record of a job.

    The worker alone writes stage, done, total and since; the rest is guarded by the runner's lock.
    """

    def __init__(self, key: str, work: Work) -> None:
        self.key = key
        self.work: Work | None = work
        self.state: State = "queued"
        self.stop = threading.Event()
        self.watchers: dict[str, float] = {}
        self.result: Any = None
        self.error: Exception | None = None
        self.begin("")

    def begin(self, stage: str) -> None:
        self.stage, self.done, self.total = stage, 0, 0
        self.since = time.monotonic()
