"""One engine for everybody: it owns the models and the device, in one thread.

Requests wait in a queue. The thread takes them, reads their contexts, and draws the paths of all
of them together, one step after another: a request joins at any step and leaves as soon as it is
done or nobody wants it. A person goes before work in the background, which pauses at its next
step. Whatever goes wrong with one request is found by halving the batch and stays with it.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kronos.decoding import MAX_ROWS
from kronos.errors import ForecastCancelled, NotFinished, OutOfMemory
from kronos.serving.jobs import Job, JobStatus, Limits, Priority
from kronos.serving.model_cache import (
    Load,
    LoadedModel,
    ModelCache,
    Predictor,
    is_out_of_memory,
)
from kronos.serving.worker import Worker

if TYPE_CHECKING:
    from kronos.decoding.decoder import Decoder
    from kronos.decoding.drawing import Drawing
    from kronos.decoding.sequence import TokenSequence

__all__ = ["SAMPLING", "Engine", "Request"]

logger = logging.getLogger(__name__)

SAMPLING = "Sampling"
"""Stage in which progress counts steps; in other stages it counts bytes."""
WATCHED_EVERY = 0.05
"""Seconds between two looks at a request that is watched."""
LINGER = 0.002
"""Seconds an idle engine waits on a GPU for requests that could share the first batch."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the engine.

    Attributes:
        model: Name of the model, as the loader knows it.
        begin: Gets the loaded model; returns the series to draw and what to make of them.
            Raises what is wrong with the request. Called in the engine's thread.
        revision: Tells weights of one name apart; empty where the name says all.
    """

    model: str
    begin: Callable[[Any], Drawing]
    revision: str = ""


class _Running:
    """A job that has been begun."""

    def __init__(self, job: Job, predictor: Predictor, drawing: Drawing) -> None:
        self.job = job
        self.predictor = predictor
        self.drawing = drawing

    @property
    def unfinished(self) -> list[TokenSequence]:
        """Series to step next: as many as fit into one batch, but always one."""
        waiting = [c for c in self.drawing.series if not c.is_done]
        rows = itertools.accumulate(c.n_rows for c in waiting)
        n = sum(total <= MAX_ROWS for total in rows)
        return waiting[: max(1, n)]

    @property
    def n_rows(self) -> int:
        return sum(c.n_rows for c in self.unfinished)

    @property
    def gathers(self) -> bool:
        """Whether others that come within a moment are worth waiting for."""
        return self.predictor.decoder is not None and self.predictor.decoder.gathers

    def report(self) -> None:
        series = self.drawing.series
        self.job.total = sum(c.n_steps for c in series)
        self.job.done = sum(c.n_steps_done for c in series)


class Engine(Worker):
    """Forecasts for everybody who asks, from one worker thread."""

    def __init__(
        self, load: Load, *, budget: int | None = None, limits: Limits | None = None
    ) -> None:
        """Args:
        load: Loads a model by name.
        budget: Bytes of weights kept in memory; None for half of the machine's.
        limits: Of the queue.
        """
        self._models = ModelCache(load, budget)
        self._running: list[_Running] = []
        super().__init__("kronos-engine", limits)

    @property
    def loaded(self) -> list[str]:
        """Names of the models in memory."""
        return [model.name for model in self._models.contents]

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """The models in memory, the least recently used first."""
        return self._models.contents

    def run(
        self,
        key: str,
        request: Request,
        *,
        owner: str,
        priority: Priority = Priority.PERSON,
        deadline: float | None = None,
        watch: Callable[[JobStatus], None] | None = None,
        keep: bool = True,
    ) -> Any:
        """Submit a request, wait for room if there is none, and return its answer.

        Args:
            key: Stands for the answer.
            request: What is asked.
            owner: Who asks.
            priority: Class to wait in.
            deadline: Seconds from now after which the answer is worthless.
            watch: Called in this thread with the state of things, again and again; raising, like
                an interrupt, leaves the request.
            keep: Keep the answer for later requests, as for `JobQueue.submit`.

        Raises:
            Exception: What the request raised.
        """
        self.queue.submit(
            key,
            request,
            owner=owner,
            priority=priority,
            deadline=deadline,
            supersede=False,
            wait=True,
            keep=keep,
        )
        look_every = WATCHED_EVERY if watch else None
        try:
            while True:
                try:
                    return self.queue.result(key, owner=owner, timeout=look_every)
                except NotFinished:
                    status = self.queue.status(key, owner=owner)
                    if watch and status is not None and not status.is_final:
                        watch(status)
        finally:
            self.queue.leave(key, owner=owner)

    # The rest runs in the engine's thread.

    def _serve(self) -> None:
        while True:
            if not self._admit():
                break
            self._drop_unwanted()
            for predictor, members in self._next_batch().items():
                if predictor.decoder is not None:
                    self._step(predictor.decoder, members)
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
        request: Request = job.payload
        try:
            predictor = self._predictor(job, request)
            job.begin(SAMPLING)
            running = _Running(job, predictor, request.begin(predictor))
            running.report()
            self._running.append(running)
        except ForecastCancelled:
            self.queue.cancel(job)
        # The boundary of the thread: what one request raises becomes its answer, because an
        # error that escaped would end the only worker and leave everybody waiting.
        except Exception as error:  # noqa: BLE001
            self._fail(job, error)

    def _predictor(self, job: Job, request: Request) -> Predictor:
        key = (request.model, request.revision)
        if key not in self._models:
            job.begin("Loading the model")

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            if not self.queue.is_wanted(job):
                raise ForecastCancelled("The forecast was cancelled; nothing of it is kept.")

        return self._models.get(key, progress, [r.predictor for r in self._running])

    def _drop_unwanted(self) -> None:
        for running in list(self._running):
            if not self.queue.is_wanted(running.job):
                self._running.remove(running)
                self.queue.cancel(running.job)

    def _next_batch(self) -> dict[Predictor, list[TokenSequence]]:
        """Series to step now, by model: those of the best priority alone."""
        best = min((r.job.priority for r in self._running), default=None)
        batch: dict[Predictor, list[TokenSequence]] = {}
        for running in self._running:
            if running.job.priority == best:
                batch.setdefault(running.predictor, []).extend(running.unfinished)
        return batch

    def _step(self, decoder: Decoder, series: Sequence[TokenSequence]) -> None:
        """One step of these series; halves the batch until whatever fails is alone."""
        if not series:
            return
        try:
            decoder.step(series)
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
            if series in running.drawing.series:
                self._running.remove(running)
                self._fail(running.job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        if is_out_of_memory(error):
            told = OutOfMemory(
                "This forecast needs more memory than the machine has left, even in small "
                "portions. Choose a smaller model or a shorter context, or close other programs."
            )
            told.__cause__ = error
            error = told
        super()._fail(job, error)

    def _settle(self) -> None:
        """Reports progress, and answers what is finished."""
        for running in list(self._running):
            running.report()
            if running.unfinished:
                continue
            self._running.remove(running)
            try:
                self.queue.finish(running.job, running.drawing.finish())
            except Exception as error:  # noqa: BLE001 (as in _begin)
                self._fail(running.job, error)
