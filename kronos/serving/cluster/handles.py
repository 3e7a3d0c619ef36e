"""Handles of the deployments of a cluster: who answers for a model."""

from __future__ import annotations

from typing import Any

from kronos import models
from kronos.errors import ServiceUnreachable
from kronos.serving.cluster.calls import NothingDeployed, is_undeployed, require_node
from kronos.serving.cluster.connection import (
    forget_deployments,
    join,
    join_again,
    load_serve,
    n_joined,
)
from kronos.serving.cluster.deployment import TUNED, deployed, deployment_of

__all__ = ["Handles"]


class Handles:
    """Those of a cluster that this process joins; any thread may call.

    Attributes:
        address: Of the cluster.
    """

    def __init__(self, address: str) -> None:
        """Args:
        address: As `address_of` gives it.

        Raises:
            MissingExtra: Ray is not installed.
            ServiceUnreachable: There is no such cluster, or nothing is deployed on it.
        """
        self.address = address
        self._handles: dict[tuple[int, str], Any] = {}
        join(address)
        self._first = self._choose_first()

    def of(self, model: str, key: str) -> Any:
        """The replicas that serve a model; the same one for the same key. See `named`."""
        kind = models.kind_of(model)
        if kind in ("bundled", "published", "chronos"):
            return self.named(deployment_of(model)).options(session_id=key)
        if kind in ("baseline", "ensemble", None):  # an unknown name is refused there, in words
            return self.named(self._first).options(session_id=key)
        return self.named(TUNED).options(multiplexed_model_id=model)

    def named(self, name: str) -> Any:
        """The replicas of a deployment.

        Raises:
            ServiceUnreachable: There is no such deployment.
            ConnectionError: The node is gone.
        """
        serve = load_serve()
        from ray.serve.exceptions import RayServeException

        key = (n_joined(), name)
        handle = self._handles.get(key)
        if handle is None:
            require_node(key[0])
            try:
                handle = serve.get_app_handle(name)
            except RayServeException as error:
                there = self._there()
                raise ServiceUnreachable(
                    f"The cluster at {self.address} has no deployment {name}; it has "
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
            raise NothingDeployed(
                f"Nothing is deployed on the cluster at {self.address}. Deploy the bundled model "
                "with kronos cluster start."
            )
        return there

    def _choose_first(self) -> str:
        """The deployment that answers for models that have none of their own."""
        there = [name for name in self._there() if name != TUNED]
        bundled = deployment_of("bundled")
        return bundled if bundled in there or not there else there[0]

    def join_again(self, lost: Exception) -> None:
        """Join anew where the node is gone, and look again for deployments that are."""
        if is_undeployed(lost):
            self._handles = {}
            forget_deployments()
        before = n_joined()
        try:
            join_again(self.address)
            if n_joined() != before:
                self._first = self._choose_first()
        except (ServiceUnreachable, RuntimeError):
            pass  # asked again until patience ends
