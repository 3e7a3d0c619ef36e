"""ForecastService: where requests are submitted, followed and answered.

Pages and commands know a service and no engine: that of this process, or one elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kronos.errors import ForecastCancelled, NotFinished
from kronos.serving.jobs import JobStatus, Priority

if TYPE_CHECKING:
    from kronos.request import EngineRequest, ModelFacts
    from kronos.serving.model_cache import LoadedModel

__all__ = ["FACTS_KEPT", "BulkRequest", "ForecastService", "Prepare"]

FACTS_KEPT = 5.0
"""Seconds for which the facts of a model are taken as known."""
_AHEAD = 2
"""Requests of `run_many` in flight, so that the engine computes while an answer is used."""


@dataclass(frozen=True, slots=True, eq=False)
class BulkRequest:
    """One of many requests; see `ForecastService.run_many`.

    Attributes:
        request: The question.
        reduce: What is made of its answer before it travels, such as quantiles and scores of
            paths; data and a function of a module, so that any process can call it. None for the
            answer itself.
        label: By what the caller knows it again.
    """

    request: EngineRequest
    reduce: Callable[[Any], Any] | None = None
    label: Any = None

    def reduced(self, answer: Any) -> Any:
        """What is made of an answer."""
        return answer if self.reduce is None else self.reduce(answer)


Prepare = Callable[[Any], BulkRequest]
"""Makes a request of what stands for it; data and a function of a module, as `reduce` is."""


class ForecastService(ABC):
    """Answers requests, each under its digest. Any thread may call.

    An owner is a name for one who waits. Equal requests share one computation.

    Attributes:
        watch_every: Seconds between two looks of `run` at a request that is watched.
    """

    watch_every = 0.05

    @abstractmethod
    def submit(
        self,
        request: EngineRequest,
        *,
        owner: str,
        priority: Priority = Priority.PERSON,
        deadline: float | None = None,
        supersede: bool = True,
        wait: bool = False,
        keep: bool = True,
    ) -> JobStatus:
        """Have a request answered, or join the job or result that exists under its digest.

        Args:
            request: The question.
            owner: Who waits for the answer.
            priority: Class to wait in.
            deadline: Seconds from now after which the answer is worthless to this owner.
            supersede: Leave all other jobs of this owner.
            wait: Block while the class is full, until the deadline at most.
            keep: Keep the answer for later requests.

        Raises:
            Busy: The class is full, or the service is closed; nothing was changed.
            DeadlineExceeded: There was no room before the deadline; nothing was changed.
        """

    @abstractmethod
    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """State, place in line and progress of a request by its digest; None if it is not known.

        Args:
            key: The digest.
            owner: Who looks; an owner that has not looked for long counts as gone.
        """

    @abstractmethod
    def result(self, key: str, *, owner: str, timeout: float | None = None) -> Any:
        """Wait for an answer.

        Raises:
            NotFinished: Not within `timeout` seconds.
            Exception: What answering the request raised.
        """

    @abstractmethod
    def leave(self, key: str, *, owner: str) -> None:
        """Stop waiting for a request; its job ends once nobody waits for it."""

    @abstractmethod
    def leave_all(self, *, owner: str) -> tuple[str, ...]:
        """Stop waiting for everything, as an owner that is gone; returns the digests."""

    @abstractmethod
    def facts(self, model: str) -> ModelFacts:
        """What a request needs to know of a model, baseline or ensemble; loads nothing.

        Raises:
            InvalidRequest: There is no such model.
            CheckpointError: Its files are missing or cannot be used.
        """

    @property
    @abstractmethod
    def models(self) -> tuple[LoadedModel, ...]:
        """The models in memory, the least recently used first."""

    def replicas(self) -> list[dict[str, Any]]:
        """What each engine of a cluster does; see `Replica.state`. None of one process."""
        return []

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether `close` was called."""

    @abstractmethod
    def close(self) -> bool:
        """Refuse and cancel everything; whether all work ended."""

    def offer(self, key: str, answer: Any) -> None:  # noqa: B027 (a service elsewhere takes none)
        """Answer a request before it is submitted, with what an earlier process computed here."""

    def run(
        self,
        request: EngineRequest,
        *,
        owner: str = "",
        priority: Priority = Priority.PERSON,
        deadline: float | None = None,
        watch: Callable[[JobStatus], None] | None = None,
        keep: bool = False,
    ) -> Any:
        """Submit a request, wait for room if there is none, and return its answer.

        Args:
            request: The question.
            owner: Who waits; "" for a name of this call's own.
            priority: Class to wait in.
            deadline: Seconds from now after which the answer is worthless.
            watch: Called in this thread with the state of things, again and again; raising, like
                an interrupt, leaves the request.
            keep: Keep the answer for later requests.

        Raises:
            Exception: What answering the request raised.
        """
        owner = owner or f"run {uuid4().hex}"
        key = request.digest
        self.submit(
            request,
            owner=owner,
            priority=priority,
            deadline=deadline,
            supersede=False,
            wait=True,
            keep=keep,
        )
        look_every = self.watch_every if watch else None
        try:
            while True:
                try:
                    return self.result(key, owner=owner, timeout=look_every)
                except NotFinished:
                    # By the owner, this would count as the end seen of a job that has just ended,
                    # and drop its answer.
                    status = self.status(key)
                    if watch and status is not None and not status.is_final:
                        watch(status)
        finally:
            self.leave(key, owner=owner)

    def run_many(
        self,
        requests: Iterable[Any],
        *,
        prepare: Prepare | None = None,
        watch: Callable[[], object] | None = None,
    ) -> Iterator[tuple[Any, Any]]:
        """Answer many requests at batch priority, a few at a time.

        Args:
            requests: The questions, each a `BulkRequest`, or whatever `prepare` makes one of; read
                as there is room, so that they may be built on demand.
            prepare: Called for each of `requests` by the process that answers, in several threads
                at a time. It travels there once and may hold much: the bars that windows are cut
                from.
            watch: Called in this thread, again and again; raising, like an interrupt or the end
                of the iteration, leaves what is in flight.

        Yields:
            Each request and its reduced answer, in the order of completion.

        Raises:
            Exception: What preparing, answering or reducing a request raised.
        """
        stopped = Event()

        def check(_: JobStatus) -> None:
            if stopped.is_set():
                raise ForecastCancelled("The run was stopped; what is done stays.")

        def answer(part: Any) -> Any:
            each: BulkRequest = part if prepare is None else prepare(part)
            return each.reduced(self.run(each.request, priority=Priority.BATCH, watch=check))

        waiting = iter(requests)
        with ThreadPoolExecutor(_AHEAD, "run-many") as pool:
            running: dict[Future[Any], Any] = {}
            try:
                while True:
                    while len(running) < _AHEAD and (part := next(waiting, None)) is not None:
                        running[pool.submit(answer, part)] = part
                    if not running:
                        return
                    look_every = self.watch_every if watch else None
                    done = wait(running, look_every, return_when=FIRST_COMPLETED).done
                    if watch:
                        watch()
                    for future in [future for future in running if future in done]:
                        yield running.pop(future), future.result()
            finally:
                stopped.set()
