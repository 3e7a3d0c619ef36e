"""`kronos finetune`: adapters, whole models, and monthly challengers of a champion."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from kronos.cli.bars import require_folder
from kronos.cli.options import date_of
from kronos.cli.terminal import megabytes, write_text
from kronos.errors import Busy, InvalidRequest, KronosError
from kronos.extras import require_installed

if TYPE_CHECKING:
    import pandas as pd

    from kronos.events import Event, Leaders
    from kronos.finetune.cluster import Workers
    from kronos.finetune.history import Decision
    from kronos.finetune.job import Hooks, Material, Result
    from kronos.finetune.rolling import RollingSettings
    from kronos.finetune.settings import FinetuneSettings
    from kronos.models import Located
    from kronos.training.corpus import Corpus

__all__ = ["add_parser", "run"]

# A look of the application takes the lock for a moment.
_LOCK_SECONDS = 2.0

_EPILOG = """\
The model is trained on bars before the cut-off. Bars after it choose the best step by the CRPS of
sampled fans, and no window of one part touches a bar of the other. On these the result is never
worse than its base; only later bars can show how good it is.

examples:
  kronos finetune lora --base small --data bars/ --out runs/mine --name mine
  kronos forecast new.csv --model mine
  kronos finetune full --base small --data bars/ --out runs/whole
  kronos finetune full --base base --data qlib_data/cn_data --market csi300 --out runs/cn
  kronos finetune rolling --base small --data bars/          for a scheduler, once a month
  kronos finetune rollback small-crypto
  torchrun --nproc-per-node 2 -m kronos finetune lora --base base --data bars/ --out runs/two
  kronos finetune lora --base base --data bars/ --out /shared/runs/four \\
      --cluster ray://auto --workers 4
  kronos finetune rolling --base small --data bars/ --cluster ray://auto   one worker a class

The data folder holds CSV or parquet files, or has Qlib's layout. A run that was stopped, by Ctrl+C
or by force, resumes when started again with the same arguments. A file named STOP in its folder
stops it, too. OUT/model-run/log.jsonl has its figures, one line for each report."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "finetune",
        help="adapt a model to your own candles",
        description="Adapts a model to your own candles: by a small adapter, or as a whole.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    forms = parser.add_subparsers(metavar="FORM", required=True)
    for form, text in (
        ("lora", "train an adapter: a small file beside its base"),
        ("full", "train tokenizer and model as a whole, one after the other"),
        ("rolling", "train a challenger for every asset class, and promote it if it is better"),
    ):
        sub = forms.add_parser(form, help=text, description=text.capitalize() + ".")
        sub.set_defaults(run=run, form=form)
        _add_data_arguments(sub)
        _add_form_arguments(sub, form)
        _add_loop_arguments(sub)
        _add_cluster_arguments(sub, form)
    for form, text in (
        ("rollback", "restore the champion before the present one"),
        ("history", "the decisions on all challengers"),
    ):
        sub = forms.add_parser(form, help=text, description=text.capitalize() + ".")
        sub.add_argument("name", metavar="NAME", help="name of the adapter")
        sub.set_defaults(run=run, form=form)


def _add_data_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--data", required=True, metavar="FOLDER", help="candle files, or Qlib data")
    sub.add_argument(
        "--manifest",
        metavar="FILE",
        help="CSV or parquet: file, and optionally interval, group, family, clock, zone, "
        "leader (btc, spy, dxy or vix: bars of a leading market)",
    )
    sub.add_argument("--market", default="all", help="for Qlib data: list of members (default all)")
    sub.add_argument("--frequency", default="day", help="for Qlib data: calendar (default day)")
    sub.add_argument("--asset-class", metavar="CLASS", help="only series of this class")
    sub.add_argument("--since", metavar="DATE", help="only bars from this date on")
    sub.add_argument("--until", metavar="DATE", help="only bars before this date")
    sub.add_argument(
        "--base", default="bundled", metavar="MODEL", help="name or folder (default bundled)"
    )
    sub.add_argument(
        "--no-events",
        action="store_true",
        help="train without the event calendar of `kronos events`",
    )


