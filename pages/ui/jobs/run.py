"""One request on its way: with the downloads or with the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kronos.serving.queue import JobQueue
from pages.ui.inputs.request import ForecastRequest
from pages.ui.jobs import queues
from pages.ui.jobs.work import work_key


@dataclass(frozen=True, slots=True)
class Run:
    """A request, and where it is.

    Attributes:
        request: What was asked for.
        phase: Its model is missing on this machine and waits for a click, is being downloaded, or
            the engine has the request.
    """

    request: ForecastRequest
    phase: Literal["missing", "download", "forecast"]

    @property
    def key(self) -> str:
        """What the queue knows it by."""
        if self.phase == "forecast":
            return self.request.key
        return work_key("download", self.request.model)

    @property
    def queue(self) -> JobQueue:
        """The queue that has it."""
        return queues.forecasts() if self.phase == "forecast" else queues.downloads()
