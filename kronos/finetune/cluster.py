"""Fine-tuning by workers of a Ray cluster: the same runs, started and watched from here.

A run keeps its loop, its folder and its state. Ray starts the workers, joins their processes and
starts them anew when one is lost; the state then resumes, as after any kill. One run of several
workers goes through Ray Train, many rolling runs are tasks of one job, one for each adapter.

Bars and settings travel as data. Folders do not: that of the run, and for rolling runs the data
folder, must be on storage that all nodes share.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kronos import models
from kronos.errors import InvalidRequest, KronosError
from kronos.events import Event, Leaders
from kronos.finetune.board import LOOK_EVERY, OWN, Site, Watch, at_work, on_this_node
from kronos.finetune.history import Decision
from kronos.finetune.job import Hooks, Material, Result
from kronos.finetune.lora import LoraSettings
from kronos.finetune.rolling import RollingSettings, roll
from kronos.finetune.settings import FinetuneSettings
from kronos.models.adapters import rolling_folder
from kronos.serving.cluster.connection import address_of, join, load_ray
from kronos.training.corpus import Corpus
from kronos.training.processes import PATIENCE

__all__ = ["Workers", "roll_on_cluster", "tune_on_cluster"]

MOST_LOSSES = 8
"""Losses of a worker after which a run is given up."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a run.

    Attributes:
        address: The cluster, such as ray://auto.
        n: Workers of one run; a rolling run has one for each adapter.
        cpus: Processors of a worker, which are its threads.

    Raises:
        InvalidRequest: The address is none, or a number is out of range.
    """

    address: str
    n: int = 1
    cpus: float = 1.0

    def __post_init__(self) -> None:
        address_of(self.address)
        if self.n < 1 or not 0 < self.cpus < math.inf:
            raise InvalidRequest(
                "A run has at least one worker, each with processors above 0; found "
                f"{self.n} workers of {self.cpus:g} processors."
            )


def tune_on_cluster(
    tune: Callable[..., Result],
    material: Material,
    settings: FinetuneSettings,
    out: Path,
    workers: Workers,
    *,
    hooks: Hooks,
    say: Callable[[str], None],
    **options: Any,
) -> Result:
    """Run `finetune_lora` or `finetune_full` in the workers of a cluster.

    The result is that of a run of as many processes, whichever workers are lost on the way.

    Args:
        tune: One of the two.
        material: Base and data. The data travel; the base is found by its name on every node.
        settings: How long and how fast.
        out: Folder of the run, on storage that all nodes share.
        workers: How many, and where.
        hooks: Watching and stopping, in this process.
        say: Called with what happens to the workers, in words.
        options: Further arguments of `tune`.

    Raises:
        MissingExtra: Ray is not installed.
        ServiceUnreachable: There is no such cluster.
        InvalidRequest: A node does not see the folder, or `tune` refuses the run.
        KronosError: As of `tune`, or the workers were lost too often.
    """
    ray = load_ray()
    join(address_of(workers.address))
    out, room = out.resolve(), _room(workers, hooks)
    with at_work(out, material.base, room) as site:
        watch = Watch(site.board, hooks, say, f"{workers.n} workers of {_words(room)}")
        job = ray.put((site, tune, material, settings, out, options))
        fit = on_this_node(_fit, max_retries=MOST_LOSSES).remote([job], out, workers.n, room)
        try:
            # A run that its workers refuse ends at once: Ray Train would start them anew.
            while not isinstance(watch.end, KronosError):
                done, _ = ray.wait([fit], timeout=LOOK_EVERY)
                watch.look()
                if done:
                    break
                if watch.is_stopped and not watch.starts:
                    raise KeyboardInterrupt
        finally:
            ray.cancel(fit, force=True)
        if isinstance(watch.end, KronosError):
            raise watch.end
        if watch.end is None:
            try:
                ray.get(fit)
            except ray.exceptions.RayError as error:
                raise _given_up(error) from None
        result: Result = watch.end
        return result


def roll_on_cluster(
    base: models.Located,
    corpus: Corpus,
    rollings: Sequence[RollingSettings],
    settings: FinetuneSettings,
    workers: Workers,
    *,
    events: list[Event] | None,
    leaders: Leaders | None,
    lora: LoraSettings,
    watch: Callable[[str, dict[str, Any]], None],
    hooks: Hooks,
    say: Callable[[str], None],
) -> Iterator[tuple[str, Decision | KronosError | None]]:
    """Rolling runs as tasks of one job, one worker each; see `roll`.

    Args:
        corpus: All bars; a run takes those of its asset class.
        rollings: The runs.
        workers: The cluster, and the processors of a worker.
        watch: Called with the name of a run and every line of its log.
        hooks: Stopping, and the device.
        say: Called with what happens to the workers, in words.

    Yields:
        The name of a run as it ends, with its decision, the error it failed with, or None where it
        was stopped on request.

    The other arguments are those of `roll`, the errors those of `tune_on_cluster`.
    """
    ray = load_ray()
    join(address_of(workers.address))
    room = _room(workers, hooks)
    with at_work(rolling_folder(rollings[0].name).parent, base, room) as site:
        shared = [ray.put(each) for each in (corpus, events, leaders)]
        task = ray.remote(
            num_cpus=room["CPU"], num_gpus=room.get("GPU", 0), max_retries=MOST_LOSSES
        )(_roll)
        running = {task.remote(site, each, settings, lora, *shared): each.name for each in rollings}
        looking = Watch(
            site.board, replace(hooks, watch=None), say, f"workers of {_words(room)}", watch
        )
        while running:
            done, _ = ray.wait([*running], num_returns=1, timeout=LOOK_EVERY)
            looking.look()
            for run, name in running.items():
                if looking.is_stopped and name not in looking.starts:
                    ray.cancel(run)
            for run in done:
                yield running.pop(run), _end_of(run)


def _fit(job: list[Any], out: Path, n: int, room: dict[str, float]) -> None:
    """Ray Train's blocking call, as a task: the command shows lines and heeds Ctrl+C meanwhile."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")  # the default of newer versions
    from ray import train
    from ray.train.torch import TorchConfig, TorchTrainer

    TorchTrainer(
        _train,
        train_loop_config={"job": job},
        torch_config=TorchConfig(
            backend="nccl" if "GPU" in room else "gloo", timeout_s=int(PATIENCE.total_seconds())
        ),
        scaling_config=train.ScalingConfig(
            num_workers=n, use_gpu="GPU" in room, resources_per_worker=room
        ),
        run_config=train.RunConfig(
            name="train",
            storage_path=str(out / OWN),
            failure_config=train.FailureConfig(max_failures=MOST_LOSSES),
        ),
    ).fit()


