"""`kronos train`: tokenizer and model, from scratch or from a checkpoint."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.cli.bars import add_corpus_options, add_events_option, corpus_config
from kronos.errors import InvalidRequest

if TYPE_CHECKING:
    from kronos.training.run import DataConfig

__all__ = ["add_parser", "run"]

_EPILOG = """\
A run has two stages, like upstream's: first the tokenizer, then the model on its tokens. Both write
into one output folder, a checkpoint for every other command.

examples:
  kronos train tokenizer --data bars/ --out runs/mine
  kronos train model --data bars/ --out runs/mine
  kronos forecast new.csv --model runs/mine
  kronos train model --data bars/ --out runs/tuned --start-from small --steps 500 --lr 1e-5
  torchrun --nproc-per-node 2 -m kronos train model --data bars/ --out runs/mine

The data folder holds CSV or parquet files with the columns timestamp, open, high, low, close and
optionally volume and amount. Whole families of instruments are held out for validation. A run that
was stopped resumes from its last checkpoint when started again with the same arguments; its log is
OUT/tokenizer-run/log.jsonl or OUT/model-run/log.jsonl."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "train",
        help="train a tokenizer or a model on a folder of candle files",
        description="Trains Kronos on your own candles, from scratch or from a checkpoint.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stages = parser.add_subparsers(metavar="STAGE", required=True)
    for stage, text in (
        ("tokenizer", "candles to tokens and back: the first stage"),
        ("model", "the next pair of tokens: the second stage"),
    ):
        sub = stages.add_parser(stage, help=text, description=text.capitalize() + ".")
        sub.set_defaults(run=run, stage=stage)
        _add_arguments(sub, stage)


def _add_arguments(sub: argparse.ArgumentParser, stage: str) -> None:
    add_corpus_options(sub)
    sub.add_argument("--out", required=True, metavar="FOLDER", help="folder of the run")
    sub.add_argument(
        "--until", metavar="DATE", help="train only on bars before this date (for honest scores)"
    )
    sub.add_argument(
        "--start-from",
        metavar="MODEL",
        help="start from a model's weights (a name or folder) with its losses and upstream's "
        "rates; otherwise from scratch, by the recipe of the bundled checkpoint",
    )
    if stage == "model":
        sub.add_argument(
            "--tokenizer",
            metavar="FOLDER",
            help="tokenizer of the model (default: OUT/tokenizer, or that of --start-from)",
        )
        add_events_option(sub, "train a model that reads events")
        sub.add_argument(
            "--drift-weight",
            type=float,
            default=0.0,
            metavar="W",
            help="weight of the squared drift of 24 bars, which keeps the fan from drifting by "
            "chance (default 0)",
        )
    sub.add_argument("--steps", type=int, help="optimizer steps")
    sub.add_argument("--lr", type=float, help="peak learning rate; 1e-5 or less for adapting")
    sub.add_argument("--bars-per-batch", type=int, help="bars in a batch")
    sub.add_argument(
        "--accumulate",
        type=int,
        help="batches in a step, over all processes (default: one for each)",
    )
    sub.add_argument("--precision", choices=("fp32", "bf16"), help="bf16 pays on GPUs")
    sub.add_argument("--optimizer", choices=("adamw", "muon"))
    sub.add_argument("--seed", type=int, help="seed of weights, windows and dropout")
    sub.add_argument("--save-every", type=int, help="steps between resumable checkpoints")
    sub.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos.training import recipes

    data, out = corpus_config(args), Path(args.out)
    adapting = args.start_from is not None
    given = {
        name: getattr(args, name)
        for name in ("steps", "lr", "accumulate", "precision", "optimizer", "seed", "save_every")
        if getattr(args, name) is not None
    }
    plan = recipes.BUNDLED_WINDOWS
    if args.bars_per_batch is not None:
        plan = replace(plan, bars_per_batch=args.bars_per_batch)
    if args.stage == "tokenizer":
        base = recipes.UPSTREAM_TOKENIZER_LOOP if adapting else recipes.BUNDLED_TOKENIZER_LOOP
        folder = _train_tokenizer(args, data, plan, replace(base, **given), out)
    else:
        base = recipes.UPSTREAM_MODEL_LOOP if adapting else recipes.BUNDLED_MODEL_LOOP
        folder = _train_model(args, data, plan, replace(base, **given), out)
    print(
        f"{folder} is trained; the log is {out / (args.stage + '-run') / 'log.jsonl'}.",
        file=sys.stderr,
    )
    return 0


def _train_tokenizer(
    args: argparse.Namespace, data: DataConfig, plan: Any, loop: Any, out: Path
) -> Path:
    from kronos.nn.checkpoint import load_tokenizer
    from kronos.training import recipes
    from kronos.training.run import train_tokenizer

    start = _start_folders(args.start_from)[1] if args.start_from else None
    kind = (
        load_tokenizer(start).config.normalisation
        if start
        else recipes.BUNDLED_TOKENIZER.normalisation
    )
    return train_tokenizer(
        data,
        plan,
        loop,
        recipes.tokenizer_objective(kind, is_published=start is not None),
        out,
        config=recipes.BUNDLED_TOKENIZER,
        start_from=start,
        device=args.device,
    )


def _train_model(
    args: argparse.Namespace, data: DataConfig, plan: Any, loop: Any, out: Path
) -> Path:
    from kronos.nn.checkpoint import load_tokenizer
    from kronos.nn.config import N_EVENT_CHANNELS
    from kronos.training import recipes
    from kronos.training.run import train_model

    start, tokenizer = None, out / "tokenizer"
    if args.start_from:
        start, published = _start_folders(args.start_from)
        # A tokenizer adapted in this folder takes precedence.
        tokenizer = tokenizer if tokenizer.is_dir() else published
    if args.tokenizer:
        tokenizer = Path(args.tokenizer)
    if not tokenizer.is_dir():
        raise InvalidRequest(
            f"There is no tokenizer in {tokenizer}. Run `kronos train tokenizer` with the same "
            "--out first, or give --tokenizer."
        )
    kind = load_tokenizer(tokenizer).config.normalisation
    objective = recipes.model_objective(kind, is_published=start is not None)
    config = recipes.BUNDLED_MODEL
    if data.events:
        config = replace(config, n_event_channels=N_EVENT_CHANNELS, event_alignment="ahead")
    return train_model(
        data,
        plan,
        loop,
        replace(objective, drift_weight=args.drift_weight),
        out,
        tokenizer=tokenizer,
        config=config,
        start_from=start,
        device=args.device,
    )


def _start_folders(name: str) -> tuple[Path, Path]:
    """Model and tokenizer folder of a name or folder, downloaded where needed."""
    from kronos.models import checkpoint_pair

    return checkpoint_pair(name)
