"""`kronos finetune`: adapters, whole models, and champions that are challenged every month."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from kronos.cli.finetune_arguments import add_forms
from kronos.cli.terminal import megabytes, write_text
from kronos.cli.train import date_of
from kronos.errors import InvalidRequest, KronosError

if TYPE_CHECKING:
    import pandas as pd

    from kronos.events import Event
    from kronos.finetune.job import Hooks, Material, Result
    from kronos.finetune.settings import FinetuneSettings
    from kronos.training.corpus import Corpus

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Describes the command; see `kronos.cli`."""
    add_forms(subparsers, run)


def run(args: argparse.Namespace) -> int:
    """Does what was asked; see `kronos.cli`."""
    if args.form == "rollback":
        from kronos.finetune.rolling import roll_back

        decision = roll_back(args.name)
        print(f"{args.name} is {decision.adapter} again.", file=sys.stderr)
        return 0
    if args.form == "history":
        return _history(args.name)
    if args.form == "rolling":
        return _rolling(args)
    return _tune(args)


def _tune(args: argparse.Namespace) -> int:
    from kronos import models
    from kronos.finetune.job import finetune_full, finetune_lora

    if getattr(args, "name", None):
        models.require_free(args.name)
    settings, material = _settings(args), _material(args)
    _announce(material, settings)
    out = Path(args.out)
    with _stoppable() as stop:
        hooks = _hooks(args, stop)
        if args.form == "full":
            result = finetune_full(
                material, settings, out, tokenizer_too=not args.keep_tokenizer, hooks=hooks
            )
        else:
            result = finetune_lora(material, settings, out, lora=_lora(args), hooks=hooks)
    if not _is_main():
        return 0
    if result.outcome.reason == "stopped":
        _say(f"Saved at step {result.outcome.step}. The same command goes on from there.")
        return 130
    if getattr(args, "name", None):
        models.install(result.path, args.name)
    _tell(result, getattr(args, "name", None) or str(result.path))
    return 0


def _rolling(args: argparse.Namespace) -> int:
    from kronos import models
    from kronos.finetune.rolling import RollingSettings, roll

    base, corpus, settings = models.locate(args.base), _corpus(args), _settings(args)
    events = _events()
    classes = sorted({series.asset_class for series in corpus.series})
    failed = []
    with _stoppable() as stop:
        for asset_class in [args.asset_class] if args.asset_class else classes:
            name = f"{args.prefix or Path(base.reference).name}-{asset_class or 'all'}".lower()
            rolling = RollingSettings(
                name=name,
                years=args.years,
                test_windows=args.test_windows,
                learn_events=not args.no_events,
                asset_class=asset_class,
            )
            try:
                decision = roll(
                    base,
                    corpus.of_class(asset_class),
                    rolling,
                    replace(settings, replay=args.replay),
                    events=events,
                    lora=_lora(args),
                    hooks=_hooks(args, stop),
                )
            except KronosError as error:
                # One class that fails keeps no other from its run.
                failed.append(name)
                _say(f"{name} failed, its champion is as it was: {error}")
                continue
            if decision is None:
                _say(f"{name}: saved. The same command goes on from there.")
                return 130
            _say(f"{name}: {decision.what}; {decision.why}.")
    return 2 if failed else 0


def _history(name: str) -> int:
    from kronos.finetune.history import read
    from kronos.models.adapters import rolling_folder

    lines = [
        f"{d.when}  {d.what:12}{d.adapter or '-':18}{d.why}" for d in read(rolling_folder(name))
    ]
    write_text(None, "\n".join(lines or [f"Nothing is known of {name}."]) + "\n")
    return 0


def _corpus(args: argparse.Namespace) -> Corpus:
    from kronos.training.corpus import load_corpus

    folder = Path(args.data)
    if not folder.is_dir():
        raise InvalidRequest(f"--data {folder} is not a folder. Give the folder of candle files.")
    return load_corpus(
        folder,
        manifest=args.manifest,
        since=date_of(args.since, "--since"),
        until=date_of(args.until, "--until"),
        on_calendars=True,
        market=args.market,
        frequency=args.frequency,
    )


