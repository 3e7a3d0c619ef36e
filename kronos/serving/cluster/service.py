"""The service of a cluster: requests wait in this process, and are carried to its replicas.

The queue stays here, with all it knows of owners and kept results. Threads carry each job to a
replica and its progress back. A replica that is lost is asked again elsewhere: a seed gives the
same paths wherever it is drawn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kronos import models
from kronos.errors import DeadlineExceeded, ForecastCancelled, ServiceUnreachable
from kronos.request import EngineRequest, ModelFacts
from kronos.serving.cluster import bulk
from kronos.serving.cluster.connection import (
    address_of,
    code_digest,
    disconnect,
    forget_deployments,
    is_joined,
    join,
    join_again,
    load_serve,
    n_joined,
)
from kronos.serving.cluster.deployment import TUNED, deployed, deployment_of
from kronos.serving.cluster.replica import ONGOING
from kronos.serving.interface import FACTS_KEPT, Prepare
from kronos.serving.jobs import Job, JobStatus, Limits, Priority
from kronos.serving.local import QueuedService
from kronos.serving.model_cache import LoadedModel
from kronos.serving.wire import dump, load
from kronos.serving.worker import Worker

__all__ = ["ClusterService"]

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether a request is wanted: a cancel takes as long to arrive."""
_STATUS_EVERY = 1.0
"""Seconds between two questions for place and progress: each costs both sides milliseconds."""
_PATIENCE = 60.0
"""Seconds for which a lost request is asked again."""


