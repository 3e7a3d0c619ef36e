"""Training runs from a folder of candle files to a checkpoint folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from kronos.errors import InvalidRequest
from kronos.events import Event, Leaders
from kronos.nn.checkpoint import load_model, load_tokenizer, save_checkpoint
from kronos.nn.config import (
    EVENT_ALIGNMENTS,
    WEIGHTS_NAME,
    EventAlignment,
    ModelConfig,
    Normalisation,
    TokenizerConfig,
)
from kronos.nn.model import Kronos
from kronos.nn.tokenizer import KronosTokenizer
from kronos.system import sha256_of
from kronos.training.corpus import Corpus, CorpusEvents, Holdout, load_corpus
from kronos.training.leaders import load_leaders
from kronos.training.loop import LoopConfig, train
from kronos.training.objectives import ModelObjective, TokenizerObjective, returns_by_token
from kronos.training.processes import Process, process_group
from kronos.training.state import Losses
from kronos.training.windows import Batch, WindowPlan, WindowSampler

VALIDATION_BATCHES = 8
RETURN_BATCHES = 32
"""Batches that tell the mean return of every coarse token."""


@dataclass(frozen=True, slots=True)
class DataConfig:
    """The data of a run.

    Attributes:
        folder: Candle files.
        manifest: Their description, or None.
        holdout: Families held out.
        until: Only bars before this time are learned.
        events: Events that the model learns to read; empty for a model that reads none.
    """

    folder: Path
    manifest: Path | None = None
    holdout: Holdout = field(default_factory=Holdout)
    until: pd.Timestamp | None = None
    events: tuple[Event, ...] = ()

    def load(self, *, held_out: bool, min_bars: int) -> Corpus:
        """The training bars, or all bars of the held-out families."""
        return load_corpus(
            self.folder,
            manifest=self.manifest,
            holdout=self.holdout,
            held_out=held_out,
            until=None if held_out else self.until,
            min_bars=min_bars,
            on_calendars=bool(self.events),
        )

    def leaders(self) -> Leaders | None:
        """The leading markets of the folder, for a model that reads events."""
        return load_leaders(self.folder, self.manifest) if self.events else None


def train_tokenizer(
    data: DataConfig,
    plan: WindowPlan,
    loop: LoopConfig,
    objective: TokenizerObjective,
    out: Path,
    *,
    config: TokenizerConfig,
    start_from: Path | None = None,
    device: str | None = None,
) -> Path:
    """Train a tokenizer; returns its checkpoint folder, out/tokenizer.

    Args:
        data: The training data.
        plan: How windows are drawn.
        loop: Steps and rates.
        objective: The loss.
        out: Folder of the run; a run found there is resumed.
        config: Size of a tokenizer trained from scratch.
        start_from: Checkpoint folder to start from instead.
        device: "cpu" or "cuda"; None for a GPU if there is one.
    """
    torch.manual_seed(loop.seed)
    tokenizer = load_tokenizer(start_from) if start_from else KronosTokenizer(**config.to_dict())
    with process_group(device) as process:
        facts = _facts(data, plan, objective, start_from)
        kind = tokenizer.config.normalisation
        run = out / "tokenizer-run"
        _run(tokenizer, lambda _: objective, data, plan, loop, run, process, facts, kind)
        if process.is_main:
            save_checkpoint(tokenizer, out / "tokenizer")
    return out / "tokenizer"


def train_model(
    data: DataConfig,
    plan: WindowPlan,
    loop: LoopConfig,
    objective: ModelObjective,
    out: Path,
    *,
    tokenizer: Path,
    config: ModelConfig,
    start_from: Path | None = None,
    device: str | None = None,
) -> Path:
    """Train the autoregressive model on a tokenizer's tokens; returns out/model.

    Args:
        tokenizer: Checkpoint folder of the (frozen) tokenizer.
        config: Size of a model trained from scratch.

    The other arguments are those of `train_tokenizer`.
    """
    torch.manual_seed(loop.seed)
    model = load_model(start_from) if start_from else Kronos(**config.to_dict())
    if bool(model.config.n_event_channels) != bool(data.events):
        raise InvalidRequest(
            "A model with event channels is trained with events, another without: "
            f"{model.config.n_event_channels} channels, {len(data.events)} events. Give --events, "
            "or leave it out."
        )
    frozen = load_tokenizer(tokenizer)
    if objective.drift_weight and frozen.config.normalisation != "returns":
        raise InvalidRequest(
            "The drift of a model has a weight where its tokenizer reads returns, as the bundled "
            "one does; this one reads whole windows. Leave --drift-weight out."
        )
    with process_group(device) as process:
        frozen = frozen.to(process.device)
        facts = _facts(data, plan, objective, start_from, tokenizer)
        if objective.drift_weight:
            facts["drift"] = repr(objective.drift_weight)
        kind = frozen.config.normalisation
        alignment = model.config.event_alignment
        run = out / "model-run"

        def losses(windows: WindowSampler) -> Callable[[nn.Module, Batch], Losses]:
            returns = None
            if objective.drift_weight:
                batches = (windows.batch(i).to(process.device) for i in range(RETURN_BATCHES))
                returns = returns_by_token(frozen, batches)
            return objective.with_tokenizer(frozen, returns)

        _run(model, losses, data, plan, loop, run, process, facts, kind, alignment)
        if process.is_main:
            save_checkpoint(model, out / "model")
    return out / "model"


def _run(
    module: nn.Module,
    losses_on: Callable[[WindowSampler], Callable[[nn.Module, Batch], Losses]],
    data: DataConfig,
    plan: WindowPlan,
    loop: LoopConfig,
    out: Path,
    process: Process,
    facts: dict[str, str],
    normalisation: Normalisation,
    alignment: EventAlignment = EVENT_ALIGNMENTS[0],
) -> None:
    min_bars = min(plan.contexts) + plan.future
    corpus, leaders = data.load(held_out=False, min_bars=min_bars), data.leaders()

    def windows(bars: Corpus, purpose: str) -> WindowSampler:
        seed = _seed(loop.seed, purpose)
        return WindowSampler(
            bars,
            plan,
            seed=seed,
            events=CorpusEvents(bars, data.events, leaders) if data.events else None,
            alignment=alignment,
            normalisation=normalisation,
        )

    sampler = windows(corpus, "train")
    losses = losses_on(sampler)
    validate = None
    if process.is_main and data.holdout.share > 0:
        validation = windows(data.load(held_out=True, min_bars=min_bars), "validation")

        @torch.no_grad()
        def validate() -> dict[str, float]:
            sums: dict[str, float] = {}
            for i in range(VALIDATION_BATCHES):
                for name, value in losses(module, validation.batch(i).to(process.device)).items():
                    sums[name] = sums.get(name, 0.0) + float(value) / VALIDATION_BATCHES
            return sums

    train(module, losses, sampler, loop, out, process, validate=validate, facts=facts)


def _facts(
    data: DataConfig, plan: WindowPlan, objective: Any, *weights: Path | None
) -> dict[str, str]:
    """What a run depends on beside its loop: data, windows, objective, initial weights."""
    manifest = sha256_of(data.manifest) if data.manifest else ""
    return {
        "data": f"{data.folder.resolve()} {manifest} {data.holdout} {data.until}",
        "events": hashlib.sha256(repr(data.events).encode()).hexdigest() if data.events else "",
        "windows": repr(plan),
        "objective": repr(objective),
        "weights": " ".join(sha256_of(w / WEIGHTS_NAME) for w in weights if w is not None),
    }


def _seed(seed: int, purpose: str) -> int:
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