def _material(args: argparse.Namespace) -> Material:
    from kronos import models
    from kronos.finetune.job import Material
    from kronos.finetune.split import Split, choose_split, split_corpus

    n_bars = _settings(args).n_bars
    base, corpus = models.locate(args.base), _corpus(args)
    if args.asset_class:
        corpus = corpus.of_class(args.asset_class)
    cut_off = _moment(date_of(args.cut_off, "--cut-off"))
    split = Split(cut_off) if cut_off is not None else choose_split(corpus, n_bars=n_bars)
    events = None if args.no_events else _events()
    return Material(
        base,
        split_corpus(corpus, split, n_bars=n_bars),
        events,
        learn_events=events is not None,
        asset_class=args.asset_class or "",
    )


def _moment(date: pd.Timestamp | None) -> pd.Timestamp | None:
    return date.tz_localize("UTC") if date is not None and date.tz is None else date


def _events() -> list[Event]:
    from kronos.events import load_events

    return list(load_events())


def _settings(args: argparse.Namespace) -> FinetuneSettings:
    from kronos.finetune.settings import FULL_LR, FinetuneSettings

    names = (
        "context", "horizon", "windows", "accumulate", "steps", "lr", "validate_every", "patience",
        "validation_windows", "paths", "precision", "seed",
    )  # fmt: skip
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if args.form == "full":
        given.setdefault("lr", FULL_LR)
    given.setdefault("accumulate", int(os.environ.get("WORLD_SIZE", "1")))
    return FinetuneSettings(**given, save_memory=args.save_memory)


def _lora(args: argparse.Namespace) -> Any:
    from kronos.finetune.lora import LoraSettings

    return LoraSettings(args.rank, args.alpha, args.dropout, args.targets)


def _hooks(args: argparse.Namespace, stop: Flag) -> Hooks:
    from kronos.finetune.job import Hooks

    return Hooks(_show, stop.is_set, args.device)


@contextmanager
def _stoppable() -> Iterator[Flag]:
    """A flag that goes up at the first Ctrl+C or request to end; the second ends at once."""
    flag = Flag()

    def ask(number: int, _frame: Any) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()
        _say("Stopping after this step; once more ends at once.")

    kept = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _show(line: dict[str, Any]) -> None:
    """One line of the log, as a person reads it."""
    if line["split"] == "train":
        _say(f"step {line['step']:6,}  loss {line['loss']:.4f}  {line['seconds']:,.0f} s")
    elif line["split"] == "validation" and "crps" in line:
        _say(
            f"step {line['step']:6,}  CRPS {line['crps']:.4f} behind the cut-off (volatility cone "
            f"{line['cone_crps']:.4f}), 80% band holds {100 * line['coverage']:.0f}%"
        )
    elif line["split"] == "validation":
        _say(f"step {line['step']:6,}  loss {line['loss']:.4f} behind the cut-off")


def _announce(material: Material, settings: FinetuneSettings) -> None:
    from kronos import models

    parts = material.parts
    _say(
        f"{material.base.name}: learning from {len(parts.train.times):,} bars before "
        f"{parts.cut_off:%Y-%m-%d}, choosing by {len(parts.validation.times):,} from there on; "
        f"windows of {settings.context} + {settings.horizon} bars."
    )
    sees_training = parts.cut_off.date() < models.PRETRAINED_UNTIL
    if sees_training and material.base.name.startswith("Kronos"):
        _say(
            "The published weights have seen bars until June 2024: scores on those are better "
            "than they should be."
        )


def _tell(result: Result, model: str) -> None:
    outcome = result.outcome
    ended = "no longer improving" if outcome.reason == "early" else "all steps done"
    found = "the start was best" if outcome.best_step == 0 else f"best at step {outcome.best_step}"
    _say(
        f"Ended after {outcome.step:,} steps ({ended}): {found}, CRPS {outcome.best:.4f}; "
        f"{result.n_trained:,} parameters trained in {outcome.seconds:,.0f} s with at most "
        f"{megabytes(outcome.peak_bytes)} of memory."
    )
    _say(f"Use it with: kronos forecast bars.csv --model {model}")


def _say(text: str) -> None:
    if _is_main():
        print(text, file=sys.stderr, flush=True)


def _is_main() -> bool:
    """Whether this is the process that speaks, of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"