def _add_form_arguments(sub: argparse.ArgumentParser, form: str) -> None:
    if form == "lora":
        # Of the application, which runs one training at a time.
        sub.add_argument("--lock", help=argparse.SUPPRESS)
    if form != "rolling":
        sub.add_argument("--out", required=True, metavar="FOLDER", help="folder of the run")
        sub.add_argument(
            "--cut-off",
            metavar="DATE",
            help="train on bars before, validate from here on (default: the last fifth validates)",
        )
    if form == "lora":
        sub.add_argument("--name", help="install the adapter under this name")
    if form == "full":
        sub.add_argument("--keep-tokenizer", action="store_true", help="train the model only")
    if form != "full":
        sub.add_argument("--rank", type=int, default=8, help="rank of the adapter (default 8)")
        sub.add_argument("--alpha", type=int, default=16, help="scale times rank (default 16)")
        sub.add_argument("--dropout", type=float, default=0.05, help="default .05")
        sub.add_argument(
            "--targets",
            choices=("attention", "blocks"),
            default="attention",
            help="adapt queries and values, or every matrix of the blocks (default attention)",
        )
    if form == "rolling":
        sub.add_argument("--prefix", help="adapters are named PREFIX-CLASS (default: the base)")
        sub.add_argument(
            "--years", type=float, default=2.0, help="years of training bars (default 2)"
        )
        sub.add_argument(
            "--replay", type=float, default=0.2, help="share of older windows (default .2)"
        )
        sub.add_argument(
            "--test-windows",
            type=int,
            default=200,
            help="most windows of the comparison (default 200)",
        )


def _add_loop_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--context", type=int, help="bars read (default 128)")
    sub.add_argument("--horizon", type=int, help="bars forecast (default 24)")
    sub.add_argument("--windows", type=int, help="windows in a step (default 32)")
    sub.add_argument(
        "--accumulate",
        type=int,
        help="batches in a step: more need less memory; a multiple of the processes "
        "(default: one for each)",
    )
    sub.add_argument("--steps", type=int, help="optimizer steps (default: by the data)")
    sub.add_argument("--lr", type=float, help="peak learning rate (lora 1e-4, full 1e-5)")
    sub.add_argument(
        "--validate-every", type=int, help="steps between validations, each with a checkpoint"
    )
    sub.add_argument(
        "--patience", type=int, help="validations without a better score before the end (default 4)"
    )
    sub.add_argument("--validation-windows", type=int, help="most windows scored (default 64)")
    sub.add_argument("--paths", type=int, help="paths sampled for each (default 32)")
    sub.add_argument("--precision", choices=("fp32", "bf16"), help="bf16 pays on GPUs")
    sub.add_argument(
        "--save-memory", action="store_true", help="recompute activations instead of storing them"
    )
    sub.add_argument("--seed", type=int, help="seed of windows, dropout and paths")
    sub.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")