class ClusterService(QueuedService):
    """Forecasts by the replicas of a Ray cluster that this process joins; any thread may call.

    Attributes:
        n_repeated: Requests that were asked again because a replica was lost.
    """

    def __init__(self, address: str = "ray://auto", *, limits: Limits | None = None) -> None:
        """Args:
        address: Of the cluster, such as ray://auto or ray://head:6379; this machine has a node
            of it.
        limits: Of the queue in this process.

        Raises:
            InvalidRequest: This is no address.
            MissingExtra: Ray is not installed.
            ServiceUnreachable: There is no such cluster, or nothing is deployed on it.
            RevisionMismatch: Its replicas run other code.
        """
        self._address = address_of(address)
        self._handles: dict[tuple[int, str], Any] = {}
        self._facts: dict[str, tuple[float, ModelFacts]] = {}
        self.n_repeated = 0
        join(self._address)
        self._first = self._choose_first()
        self._compare()
        self._carriers = _Carriers(self, limits)

    @property
    def worker(self) -> Worker:
        """See `QueuedService.worker`."""
        return self._carriers

    def facts(self, model: str) -> ModelFacts:
        """See `ForecastService.facts`; asked again after a few seconds."""
        now = time.monotonic()
        known = self._facts.get(model)
        if known is None or now - known[0] > FACTS_KEPT:
            found = load(self._ask(model, "facts", model))
            if isinstance(found, Exception):
                raise found
            known = self._facts[model] = (now, found)
        return known[1]

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """See `ForecastService.models`; each once, of all replicas."""
        found = [model for state in self.replicas() for model in state["models"]]
        return tuple({(model.name, model.revision): model for model in found}.values())

    def replicas(self) -> list[dict[str, Any]]:
        """See `ForecastService.replicas`; those that answer."""
        found: dict[int, dict[str, Any]] = {}
        for name, state in deployed().items():
            running = sum(
                each.replica_states.get("RUNNING", 0) for each in state.deployments.values()
            )
            joined, handle = n_joined(), self._handle(name)
            # Serve asks one replica at a time; names of many sessions reach all of them.
            asked = [
                _call(handle.options(method_name="state", session_id=f"{i}"), joined)
                for i in range(8 * running)
            ]
            for each in asked:
                known = self._answer(each, joined)
                models_there = load(known["models"])
                found[known["pid"]] = known | {"deployment": name, "models": models_there}
        return [found[pid] for pid in sorted(found)]

    def run_many(
        self,
        requests: Iterable[Any],
        *,
        prepare: Prepare | None = None,
        watch: Callable[[], object] | None = None,
    ) -> Iterator[tuple[Any, Any]]:
        """See `ForecastService.run_many`; by workers on processors that no replica has.

        Where there are none, the replicas answer, at batch priority.
        """
        if n_workers := bulk.free_processors():
            return bulk.run_many(requests, n_workers, prepare=prepare, watch=watch)
        return super().run_many(requests, prepare=prepare, watch=watch)

    def close(self) -> bool:
        """See `ForecastService.close`; the cluster goes on."""
        ended = super().close()
        disconnect()
        return ended

    def carry(self, job: Job) -> JobStatus:
        """Have a replica answer a job; the final status.

        Raises:
            ForecastCancelled: Nobody wants it any more.
            ServiceUnreachable: No replica was there for a minute.
        """
        request: EngineRequest = job.payload
        message, give_up = dump(request), None
        while True:
            try:
                status = self._carry_once(job, request, message)
                # Another owner, who has more time, may have joined since.
                if not isinstance(status.error, DeadlineExceeded) or _is_late(job):
                    return status
            except _lost() as error:
                now = time.monotonic()
                give_up = now + _PATIENCE if give_up is None else give_up
                self.n_repeated += 1
                if now > give_up:
                    raise ServiceUnreachable(
                        f"The cluster at {self._address} has had no replica for {_PATIENCE:.0f} s "
                        f"({type(error).__name__}). kronos cluster status shows what runs there."
                    ) from error
                self._wait(job)
                self._join_again(error)
            except _full():
                job.place = job.place or 1
                self._wait(job)

    def _carry_once(self, job: Job, request: EngineRequest, message: bytes) -> JobStatus:
        seconds = None if job.deadline == float("inf") else job.deadline - time.monotonic()
        joined, handle = n_joined(), self._handle_of(request.model, job.key)
        words = (code_digest(), message, int(job.priority), seconds)
        asked = _call(handle.options(method_name="answer"), joined, *words)
        looked, question = time.monotonic(), None
        try:
            while True:
                try:
                    status: JobStatus = load(asked.result(timeout_s=_LOOK_EVERY))
                    return status
                except TimeoutError:
                    if not self._carriers.queue.is_wanted(job):
                        asked.cancel()
                        raise ForecastCancelled("Nobody waits for it.") from None
                    if time.monotonic() - looked > _STATUS_EVERY:
                        _require_node(joined)
                        question = self._show(job, handle, question)
                        looked = time.monotonic()
        finally:
            if question is not None:
                question.cancel()

    def _show(self, job: Job, handle: Any, question: Any) -> Any:
        """Bring place and progress of a job from its replica, and its class there.

        Returns:
            The question, where the replica has no slot for it yet: one at a time is asked.
        """
        if question is None:
            status = handle.options(method_name="status")
            question = status.remote(job.key, int(job.priority))
        try:
            found = load(question.result(timeout_s=_LOOK_EVERY))
        except TimeoutError:
            if not job.stage:  # nor for the request itself, as far as is known
                job.place = job.place or 1
            return question
        except (*_lost(), _full()):  # what became of the request, its own call says
            return None
        if found is not None:
            if found.stage != job.stage:
                job.begin(found.stage)
            job.done, job.total, job.place = found.done, found.total, found.position
        return None

    def _wait(self, job: Job) -> None:
        time.sleep(_LOOK_EVERY)
        if not self._carriers.queue.is_wanted(job):
            raise ForecastCancelled("Nobody waits for it.")

    def _ask(self, model: str, name: str, *args: Any) -> Any:
        """Call a method of a replica that serves a model."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                joined = n_joined()
                handle = self._handle_of(model, model).options(method_name=name)
                return self._answer(_call(handle, joined, *args), joined)
            except _lost() as error:
                if time.monotonic() > give_up:
                    raise
                time.sleep(_LOOK_EVERY)
                self._join_again(error)

    def _answer(self, asked: Any, joined: int) -> Any:
        """Wait for an answer while the node is there; a handle of a node that is gone never ends.

        Raises:
            ConnectionError: The node is gone, or another has been joined since.
        """
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                return asked.result(timeout_s=_STATUS_EVERY)
            except TimeoutError:
                if time.monotonic() > give_up:
                    raise
                _require_node(joined)

    def _handle_of(self, model: str, key: str) -> Any:
        """The replicas that serve a model; the same one for the same key."""
        kind = models.kind_of(model)
        if kind in ("bundled", "published", "chronos"):
            return self._handle(deployment_of(model)).options(session_id=key)
        if kind in ("baseline", "ensemble", None):  # an unknown name is refused there, in words
            return self._handle(self._first).options(session_id=key)
        return self._handle(TUNED).options(multiplexed_model_id=model)

    def _handle(self, name: str) -> Any:
        serve = load_serve()
        from ray.serve.exceptions import RayServeException

        key = (n_joined(), name)
        handle = self._handles.get(key)
        if handle is None:
            _require_node(key[0])
            try:
                handle = serve.get_app_handle(name)
            except RayServeException as error:
                there = self._there()
                raise ServiceUnreachable(
                    f"The cluster at {self._address} has no deployment {name}; it has "
                    f"{', '.join(there)}. kronos cluster start --models NAME ... deploys published "
                    "models, --tuned fine-tuned ones."
                ) from error
            # Those of a cluster that was left go. Replaced as a whole: any thread may read.
            ours = {each: made for each, made in self._handles.items() if each[0] == key[0]}
            self._handles = ours | {key: handle}
        return handle

    def _there(self) -> list[str]:
        """Names of what is deployed."""
        if not (there := sorted(deployed())):
            raise _NothingDeployed(
                f"Nothing is deployed on the cluster at {self._address}. Deploy the bundled model "
                "with kronos cluster start."
            )
        return there

    def _compare(self) -> None:
        """Refuse replicas of other code; those that come later refuse themselves."""
        state = self._ask("ewma", "state")
        if state["code"] != code_digest():
            from kronos.serving.cluster.replica import other_code

            raise other_code(code_digest(), state["code"])

    def _choose_first(self) -> str:
        """The deployment that answers for models that have none of their own."""
        there = [name for name in self._there() if name != TUNED]
        bundled = deployment_of("bundled")
        return bundled if bundled in there or not there else there[0]

    def _join_again(self, lost: Exception) -> None:
        """Join anew where the node is gone, and look again for deployments that are."""
        if _is_undeployed(lost):
            self._handles = {}
            forget_deployments()
        before = n_joined()
        try:
            join_again(self._address)
            if n_joined() != before:
                self._first = self._choose_first()
        except (ServiceUnreachable, RuntimeError):
            pass  # asked again until patience ends


def _call(handle: Any, joined: int, *args: Any) -> Any:
    """Ask a replica. Ray raises whatever it likes where another thread has left the cluster."""
    try:
        return handle.remote(*args)
    except Exception:
        _require_node(joined)
        raise


def _require_node(joined: int) -> None:
    """Raise ConnectionError where the node is gone, or another has been joined since."""
    if joined != n_joined() or not is_joined():
        raise ConnectionError("The node that was joined is gone.")


class _NothingDeployed(ServiceUnreachable):
    """The cluster is there, and its deployments are not, or not yet."""


def _is_late(job: Job) -> bool:
    """Whether the deadline of a job has passed."""
    return job.deadline <= time.monotonic()


_RESERVED = {Priority.PERSON: ONGOING // 4, Priority.VISIT: ONGOING // 2}
"""Threads that carry nothing of a worse class: work in the background leaves room for people here
and, because a replica takes no more than there are threads, in the replicas."""


class _Carriers(Worker):
    """Threads that each carry one request at a time."""

    def __init__(self, cluster: ClusterService, limits: Limits | None) -> None:
        self._cluster = cluster
        classes = [worst for worst, n in _RESERVED.items() for _ in range(n)]
        self._classes = iter([*classes, *[Priority.BATCH] * (ONGOING - len(classes))])
        self._choosing = threading.Lock()
        super().__init__("kronos-cluster", limits, n_threads=ONGOING)

    def _serve(self) -> None:
        with self._choosing:
            worst = next(self._classes)
        while (job := self.queue.take(worst=worst)) is not None:
            self._perform(job)
            del job  # as in Worker._serve

    def _perform(self, job: Job) -> None:
        try:
            status = self._cluster.carry(job)
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


def _lost() -> tuple[type[Exception], ...]:
    """What a call raises whose replica, deployment or node went away."""
    from ray import exceptions
    from ray.serve.exceptions import (
        DeploymentUnavailableError,
        ReplicaUnavailableError,
        RequestCancelledError,
    )

    return (
        exceptions.RayActorError, exceptions.RaySystemError, exceptions.NodeDiedError,
        exceptions.OwnerDiedError, exceptions.ObjectLostError, ReplicaUnavailableError,
        DeploymentUnavailableError, RequestCancelledError, ConnectionError, _NothingDeployed,
    )  # fmt: skip


def _is_undeployed(error: Exception) -> bool:
    from ray.serve.exceptions import DeploymentUnavailableError

    return isinstance(error, DeploymentUnavailableError | _NothingDeployed)


def _full() -> type[Exception]:
    from ray.serve.exceptions import BackPressureError

    found: type[Exception] = BackPressureError
    return found
