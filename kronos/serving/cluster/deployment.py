"""The deployments of a cluster: one for each published model, one for all fine-tuned ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kronos import models
from kronos.errors import InvalidRequest
from kronos.serving.cluster.connection import load_ray
from kronos.serving.cluster.replica import ONGOING, Replica

__all__ = ["TUNED", "Plan", "deploy", "deployed", "deployment_of", "remove"]

_PREFIX = "kronos-"
TUNED = f"{_PREFIX}tuned"
"""The deployment of fine-tuned models and of folders: each goes to the replicas that hold it."""
_BY_KEY = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
"""Equal requests reach the same replica, whose queue computes them once."""
_TARGET = 16
"""Requests of a replica above which another is started."""
_TUNED_MODELS = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What is deployed.

    Attributes:
        models: Published models, each with replicas of its own; baselines are answered by those
            of the first.
        replicas: Replicas of each model, at least.
        most: Replicas of each at most; more than `replicas` lets them follow the load.
        cpus: Processors of a replica, which are its threads.
        gpus: GPUs of a replica; .5 puts two on one.
        tuned: Whether fine-tuned models are served as well.

    Raises:
        InvalidRequest: A number is out of range, or a model is none that is published.
    """

    models: tuple[str, ...] = ("bundled",)
    replicas: int = 1
    most: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    tuned: bool = False

    def __post_init__(self) -> None:
        most = self.replicas if self.most is None else self.most
        if not 1 <= self.replicas <= most or self.cpus <= 0 or self.gpus < 0 or not self.models:
            raise InvalidRequest(
                "A deployment has at least one model and one replica, no fewer at most than at "
                f"least, and processors above 0; found {self}."
            )
        for name in self.models:
            if models.kind_of(name) not in ("bundled", "published", "chronos"):
                raise InvalidRequest(
                    f"{name!r} has no deployment of its own: those have the bundled and the "
                    "published models. Fine-tuned ones are served together, by --tuned."
                )


def deploy(plan: Plan) -> None:
    """Deploy, or change what is deployed; replicas are replaced one after another.

    A deployment whose models and options are the same stays as it is, so that a larger number of
    replicas adds some and a smaller one drains some.

    Raises:
        MissingExtra: Ray is not installed.
    """
    load_ray()
    from ray import serve

    serve.start(proxy_location="Disabled")  # no HTTP: applications join the cluster
    for name in plan.models:
        serve.run(_application(plan, (name,)), name=deployment_of(name), route_prefix=None)
    if plan.tuned:
        serve.run(_application(plan, ()), name=TUNED, route_prefix=None)
    wanted = {*map(deployment_of, plan.models), *([TUNED] if plan.tuned else ())}
    for name in set(deployed()) - wanted:
        serve.delete(name)


def deployed() -> dict[str, Any]:
    """Serve's status of each deployment of this application, by its name."""
    from ray import serve

    found = serve.status().applications
    return {name: state for name, state in found.items() if name.startswith(_PREFIX)}


def remove() -> None:
    """End all deployments; requests that are drawn are answered first."""
    from ray import serve

    for name in deployed():
        serve.delete(name)


def deployment_of(model: str) -> str:
    """Name of the deployment of a published model."""
    return _PREFIX + re.sub(r"[^a-z0-9]+", "-", models.resolve(model).name.lower()).strip("-")


def _application(plan: Plan, names: tuple[str, ...]) -> Any:
    from ray import serve
    from ray.serve.config import AutoscalingConfig, RequestRouterConfig

    options: dict[str, Any] = {
        "max_ongoing_requests": ONGOING,
        "max_queued_requests": 4 * ONGOING,  # of one application; then it waits with its line
        "ray_actor_options": {"num_cpus": plan.cpus, "num_gpus": plan.gpus},
        "health_check_period_s": 1,
        "health_check_timeout_s": 10,
        "graceful_shutdown_timeout_s": 60,
        "graceful_shutdown_wait_loop_s": 0.2,
    }
    if plan.most is None or plan.most == plan.replicas:
        options["num_replicas"] = plan.replicas
    else:
        options["autoscaling_config"] = AutoscalingConfig(
            min_replicas=plan.replicas, max_replicas=plan.most, target_ongoing_requests=_TARGET
        )
    make: Any = serve.deployment
    if not names:
        return make(_tuned(), name="Tuned").options(**options).bind(names)
    router: Any = {"request_router_class": _BY_KEY}
    options["request_router_config"] = RequestRouterConfig(**router)
    return make(Replica, name="Forecasts").options(**options).bind(names)


def _tuned() -> type:
    """A replica that tells the router which models it holds."""
    from ray import serve

    class Tuned(Replica):
        @serve.multiplexed(max_num_models_per_replica=_TUNED_MODELS)
        async def hold(self, name: str) -> str:
            return name  # the engine loads it with the first request

        async def answer(
            self, code: str, message: bytes, priority: int, seconds: float | None
        ) -> bytes:
            await self.hold(serve.get_multiplexed_model_id())
            return await super().answer(code, message, priority, seconds)

    return Tuned
