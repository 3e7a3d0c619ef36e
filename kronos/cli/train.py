"""`kronos train`: tokenizer and model, from scratch or from a checkpoint."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd

    from kronos.training.run import DataConfig

__all__ = ["add_data_arguments", "add_parser", "data_config", "date_of", "run"]

_EPILOG = """\
A run has two stages, as upstream's: first the tokenizer, then the model on its tokens. Both write
into the same output folder, which is then a checkpoint that every other command can use.

examples:
  kronos train tokenizer --data bars/ --out runs/mine
  kronos train model --data bars/ --out runs/mine
  kronos forecast new.csv --model runs/mine
  kronos train model --data bars/ --out runs/tuned --start-from small --steps 500 --lr 1e-5
  torchrun --nproc-per-node 2 -m kronos train model --data bars/ --out runs/mine

The data folder holds CSV or parquet files with the columns timestamp, open, high, low, close and,
if there are, volume and amount. Whole families of instruments are held out for validation. A run
that was stopped goes on from its last checkpoint when started again with the same arguments; its
log is OUT/tokenizer-run/log.jsonl or OUT/model-run/log.jsonl."""


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which bars are used, shared with `kronos evaluate`."""
    parser.add_argument("--data", required=True, metavar="FOLDER", help="folder of candle files")
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="CSV or parquet: file, and optionally interval, group, family, clock, zone",
    )
    parser.add_argument(
        "--holdout",
        type=float,
        default=1 / 12,
        metavar="SHARE",
        help="share of families held out, chosen by the hash of their name (default 1/12); "
        "0 trains on, or scores, every series",
    )


def date_of(text: str | None, option: str) -> pd.Timestamp | None:
    """A date given on the command line.

    Raises:
        InvalidRequest: It is none.
    """
    import pandas as pd

    try:
        return pd.Timestamp(text) if text else None
    except ValueError as exc:
        raise InvalidRequest(f"{option} {text!r} is not a date, such as 2025-10-01.") from exc


def data_config(args: argparse.Namespace) -> DataConfig:
    """The data arguments as a `DataConfig`."""
    from kronos.training.corpus import Holdout
    from kronos.training.run import DataConfig

    folder = Path(args.data)
    if not folder.is_dir():
        raise InvalidRequest(f"--data {folder} is not a folder. Give the folder of candle files.")
    stop = date_of(getattr(args, "until", None), "--until")
    manifest = Path(args.manifest) if args.manifest else None
    if manifest is not None and not manifest.is_file():
        raise InvalidRequest(f"--manifest {manifest} is not there.")
    return DataConfig(folder, manifest, Holdout(args.holdout), stop)


def add_parser(subparsers: Any) -> None:
    """Describes the command; see `kronos.cli`."""
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
    add_data_arguments(sub)
    sub.add_argument("--out", required=True, metavar="FOLDER", help="folder of the run")
    sub.add_argument(
        "--until", metavar="DATE", help="learn only from bars before this date (for honest scores)"
    )
    sub.add_argument(
        "--start-from",
        metavar="MODEL",
        help="start from a model's weights (a name or folder) and upstream's losses and rates; "
        "otherwise from scratch, as the bundled checkpoint was made",
    )
    if stage == "model":
        sub.add_argument(
            "--tokenizer",
            metavar="FOLDER",
            help="tokenizer whose tokens are learned (default: OUT/tokenizer, or that of "
            "--start-from)",
        )
    sub.add_argument("--steps", type=int, help="optimizer steps")
    sub.add_argument("--lr", type=float, help="peak learning rate; 1e-5 or less for adapting")
    sub.add_argument("--bars-per-batch", type=int, help="bars in a batch")
    sub.add_argument(
        "--accumulate",
        type=int,
        help="batches a step is made of, over all processes (default: one for each)",
    )
    sub.add_argument("--precision", choices=("fp32", "bf16"), help="bf16 pays on GPUs")
    sub.add_argument("--optimizer", choices=("adamw", "muon"))
    sub.add_argument("--seed", type=int, help="seed of weights, windows and dropout")
    sub.add_argument("--save-every", type=int, help="steps between resumable checkpoints")
    sub.add_argument("--device", help="cpu or cuda; the best there is by default")


def run(args: argparse.Namespace) -> int:
    """Trains one stage; see `kronos.cli`."""
    from kronos.training import recipes

    data, out = data_config(args), Path(args.out)
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
    from kronos.training import recipes
    from kronos.training.objectives import TokenizerObjective
    from kronos.training.run import train_tokenizer

    start = _start_folders(args.start_from)[1] if args.start_from else None
    return train_tokenizer(
        data,
        plan,
        loop,
        TokenizerObjective() if start else recipes.BUNDLED_TOKENIZER_OBJECTIVE,
        out,
        config=recipes.BUNDLED_TOKENIZER,
        start_from=start,
        device=args.device,
    )


def _train_model(
    args: argparse.Namespace, data: DataConfig, plan: Any, loop: Any, out: Path
) -> Path:
    from kronos.training import recipes
    from kronos.training.objectives import ModelObjective
    from kronos.training.run import train_model

    start, tokenizer = None, out / "tokenizer"
    if args.start_from:
        start, published = _start_folders(args.start_from)
        # A tokenizer adapted in this folder comes first, else the one of the start.
        tokenizer = tokenizer if tokenizer.is_dir() else published
    if args.tokenizer:
        tokenizer = Path(args.tokenizer)
    if not tokenizer.is_dir():
        raise InvalidRequest(
            f"There is no tokenizer in {tokenizer}. Run `kronos train tokenizer` with the same "
            "--out first, or give --tokenizer."
        )
    return train_model(
        data,
        plan,
        loop,
        ModelObjective() if start else recipes.BUNDLED_MODEL_OBJECTIVE,
        out,
        tokenizer=tokenizer,
        config=recipes.BUNDLED_MODEL,
        start_from=start,
        device=args.device,
    )


def _start_folders(name: str) -> tuple[Path, Path]:
    """Model and tokenizer folder of a name or folder, downloaded where needed."""
    from kronos.models import checkpoint_pair

    return checkpoint_pair(name)
