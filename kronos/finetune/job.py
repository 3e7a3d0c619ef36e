"""One run of fine-tuning, from a corpus in parts to files: an adapter, or a whole model.

A run is a folder. It can be stopped and killed at any time; the same call resumes from the last
checkpoint. While it runs, `log.jsonl` gets a line for every report, and a file named STOP makes it
save and end.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from kronos.errors import InvalidRequest
from kronos.evaluation.significance import paired_change
from kronos.events import Event, Leaders
from kronos.finetune.lora import LoraSettings, add_events, add_lora, lora_tensors, n_trained
from kronos.finetune.report import why_ended
from kronos.finetune.settings import FinetuneSettings
from kronos.finetune.split import Parts
from kronos.forecasters.kronos import KronosPredictor
from kronos.models import BUNDLED, Located, describe_bundle, weights_sha256
from kronos.models.adapters import AdapterFacts
from kronos.models.merging import merge, save_adapter
from kronos.nn.checkpoint import load_model, load_tokenizer, save_checkpoint
from kronos.nn.config import ModelConfig, Normalisation
from kronos.nn.model import Kronos
from kronos.system import atomic_write
from kronos.training.corpus import Corpus, CorpusEvents
from kronos.training.held_out import (
    EvaluationPlan,
    alignment_of,
    evaluate,
    figures,
    window_scores,
)
from kronos.training.loop import Outcome, recompute_blocks, train
from kronos.training.processes import Process, process_group
from kronos.training.recipes import model_objective, tokenizer_objective
from kronos.training.windows import WindowSampler

__all__ = ["Hooks", "Material", "Result", "code_revision", "finetune_full", "finetune_lora"]

ADAPTER_NAME = "adapter.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The base and the data of a run.

    Attributes:
        base: The model to start from.
        parts: The corpus, split by time.
        events: Scheduled events, which weight the windows; None for none.
        leaders: Leading markets, for their channels.
        learn_events: Whether the model learns to read event channels.
        asset_class: Asset class of the corpus, recorded in the result.
    """

    base: Located
    parts: Parts
    events: Sequence[Event] | None = None
    leaders: Leaders | None = None
    learn_events: bool = False
    asset_class: str = ""

    def __post_init__(self) -> None:
        if self.learn_events and self.events is None:
            raise InvalidRequest("To learn events, the run needs some: events is None.")
        if self.base.adapter is not None:
            raise InvalidRequest(
                f"{self.base.name} is an adapter. Fine-tuning starts from a base, here "
                f"{self.base.adapter[1].base}."
            )

    def on(self, corpus: Corpus) -> CorpusEvents | None:
        """The events on the bars of a part."""
        return None if self.events is None else CorpusEvents(corpus, self.events, self.leaders)