def _train(config: dict[str, Any]) -> None:
    """One worker of a run. Ray Train has joined the processes, and set what torchrun would."""
    ray = load_ray()
    site, tune, material, settings, out, options = ray.get(config["job"][0])
    if ray.get(site.board.is_refused.remote()):
        return  # it would be once more
    is_main = os.environ["RANK"] == "0"
    try:
        if is_main:
            ray.get(site.board.tell.remote("", None))
        material = replace(material, base=site.enter(out))
        result = tune(material, settings, out, hooks=site.hooks(""), **options)
    except KronosError as error:
        ray.get(site.board.finish.remote(error))
        raise
    if is_main:
        ray.get(site.board.finish.remote(result))


def _roll(
    site: Site,
    rolling: RollingSettings,
    settings: FinetuneSettings,
    lora: LoraSettings,
    corpus: Corpus,
    events: list[Event] | None,
    leaders: Leaders | None,
) -> Decision | KronosError | None:
    """One rolling run, as a task."""
    load_ray().get(site.board.tell.remote(rolling.name, None))
    try:
        return roll(
            site.enter(rolling_folder(rolling.name).parent),
            corpus.of_class(rolling.asset_class),
            rolling,
            settings,
            events=events,
            leaders=leaders,
            lora=lora,
            hooks=site.hooks(rolling.name),
        )
    except KronosError as error:
        return error


def _words(room: dict[str, float]) -> str:
    return " and ".join(f"{number:g} {name}" for name, number in room.items())


def _end_of(run: Any) -> Decision | KronosError | None:
    ray = load_ray()
    try:
        end: Decision | KronosError | None = ray.get(run)
    except ray.exceptions.TaskCancelledError:
        return None
    except ray.exceptions.RayError as error:
        return _given_up(error)
    return end


def _given_up(error: BaseException | None) -> KronosError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return KronosError(
        f"The workers were lost or failed more than {MOST_LOSSES} times, the last time with "
        f"{type(error).__name__}: {lines[-1][:300] if lines else 'no reason given'}. The same "
        "command resumes from the last checkpoint."
    )


def _room(workers: Workers, hooks: Hooks) -> dict[str, float]:
    """Resources of a worker: a GPU each where the cluster has some, unless processors are asked."""
    has_gpus = load_ray().cluster_resources().get("GPU", 0.0) >= 1
    if hooks.device.startswith("cuda") if hooks.device else has_gpus:
        return {"CPU": workers.cpus, "GPU": 1.0}
    return {"CPU": workers.cpus}
