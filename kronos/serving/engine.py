"""One engine for everybody: it owns the models and the device, in one thread.

Requests wait in a queue. The thread takes them, reads their contexts, and draws the paths of all
of them together, one step after another: a request joins at any step and leaves as soon as it is
done or nobody waits for it. A person goes before work in the background, which pauses at its next
step. An error of one request is found by halving the batch and ends that request alone.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kronos.decoding import MAX_ROWS
from kronos.errors import ForecastCancelled, OutOfMemory
from kronos.serving.jobs import Job, Limits, Priority
from kronos.serving.model_cache import Load, LoadedModel, ModelCache
from kronos.serving.requests import prepare
from kronos.serving.worker import Worker
from kronos.system import is_out_of_memory

if TYPE_CHECKING:
    from kronos.decoding.decoder import Decoder
    from kronos.decoding.sequence import TokenSequence
    from kronos.forecasters.base import Forecaster, Pending
    from kronos.request import EngineRequest

__all__ = ["SAMPLING", "Engine"]

logger = logging.getLogger(__name__)

SAMPLING = "Sampling"
"""Stage in which progress counts steps; in other stages it counts bytes."""
LINGER = 0.002
"""Seconds an idle engine waits on a GPU for requests that could share the first batch."""


class _Running:
    """A job that has been begun."""

    def __init__(self, job: Job, forecaster: Forecaster, pending: Pending[Any]) -> None:
        self.job = job
        self.forecaster = forecaster
        self.pending = pending

    @property
    def unfinished(self) -> list[TokenSequence]:
        """Series to step next: as many as fit into one batch, but always one."""
        waiting = [c for c in self.pending.sequences if not c.is_done]
        rows = itertools.accumulate(c.n_rows for c in waiting)
        n = sum(total <= MAX_ROWS for total in rows)
        return waiting[: max(1, n)]

    @property
    def n_rows(self) -> int:
        return sum(c.n_rows for c in self.unfinished)

    @property
    def gathers(self) -> bool:
        """Whether others that come within a moment are worth waiting for."""
        return self.forecaster.decoder is not None and self.forecaster.decoder.gathers

    def report(self) -> None:
        series = self.pending.sequences
        self.job.total = sum(c.n_steps for c in series)
        self.job.done = sum(c.n_steps_done for c in series)


class Engine(Worker):
    """Forecasts for everybody who asks, from one worker thread.

    Attributes:
        n_steps: Steps sampled so far, of every path.
    """

    def __init__(
        self, load: Load, *, budget: int | None = None, limits: Limits | None = None
    ) -> None:
        """Args:
        load: Loads a forecaster by the name of its model.
        budget: Bytes of weights kept in memory; None for half of the machine's.
        limits: Of the queue.
        """
        self._models = ModelCache(load, budget)
        self._running: list[_Running] = []
        self.n_steps = 0
        super().__init__("kronos-engine", limits)

    @property
    def loaded(self) -> list[str]:
        """Names of the models in memory."""
        return [model.name for model in self._models.contents]

    @property
    def is_drawing(self) -> bool:
        """Whether a job has been begun and is not answered."""
        return bool(self._running)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """The models in memory, the least recently used first."""
        return self._models.contents

    # The rest runs in the engine's thread.

    def _serve(self) -> None:
        while True:
            if not self._admit():
                break
            self._drop_unwanted()
            for forecaster, members in self._next_batch().items():
                if forecaster.decoder is not None:
                    self._step(forecaster.decoder, members)
            self._settle()
        for running in self._running:
            self.queue.cancel(running.job)
        self._running.clear()
        self._models.clear()

    def _admit(self) -> bool:
        """Begins what there is room for; blocks while there is nothing to do. False at the end."""
        linger = 0.0 if self._running else LINGER
        while self._has_room():
            gathers = any(r.gathers for r in self._running)
            job = self.queue.take(None if not self._running else linger if gathers else 0.0)
            if job is None:
                break
            self._begin(job)
        return not self.queue.is_closed

    def _has_room(self) -> bool:
        """Whether a waiting job may begin beside those of its own and of better priority."""
        waiting = self.queue.peek_priority()
        reach = Priority.BATCH if waiting is None else waiting
        return sum(r.n_rows for r in self._running if r.job.priority <= reach) < MAX_ROWS

    def _begin(self, job: Job) -> None:
        request: EngineRequest = job.payload
        try:
            forecaster = self._forecaster(job, request)
            job.begin(SAMPLING)
            running = _Running(job, forecaster, prepare(request, forecaster))
            running.report()
            self._running.append(running)
        except ForecastCancelled:
            self.queue.cancel(job)
        # The boundary of the thread: what one request raises becomes its answer, because an
        # error that escaped would end the only worker and leave everybody waiting.
        except Exception as error:  # noqa: BLE001
            self._fail(job, error)

    def _forecaster(self, job: Job, request: EngineRequest) -> Forecaster:
        key = (request.model, request.revision)
        if key not in self._models:
            job.begin("Loading the model")

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            if not self.queue.is_wanted(job):
                raise ForecastCancelled("The forecast was cancelled; nothing of it is kept.")

        return self._models.get(key, progress, [r.forecaster for r in self._running])

    def _drop_unwanted(self) -> None:
        for running in list(self._running):
            if not self.queue.is_wanted(running.job):
                self._running.remove(running)
                self.queue.cancel(running.job)

    def _next_batch(self) -> dict[Forecaster, list[TokenSequence]]:
        """Series to step now, by model: those of the best priority alone."""
        best = min((r.job.priority for r in self._running), default=None)
        batch: dict[Forecaster, list[TokenSequence]] = {}
        for running in self._running:
            if running.job.priority == best:
                batch.setdefault(running.forecaster, []).extend(running.unfinished)
        return batch

    def _step(self, decoder: Decoder, series: Sequence[TokenSequence]) -> None:
        """One step of these series; halves the batch until whatever fails is alone."""
        if not series:
            return
        n_rows = sum(c.n_rows for c in series)
        try:
            decoder.step(series)
            self.n_steps += n_rows
            return
        except Exception as caught:  # noqa: BLE001 (as in _begin)
            error = caught
        left = [c for c in series if not c.is_done]
        if len(left) > 1:
            logger.info("A batch of %d series failed and is halved: %s", len(left), error)
            middle = len(left) // 2
            self._step(decoder, left[:middle])
            self._step(decoder, left[middle:])
        elif left and not (is_out_of_memory(error) and left[0].shrink()):
            self._fail_series(left[0], error)

    def _fail_series(self, series: TokenSequence, error: Exception) -> None:
        for running in list(self._running):
            if series in running.pending.sequences:
                self._running.remove(running)
                self._fail(running.job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        if is_out_of_memory(error):
            refusal = OutOfMemory(
                "This forecast needs more memory than the machine has left, even in small "
                "portions. Choose a smaller model or a shorter context, or close other programs."
            )
            refusal.__cause__ = error
            error = refusal
        super()._fail(job, error)

    def _settle(self) -> None:
        """Reports progress, and answers what is finished."""
        for running in list(self._running):
            running.report()
            if running.unfinished:
                continue
            self._running.remove(running)
            try:
                self.queue.finish(running.job, running.pending.result())
            except Exception as error:  # noqa: BLE001 (as in _begin)
                self._fail(running.job, error)
