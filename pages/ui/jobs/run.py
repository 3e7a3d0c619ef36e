"""One forecast on its way: with the downloads or with the forecast service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kronos.candles import Candles
from kronos.request import ForecastRequest
from kronos.serving.jobs import JobStatus
from pages.ui.inputs.request import ForecastSettings
from pages.ui.jobs import queues
from pages.ui.jobs.work import download_work, work_key


@dataclass(frozen=True, slots=True)
class Run:
    """A forecast, and where it is.

    Attributes:
        settings: What the controls said.
        request: The request that they make.
        phase: Its model is missing on this machine and waits for a click, is being downloaded, or
            the service has the request.
    """

    settings: ForecastSettings
    request: ForecastRequest
    phase: Literal["missing", "download", "forecast"]

    @classmethod
    def of(
        cls,
        settings: ForecastSettings,
        candles: Candles,
        phase: Literal["missing", "download", "forecast"],
    ) -> Run:
        """The run of some settings.

        Raises:
            KronosError: No request can be made of them.
        """
        facts = queues.forecasts().facts(settings.model)
        return cls(settings, settings.request(candles, facts), phase)

    @property
    def key(self) -> str:
        """What the queue knows it by."""
        if self.phase == "forecast":
            return self.request.digest
        return work_key("download", self.settings.model)

    def submit(self, *, owner: str, supersede: bool) -> JobStatus:
        """Submit the download or the request.

        Raises:
            Busy: The queue is full.
        """
        if self.phase == "forecast":
            return queues.forecasts().submit(self.request, owner=owner, supersede=supersede)
        work = download_work(self.settings.model)
        return queues.downloads().submit(self.key, work, owner=owner, supersede=supersede)

    def status(self, *, owner: str | None = None) -> JobStatus | None:
        """How far it is."""
        return self._queue.status(self.key, owner=owner)

    def leave(self, *, owner: str) -> None:
        """Stop waiting for it."""
        self._queue.leave(self.key, owner=owner)

    def shares_queue(self, other: Run) -> bool:
        """Whether both are with the same queue, where one supersedes the other."""
        return self._queue is other._queue

    @property
    def _queue(self) -> queues.Queue:
        return queues.forecasts() if self.phase == "forecast" else queues.downloads()