def _add_cluster_arguments(sub: argparse.ArgumentParser, form: str) -> None:
    sub.add_argument(
        "--cluster",
        metavar="URL",
        help="train in workers of this Ray cluster, such as ray://auto (default: in this process)",
    )
    if form != "rolling":
        sub.add_argument(
            "--workers", type=int, metavar="N", help="workers of the cluster (default 1)"
        )
    sub.add_argument(
        "--cpus", type=float, metavar="N", help="processors and threads of a worker (default 1)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    if args.form == "rollback":
        from kronos.finetune.rolling import roll_back

        decision = roll_back(args.name)
        print(f"{args.name} is {decision.adapter} again.", file=sys.stderr)
        return 0
    if args.form == "history":
        return _history(args.name)
    if args.form == "rolling":
        return _rolling(args)
    with _locked(getattr(args, "lock", None)):
        return _tune(args)


@contextmanager
def _locked(path: str | None) -> Iterator[None]:
    """Hold a lock, where one is named. The system frees it however this process ends."""
    if path is None:
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise Busy("Another training is under way. Start this one when it has ended.") from None
    try:
        yield
    finally:
        lock.release()


def _tune(args: argparse.Namespace) -> int:
    from kronos import models
    from kronos.finetune.job import finetune_full, finetune_lora

    if getattr(args, "name", None):
        models.require_free(args.name)
    workers = _workers(args)
    settings, material = _settings(args), _material(args)
    _announce(material, settings)
    out = Path(args.out)
    is_full = args.form == "full"
    tune = finetune_full if is_full else finetune_lora
    options = {"tokenizer_too": not args.keep_tokenizer} if is_full else {"lora": _lora(args)}
    with _stoppable() as stop:
        hooks = _hooks(args, stop)
        if workers is None:
            result = tune(material, settings, out, hooks=hooks, **options)
        else:
            from kronos.finetune.cluster import tune_on_cluster

            result = tune_on_cluster(
                tune, material, settings, out, workers, hooks=hooks, say=_say, **options
            )
    if not _is_main():
        return 0
    if result.outcome.reason == "stopped":
        outcome = result.outcome
        _say(
            f"Stopped on request. Saved at step {outcome.step} of {outcome.n_steps}. The same "
            "command resumes from there."
        )
        return 130
    if getattr(args, "name", None):
        models.install(result.path, args.name)
    _tell(result, out, getattr(args, "name", None) or str(result.path))
    return 0


def _rolling(args: argparse.Namespace) -> int:
    from kronos import models
    from kronos.finetune.rolling import RollingSettings

    workers = _workers(args)
    base, corpus = models.locate(args.base), _corpus(args)
    classes = sorted({series.asset_class for series in corpus.series})
    rollings = [
        RollingSettings(
            name=f"{args.prefix or Path(base.reference).name}-{asset_class or 'all'}".lower(),
            years=args.years,
            test_windows=args.test_windows,
            learn_events=not args.no_events,
            asset_class=asset_class,
        )
        for asset_class in ([args.asset_class] if args.asset_class else classes)
    ]
    settings = replace(_settings(args), replay=args.replay)
    shared: dict[str, Any] = {"events": _events(), "leaders": _leaders(args), "lora": _lora(args)}
    n_failed = n_stopped = 0
    with _stoppable() as stop:
        shared["hooks"] = _hooks(args, stop)
        if workers is None:
            ends = _roll_here(base, corpus, rollings, settings, **shared)
        else:
            from kronos.finetune.cluster import roll_on_cluster

            ends = roll_on_cluster(
                base,
                corpus,
                rollings,
                settings,
                workers,
                **shared,
                watch=lambda name, line: _show(line, f"{name}: "),
                say=_say,
            )
        for name, end in ends:
            if isinstance(end, KronosError):
                n_failed += 1
                _say(f"{name} failed, its champion is as it was: {end}")
            elif end is None:
                n_stopped += 1
                _say(f"{name}: saved. The same command resumes from there.")
            else:
                _say(f"{name}: {end.what}; {end.why}.")
    return 130 if n_stopped else 2 if n_failed else 0


def _roll_here(
    base: Located,
    corpus: Corpus,
    rollings: list[RollingSettings],
    settings: FinetuneSettings,
    **shared: Any,
) -> Iterator[tuple[str, Decision | KronosError | None]]:
    """One run after another, until one is stopped; `shared` is what `roll` takes beside these."""
    from kronos.finetune.rolling import roll

    for rolling in rollings:
        end: Decision | KronosError | None
        try:
            end = roll(base, corpus.of_class(rolling.asset_class), rolling, settings, **shared)
        except KronosError as error:
            end = error  # the other classes still run
        yield rolling.name, end
        if end is None:
            return


def _history(name: str) -> int:
    from kronos.finetune.history import read
    from kronos.models.adapters import rolling_folder

    lines = [
        f"{d.when}  {d.what:12}{d.adapter or '-':18}{d.why}" for d in read(rolling_folder(name))
    ]
    write_text(None, "\n".join(lines or [f"{name} has no history."]) + "\n")
    return 0


def _corpus(args: argparse.Namespace) -> Corpus:
    from kronos.training.corpus import load_corpus

    folder = Path(args.data)
    require_folder(folder)
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
        None if events is None else _leaders(args),
        learn_events=events is not None,
        asset_class=args.asset_class or "",
    )


def _moment(date: pd.Timestamp | None) -> pd.Timestamp | None:
    return date.tz_localize("UTC") if date is not None and date.tz is None else date


def _events() -> list[Event]:
    from kronos.events import load_events

    return [event.as_read for event in load_events()]


def _leaders(args: argparse.Namespace) -> Leaders | None:
    from kronos.training.leaders import load_leaders

    return load_leaders(args.data, args.manifest)


