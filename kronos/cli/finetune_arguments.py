"""The arguments of `kronos finetune`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

__all__ = ["add_forms"]

_EPILOG = """\
Bars before the cut-off teach. Bars behind it choose among the steps, by the CRPS of sampled fans,
and no window of one part touches a bar of the other. What comes out is never worse on them than
the model it began with; how good it is, only bars later than those can tell.

examples:
  kronos finetune lora --base small --data bars/ --out runs/mine --name mine
  kronos forecast new.csv --model mine
  kronos finetune full --base small --data bars/ --out runs/whole
  kronos finetune full --base base --data qlib_data/cn_data --market csi300 --out runs/cn
  kronos finetune rolling --base small --data bars/          for a scheduler, once a month
  kronos finetune rollback small-crypto
  torchrun --nproc-per-node 2 -m kronos finetune lora --base base --data bars/ --out runs/two

The data folder holds CSV or parquet files, or is laid out as Qlib's. A run that was stopped, by
Ctrl+C or by force, goes on when started again with the same arguments. A file named STOP in its
folder stops it, too. OUT/model-run/log.jsonl holds its figures, a line at a time."""


def add_forms(subparsers: Any, run: Callable[[argparse.Namespace], int]) -> None:
    """Describes the command and its forms.

    Args:
        subparsers: As for `add_parser`; see `kronos.cli`.
        run: Does what was asked.
    """
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
    for form, text in (
        ("rollback", "put the champion before the present one back"),
        ("history", "what became of every challenger"),
    ):
        sub = forms.add_parser(form, help=text, description=text.capitalize() + ".")
        sub.add_argument("name", metavar="NAME", help="name of the adapter")
        sub.set_defaults(run=run, form=form)


def _add_data_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--data", required=True, metavar="FOLDER", help="candle files, or Qlib data")
    sub.add_argument(
        "--manifest",
        metavar="FILE",
        help="CSV or parquet: file, and optionally interval, group, family, clock, zone",
    )
    sub.add_argument("--market", default="all", help="of Qlib data: which list (default all)")
    sub.add_argument(
        "--frequency", default="day", help="of Qlib data: which calendar (default day)"
    )
    sub.add_argument("--asset-class", metavar="CLASS", help="only series of this class")
    sub.add_argument("--since", metavar="DATE", help="only bars from this date on")
    sub.add_argument("--until", metavar="DATE", help="only bars before this date")
    sub.add_argument(
        "--base", default="bundled", metavar="MODEL", help="name or folder (default bundled)"
    )
    sub.add_argument(
        "--no-events",
        action="store_true",
        help="do not learn from the event calendar (see `kronos events`)",
    )


def _add_form_arguments(sub: argparse.ArgumentParser, form: str) -> None:
    if form != "rolling":
        sub.add_argument("--out", required=True, metavar="FOLDER", help="folder of the run")
        sub.add_argument(
            "--cut-off",
            metavar="DATE",
            help="learn from bars before, choose by bars from here on (default: a fifth is left)",
        )
    if form == "lora":
        sub.add_argument("--name", help="keep the adapter under this name, to be loaded by it")
    if form == "full":
        sub.add_argument(
            "--keep-tokenizer", action="store_true", help="train the model only, on its tokens"
        )
    if form != "full":
        sub.add_argument("--rank", type=int, default=8, help="rank of the adapter (default 8)")
        sub.add_argument("--alpha", type=int, default=16, help="its scale times rank (default 16)")
        sub.add_argument("--dropout", type=float, default=0.05, help="default .05")
        sub.add_argument(
            "--targets",
            choices=("attention", "blocks"),
            default="attention",
            help="adapt queries and values, or every matrix of the blocks (default attention)",
        )
    if form == "rolling":
        sub.add_argument("--prefix", help="adapters are named PREFIX-CLASS (default: the base)")
        sub.add_argument("--years", type=float, default=2.0, help="learned from (default 2)")
        sub.add_argument(
            "--replay", type=float, default=0.2, help="share of older windows (default .2)"
        )
        sub.add_argument(
            "--test-windows", type=int, default=200, help="compared on, at most (default 200)"
        )


def _add_loop_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--context", type=int, help="bars read (default 128)")
    sub.add_argument("--horizon", type=int, help="bars forecast (default 24)")
    sub.add_argument("--windows", type=int, help="windows in a step (default 32)")
    sub.add_argument(
        "--accumulate",
        type=int,
        help="batches a step is made of: more need less memory; a multiple of the processes "
        "(default: one for each)",
    )
    sub.add_argument("--steps", type=int, help="optimizer steps (default: by the data)")
    sub.add_argument("--lr", type=float, help="peak learning rate (lora 1e-4, full 1e-5)")
    sub.add_argument("--validate-every", type=int, help="steps between scores and checkpoints")
    sub.add_argument("--patience", type=int, help="scores without a better one (default 4)")
    sub.add_argument("--validation-windows", type=int, help="windows scored, at most (default 64)")
    sub.add_argument("--paths", type=int, help="paths sampled for each (default 32)")
    sub.add_argument("--precision", choices=("fp32", "bf16"), help="bf16 pays on GPUs")
    sub.add_argument("--save-memory", action="store_true", help="compute blocks twice instead")
    sub.add_argument("--seed", type=int, help="seed of everything drawn")
    sub.add_argument("--device", help="cpu or cuda; the best there is by default")
