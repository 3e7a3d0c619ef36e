"""The deployments of a cluster: one for each published model, one for all fine-tuned ones.

A program deploys them by `deploy`; a Serve configuration file, such as that of a RayService of
Kubernetes, by `application`. Both make the same deployments.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, fields, replace
from typing import Any

from kronos import models
from kronos.errors import InvalidRequest, ServiceUnreachable
from kronos.serving.cluster.connection import load_serve
from kronos.serving.cluster.replica import ONGOING, SLOTS, Replica

__all__ = [
    "TUNED",
    "Plan",
    "application",
    "configuration",
    "deploy",
    "deployed",
    "deployment_of",
    "remove",
]

_PREFIX = "kronos-"
TUNED = f"{_PREFIX}tuned"
"""The deployment of fine-tuned models and of folders: each goes to the replicas that hold it."""
_BY_KEY = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
"""Equal requests reach the same replica, whose queue computes them once."""
_PLACES = 1000
"""Places of a replica on the ring of keys: with Ray's 100, one of two replicas can get 57% of all
requests, and the other waits. The more places, the more even the shares."""
_TARGET = 16
"""Requests of a replica above which another is started."""
_TUNED_MODELS = 8
_PATIENCE = 300.0
"""Seconds for replicas to be ready; the first start of a published model downloads it."""
_OF_ONE = {"model", "replicas", "most", "cpus", "gpus"}


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


def deploy(plan: Plan, *, patience: float = _PATIENCE) -> None:
    """Deploy, or change what is deployed; replicas are replaced one after another.

    A deployment whose models and options are the same stays as it is, so that a larger number of
    replicas adds some and a smaller one drains some. What the plan does not name ends first: its
    replicas may hold the processors that others need.

    Args:
        plan: What is deployed.
        patience: Seconds to wait for the replicas.

    Raises:
        MissingExtra: Ray is not installed.
        ServiceUnreachable: A model cannot be loaded, or the replicas are not ready in time.
    """
    serve = load_serve()
    serve.start(proxy_location="Disabled")  # no HTTP: applications join the cluster
    wanted = _applications(plan)
    for name in set(deployed()) - set(wanted):
        serve.delete(name)
    targets = [
        serve.RunTarget(target=_application(each, names), name=name, route_prefix=None)
        for name, (each, names) in wanted.items()
    ]
    serve.run_many(targets, wait_for_applications_running=False)
    _await(set(wanted), patience)


def application(args: dict[str, Any]) -> Any:
    """One application of a Serve configuration file; see `configuration`.

    Args:
        args: `model`, a published one, or none for the application of fine-tuned models;
            `replicas`, `most`, `cpus` and `gpus` as in `Plan`.

    Raises:
        InvalidRequest: There is another argument, or a plan refuses these.
    """
    if unknown := set(args) - _OF_ONE:
        raise InvalidRequest(
            f"An application of a cluster has the arguments {', '.join(sorted(_OF_ONE))}; found "
            f"{', '.join(sorted(unknown))}."
        )
    model = args.get("model")
    names = () if model is None else (model,)
    sizes = {name: value for name, value in args.items() if name != "model"}
    return _application(Plan(names or Plan().models, **sizes), names)


def configuration(plan: Plan) -> dict[str, Any]:
    """What `deploy` deploys, as a Serve configuration file.

    It is read by `serve deploy`, and is the `serveConfigV2` of a RayService.
    """
    return {
        "proxy_location": "Disabled",
        "applications": [
            {
                "name": name,
                "route_prefix": None,
                "import_path": f"{__name__}:application",
                "args": {
                    **({"model": names[0]} if names else {}),
                    **{each.name: value for each in fields(Plan) if each.name in _OF_ONE
                       if (value := getattr(plan, each.name)) is not None},
                },
            }
            for name, (_, names) in _applications(plan).items()
        ],
    }  # fmt: skip


def _applications(plan: Plan) -> dict[str, tuple[Plan, tuple[str, ...]]]:
    """The applications of a plan by name, each with its sizes and the models it loads first."""
    found: dict[str, tuple[Plan, tuple[str, ...]]] = {
        deployment_of(name): (replace(plan, models=(name,)), (name,)) for name in plan.models
    }
    return found | ({TUNED: (plan, ())} if plan.tuned else {})


def _await(names: set[str], patience: float) -> None:
    end = time.monotonic() + patience
    while True:
        states = {name: state for name, state in deployed().items() if name in names}
        waiting = {name: state for name, state in states.items() if state.status != "RUNNING"}
        if not waiting and len(states) == len(names):
            return
        for name, state in waiting.items():
            if state.status == "DEPLOY_FAILED":
                raise ServiceUnreachable(f"{name} cannot be deployed: {_reason(state)}")
        if time.monotonic() > end:
            reasons = "; ".join(f"{name}: {_reason(state)}" for name, state in waiting.items())
            raise ServiceUnreachable(
                f"Not all replicas are ready after {patience:.0f} s ({reasons}). They start as "
                "soon as the cluster has room: add a machine, or deploy fewer or smaller ones. "
                "kronos cluster status shows those that answer."
            )
        time.sleep(0.2)


def _reason(state: Any) -> str:
    """Why an application does not run, in the words of its own error where there is one."""
    texts = [state.message, *(each.message for each in state.deployments.values())]
    for text in texts:
        if found := re.findall(r"kronos\.errors\.\w+: (.+)", text):
            return str(found[-1])
    return " ".join(" ".join(text for text in texts if text).split())[:400] or str(
        state.status.value
    )


def deployed() -> dict[str, Any]:
    """Serve's status of each deployment of this application, by its name."""
    found = load_serve().status().applications
    return {name: state for name, state in found.items() if name.startswith(_PREFIX)}


def remove() -> None:
    """End all deployments; requests that are drawn are answered first."""
    for name in deployed():
        load_serve().delete(name)


def deployment_of(model: str) -> str:
    """Name of the deployment of a published model."""
    return _PREFIX + re.sub(r"[^a-z0-9]+", "-", models.resolve(model).name.lower()).strip("-")


def _application(plan: Plan, names: tuple[str, ...]) -> Any:
    serve = load_serve()
    from ray.serve.config import AutoscalingConfig, RequestRouterConfig

    options: dict[str, Any] = {
        "max_ongoing_requests": SLOTS,
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
    router: Any = {
        "request_router_class": _BY_KEY,
        "request_router_kwargs": {"num_virtual_nodes": _PLACES},
    }
    options["request_router_config"] = RequestRouterConfig(**router)
    return make(Replica, name="Forecasts").options(**options).bind(names)


def _tuned() -> type:
    """A replica that tells the router which models it holds."""
    serve = load_serve()

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