def _settings(args: argparse.Namespace) -> FinetuneSettings:
    from kronos.finetune.settings import FULL_LR, FinetuneSettings

    names = (
        "context", "horizon", "windows", "accumulate", "steps", "lr", "validate_every", "patience",
        "validation_windows", "paths", "precision", "seed",
    )  # fmt: skip
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if args.form == "full":
        given.setdefault("lr", FULL_LR)
    workers = _workers(args)
    n_processes = int(os.environ.get("WORLD_SIZE", "1")) if workers is None else workers.n
    given.setdefault("accumulate", n_processes)
    return FinetuneSettings(**given, save_memory=args.save_memory)


def _workers(args: argparse.Namespace) -> Workers | None:
    """The workers of the cluster that is named, or None for a run in this process."""
    given = {"n": getattr(args, "workers", None), "cpus": args.cpus}
    given = {name: value for name, value in given.items() if value is not None}
    if args.cluster is None:
        if given:
            raise InvalidRequest("--workers and --cpus are of a cluster: name it with --cluster.")
        return None
    if "WORLD_SIZE" in os.environ:
        raise InvalidRequest(
            "A run has its processes from torchrun or from a cluster: leave out one of them."
        )
    require_installed("ray", "ray", "Training on a cluster")
    from kronos.finetune.cluster import Workers

    return Workers(args.cluster, **given)


def _lora(args: argparse.Namespace) -> Any:
    from kronos.finetune.lora import LoraSettings

    return LoraSettings(args.rank, args.alpha, args.dropout, args.targets)


def _hooks(args: argparse.Namespace, stop: Flag) -> Hooks:
    from kronos.finetune.job import Hooks

    return Hooks(_show, stop.is_set, args.device)


@contextmanager
def _stoppable() -> Iterator[Flag]:
    """A flag that the first Ctrl+C or SIGTERM sets; the second ends at once."""
    flag = Flag()

    def request_stop(number: int, _frame: Any) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()
        _say("Stopping after this step; once more ends at once.")

    previous = {
        number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _show(line: dict[str, Any], run: str = "") -> None:
    """Print one line of the log."""
    place = f"{run}step {line.get('step', 0):6,}"
    if line["split"] == "train":
        _say(f"{place}  loss {line['loss']:.4f}  {line['seconds']:,.0f} s")
    elif line["split"] == "validation" and "crps" in line:
        _say(
            f"{place}  CRPS {line['crps']:.4f} after the cut-off (volatility cone "
            f"{line['cone_crps']:.4f}), 80% band covers {100 * line['coverage']:.0f}%"
        )
    elif line["split"] == "validation":
        _say(f"{place}  loss {line['loss']:.4f} after the cut-off")


def _announce(material: Material, settings: FinetuneSettings) -> None:
    from kronos import models

    parts = material.parts
    _say(
        f"{material.base.name}: training on {len(parts.train.times):,} bars before "
        f"{parts.cut_off:%Y-%m-%d}, validating on {len(parts.validation.times):,} from there on; "
        f"windows of {settings.context} + {settings.horizon} bars."
    )
    sees_training = parts.cut_off.date() < models.PRETRAINED_UNTIL
    if sees_training and material.base.name.startswith("Kronos"):
        _say("The published weights have seen bars until June 2024: scores on those are too good.")


def _tell(result: Result, out: Path, model: str) -> None:
    from kronos.finetune.report import gain_text, why_ended

    outcome = result.outcome
    log = (out / "model-run/log.jsonl").read_text(encoding="utf-8").splitlines()
    scored = [line for each in log if "crps" in (line := json.loads(each))]
    best = next(line for line in reversed(scored) if line["step"] == outcome.best_step)
    _say(why_ended(asdict(outcome)))
    _say(gain_text(scored[0], best))
    _say(
        f"Best step {outcome.best_step:,}, CRPS {outcome.best:.4f}; {result.n_trained:,} "
        f"parameters trained in {outcome.seconds:,.0f} s with at most "
        f"{megabytes(outcome.peak_bytes)} of memory."
    )
    _say(f"Use it with: kronos forecast bars.csv --model {model}")


def _say(text: str) -> None:
    if _is_main():
        print(text, file=sys.stderr, flush=True)


def _is_main() -> bool:
    """Whether this is the main one of the processes that torchrun started."""
    return os.environ.get("RANK", "0") == "0"
