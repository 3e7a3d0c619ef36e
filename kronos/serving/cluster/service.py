"""The service of a cluster: requests wait in this process, and are carried to its replicas.

The queue stays here, with all it knows of owners and kept results; `carriers` brings its jobs to
the replicas.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kronos.request import ModelFacts
from kronos.serving.cluster import bulk
from kronos.serving.cluster.calls import PATIENCE, PAUSE, Call, lost
from kronos.serving.cluster.carriers import Carriers
from kronos.serving.cluster.connection import address_of, code_digest, disconnect, n_joined
from kronos.serving.cluster.deployment import deployed
from kronos.serving.cluster.handles import Handles
from kronos.serving.cluster.replica import other_code
from kronos.serving.interface import FACTS_KEPT, Prepare
from kronos.serving.jobs import Limits
from kronos.serving.local import QueuedService
from kronos.serving.model_cache import LoadedModel
from kronos.serving.wire import load
from kronos.serving.worker import Worker

__all__ = ["ClusterService"]


class ClusterService(QueuedService):
    """Forecasts by the replicas of a Ray cluster that this process joins; any thread may call.

    Attributes:
        address: Of the cluster.
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
        self.address = address_of(address)
        self._handles = Handles(self.address)
        self._facts: dict[str, tuple[float, ModelFacts]] = {}
        self._compare()
        self._carriers = Carriers(self._handles, limits)

    @property
    def worker(self) -> Worker:
        """See `QueuedService.worker`."""
        return self._carriers

    @property
    def n_repeated(self) -> int:
        """Requests that were asked again because a replica was lost."""
        return self._carriers.n_repeated

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
            joined, handle = n_joined(), self._handles.named(name)
            # Serve asks one replica at a time; names of many sessions reach all of them.
            asked = [
                Call(handle.options(method_name="state", session_id=f"{i}"), joined)
                for i in range(8 * running)
            ]
            for each in asked:
                known = each.result()
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

    def _ask(self, model: str, name: str, *args: Any) -> Any:
        """Call a method of a replica that serves a model."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                joined = n_joined()
                handle = self._handles.of(model, model).options(method_name=name)
                return Call(handle, joined, *args).result()
            except lost() as error:
                if time.monotonic() > give_up:
                    raise
                time.sleep(PAUSE)
                self._handles.join_again(error)

    def _compare(self) -> None:
        """Refuse replicas of other code; those that come later refuse themselves."""
        state = self._ask("ewma", "state")
        if state["code"] != code_digest():
            raise other_code(code_digest(), state["code"])