@dataclass(frozen=True, slots=True)
class Hooks:
    """How a run is watched and stopped.

    Attributes:
        watch: Called on the main process with every line of the log.
        stop: Called before every step; True saves and ends.
        device: "cpu" or "cuda"; None for a GPU if there is one.
    """

    watch: Callable[[dict[str, Any]], None] | None = None
    stop: Callable[[], bool] | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run.

    Attributes:
        outcome: How it ended; a stopped run has no files yet.
        path: The adapter's file, or the folder of the model.
        n_trained: Number of trained parameters.
    """

    outcome: Outcome
    path: Path
    n_trained: int


def finetune_lora(
    material: Material,
    settings: FinetuneSettings,
    out: Path,
    *,
    lora: LoraSettings | None = None,
    hooks: Hooks | None = None,
) -> Result:
    """Train an adapter; writes it to out/adapter.safetensors.

    Args:
        material: Base and data.
        settings: How long and how fast.
        out: Folder of the run; a run found there is resumed.
        lora: Size of the adapter.
        hooks: Watching and stopping.

    Raises:
        InvalidRequest: The run in `out` has other settings or other bars.
        TrainingDiverged: See `kronos.training.loop.train`.
    """
    lora, hooks, base = lora or LoraSettings(), hooks or Hooks(), material.base
    model = add_lora(load_model(base.model), lora, events=material.learn_events, seed=settings.seed)
    scale = lora.alpha / lora.rank

    def merged() -> Kronos:
        alignment = model.config.event_alignment
        plain = load_model(base.model)
        return merge(plain, lora_tensors(model), scale, event_alignment=alignment)

    facts = {"lora": repr(lora)}
    with process_group(hooks.device) as process:
        outcome = _train_model(
            material, settings, out, process, hooks, model, merged, base.tokenizer, facts
        )
        if process.is_main and outcome.reason != "stopped":
            adapter = _adapter_facts(material, lora, outcome, model)
            save_adapter(out / ADAPTER_NAME, adapter, lora_tensors(model))
        process.wait()
    return Result(outcome, out / ADAPTER_NAME, n_trained(model))


def finetune_full(
    material: Material,
    settings: FinetuneSettings,
    out: Path,
    *,
    tokenizer_too: bool = True,
    hooks: Hooks | None = None,
) -> Result:
    """Train tokenizer and model, one after the other; writes out/tokenizer and out/model.

    The best step is that of the lowest loss after the cut-off for the tokenizer, and of the lowest
    CRPS of its fans for the model. The other arguments and the errors are those of
    `finetune_lora`.

    Args:
        tokenizer_too: Whether the tokenizer is trained before the model; else it stays.
    """
    hooks, base = hooks or Hooks(), material.base
    model = load_model(base.model)
    if material.learn_events:
        add_events(model)
    else:
        _freeze_events(model)
    with process_group(hooks.device) as process:
        tokenizer = base.tokenizer
        if tokenizer_too:
            outcome = _train_tokenizer(material, settings, out, process, hooks)
            if outcome.reason == "stopped":
                return Result(outcome, out, n_trained(model))
            tokenizer = out / "tokenizer"
        facts = {"tokenizer": weights_sha256(tokenizer)}
        outcome = _train_model(
            material, settings, out, process, hooks, model, lambda: model, tokenizer, facts
        )
        if process.is_main and outcome.reason != "stopped":
            save_checkpoint(model, out / "model")
            if not tokenizer_too:
                save_checkpoint(load_tokenizer(tokenizer), out / "tokenizer")
            _describe(material, settings, outcome, out)
        process.wait()
    return Result(outcome, out, n_trained(model))


def _train_model(
    material: Material,
    settings: FinetuneSettings,
    out: Path,
    process: Process,
    hooks: Hooks,
    model: Kronos,
    plain: Callable[[], Kronos],
    tokenizer_folder: Path,
    facts: dict[str, str],
) -> Outcome:
    """Train a model, whole or in part; `plain` returns it without adapters, for a predictor."""
    parts, base = material.parts, material.base
    tokenizer = load_tokenizer(tokenizer_folder).to(process.device)
    kind = tokenizer.config.normalisation
    objective = model_objective(kind, is_published=base.name != BUNDLED)
    if settings.save_memory:
        recompute_blocks(model)
    sampler = _sampler(material, settings, model.config, kind)
    scored = material.on(parts.validation) if process.is_main else None
    against_base = _AgainstBase(out / "model-run", parts.validation, settings.evaluation())

    @torch.no_grad()
    def validate() -> dict[str, float]:
        predictor = KronosPredictor(
            plain(), tokenizer, device=process.device, max_context=base.max_context
        )
        table = evaluate(
            predictor.sample,
            parts.validation,
            settings.evaluation(),
            events=scored,
            alignment=alignment_of(predictor),
        )
        return figures(table) | against_base(table)

    return train(
        model,
        objective.with_tokenizer(tokenizer),
        sampler,
        settings.loop(parts.train, watched="crps"),
        out / "model-run",
        process,
        validate=validate,
        facts=_facts(material, settings, objective, model.config) | facts,
        watch=hooks.watch,
        stop=hooks.stop,
    )


class _AgainstBase:
    """The change of the validation CRPS since the first validation, that of the base.

    The base's scores of every window lie in the folder of the run, for when it is resumed. A run
    that an earlier version began has none, and no change is said of it.
    """

    def __init__(self, folder: Path, corpus: Corpus, plan: EvaluationPlan) -> None:
        self._path, self._corpus, self._plan = folder / "base-scores.json", corpus, plan
        self._is_first = not (folder / "state.safetensors").is_file()

    def __call__(self, table: pd.DataFrame) -> dict[str, float]:
        """Figures for the log; see `paired_change`."""
        scores, block = window_scores(table, self._corpus, self._plan)
        counted = {"windows": float(len(scores))}
        if self._is_first:
            self._is_first = False
            with atomic_write(self._path) as partial:
                partial.write_text(json.dumps(scores.tolist()), encoding="utf-8")
            return counted
        try:
            before = np.array(json.loads(self._path.read_text(encoding="utf-8")), dtype=float)
        except (OSError, ValueError):
            return counted
        if before.shape != scores.shape:
            return counted
        return counted | paired_change(scores, before, block=block)


def _train_tokenizer(
    material: Material, settings: FinetuneSettings, out: Path, process: Process, hooks: Hooks
) -> Outcome:
    parts, base = material.parts, material.base
    tokenizer = load_tokenizer(base.tokenizer)
    kind = tokenizer.config.normalisation
    objective = tokenizer_objective(kind, is_published=base.name != BUNDLED)
    if settings.save_memory:
        recompute_blocks(tokenizer)
    held_out, windows = (
        WindowSampler(
            part, settings.plan(), seed=seed, normalisation=tokenizer.config.normalisation
        )
        for part, seed in ((parts.validation, settings.seed + 1), (parts.train, settings.seed))
    )
    n_batches = max(1, settings.validation_windows * settings.accumulate // settings.windows)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        batches = (held_out.batch(i).to(process.device) for i in range(n_batches))
        losses = [objective(tokenizer, batch) for batch in batches]
        return {name: sum(float(each[name]) for each in losses) / n_batches for name in losses[0]}

    outcome = train(
        tokenizer,
        objective,
        windows,
        settings.loop(parts.train, watched="loss"),
        out / "tokenizer-run",
        process,
        validate=validate,
        facts=_facts(material, settings, objective),
        watch=hooks.watch,
        stop=hooks.stop,
    )
    if process.is_main and outcome.reason != "stopped":
        save_checkpoint(tokenizer, out / "tokenizer")
    process.wait()
    return outcome


def _sampler(
    material: Material,
    settings: FinetuneSettings,
    config: ModelConfig,
    normalisation: Normalisation,
) -> WindowSampler:
    train_part = material.parts.train
    return WindowSampler(
        train_part,
        settings.plan(),
        seed=settings.seed,
        events=material.on(train_part),
        with_channels=material.learn_events,
        alignment=config.event_alignment,
        normalisation=normalisation,
    )


def _freeze_events(model: Kronos) -> None:
    """Without events there is no gradient for their embedding."""
    if model.event_emb is not None:
        model.event_emb.requires_grad_(False)


def _facts(
    material: Material,
    settings: FinetuneSettings,
    objective: Any,
    config: ModelConfig | None = None,
) -> dict[str, str]:
    """What a run depends on beside its loop: it resumes only under equal facts."""
    base, parts = material.base, material.parts
    events = "" if material.events is None else _digest(repr(material.events).encode())
    # A run that an earlier version began with the other rows cannot go on with these.
    rows = " ahead" if config and config.event_alignment == "ahead" else ""
    return {
        "base": weights_sha256(base.model),
        "base tokenizer": weights_sha256(base.tokenizer),
        "bars": _corpus_digest(parts.train) + _corpus_digest(parts.validation),
        "windows": repr(settings.plan()),
        "validation": repr(settings.evaluation()),
        "objective": repr(objective),
        "events": f"{events} {material.learn_events}{rows}",
    }


def _corpus_digest(corpus: Corpus) -> str:
    arrays = (corpus.values, corpus.stamps, corpus.times)
    layout = repr([(s.start, s.stop, s.is_replay) for s in corpus.series]).encode()
    return _digest(layout, *(np.ascontiguousarray(array).data for array in arrays))


def _digest(*pieces: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()[:16]


def _adapter_facts(
    material: Material, lora: LoraSettings, outcome: Outcome, model: Kronos
) -> AdapterFacts:
    base, parts = material.base, material.parts
    return AdapterFacts(
        base=base.reference,
        base_sha256=weights_sha256(base.model),
        tokenizer_sha256=weights_sha256(base.tokenizer),
        rank=lora.rank,
        alpha=lora.alpha,
        cut_off=parts.cut_off.isoformat(),
        seen_until=parts.seen_until.isoformat(),
        code=code_revision(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        steps=outcome.best_step,
        n_parameters=n_trained(model),
        has_events=material.learn_events,
        asset_class=material.asset_class,
        scores={} if outcome.best is None else {"crps": outcome.best},
        tensors_sha256="",
        event_alignment=model.config.event_alignment,
    )


def _describe(material: Material, settings: FinetuneSettings, outcome: Outcome, out: Path) -> None:
    """Write the card of the folder, and finetune.json: how it was made."""
    base, parts = material.base, material.parts
    lookback = base.lookback or min(settings.context, base.max_context - settings.horizon)
    describe_bundle(out, lookback=lookback, max_context=base.max_context)
    record = {
        "base": base.reference,
        "base_sha256": weights_sha256(base.model),
        "cut_off": parts.cut_off.isoformat(),
        "seen_until": parts.seen_until.isoformat(),
        "code": code_revision(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "asset_class": material.asset_class,
        "settings": asdict(settings),
        "outcome": asdict(outcome),
        "ended": why_ended(asdict(outcome)),
    }
    (out / "finetune.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def code_revision() -> str:
    """The version of the code, and in a checkout its commit; "+" marks uncommitted changes."""
    try:
        version = metadata.version("kronos-fan")
    except metadata.PackageNotFoundError:
        version = "not installed"
    root = Path(str(files("kronos"))).resolve().parent
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else ""
    if not commit:
        return version
    changed = "+" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
    return f"{version} {commit[:12]}{changed}"


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
