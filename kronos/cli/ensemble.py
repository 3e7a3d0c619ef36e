"""`kronos ensemble`: learn the weights of the models, and show them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.cli.options import add_store_option, moment_of
from kronos.cli.terminal import write_text
from kronos.errors import InvalidRequest

if TYPE_CHECKING:
    from kronos.ensemble.record import MemberTable
    from kronos.ensemble.weights import EnsembleWeights

__all__ = ["add_parser", "run"]

_EPILOG = """\
The ensemble averages the quantiles of its members, level by level. Its weights depend on facts
known at the origin: step, bar width, asset class, volatility, the members' spreads, medians and
recent losses, the day, and scheduled releases. They minimise the loss of the averaged fan on
forecasts resolved by the cut-off, shrunk towards equal weights where there are few. They are used
only if they are no worse than equal weights on later forecasts, after an embargo as long as the
longest horizon.

examples:
  kronos walk-forward bars/ --since 2025-10-01; kronos ensemble train
  kronos ensemble train --cut-off 2025-12-01 --members bundled ewma garch
  kronos ensemble show
  kronos ensemble weights                  means by asset class and bar width, over the store
  kronos forecast bars.csv --model ensemble"""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "ensemble",
        help="combine models, with weights learned from their record",
        description="Learns the weights of the ensemble's members, and shows them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, action="show", folder=None)
    actions = parser.add_subparsers(metavar="ACTION")
    train = actions.add_parser("train", help="learn weights from the store of forecasts")
    train.set_defaults(action="train")
    train.add_argument(
        "--members",
        nargs="+",
        metavar="NAME",
        help="the first gives its paths' order (default: bundled and all baselines)",
    )
    train.add_argument(
        "--cut-off",
        metavar="DATE",
        help="learn from forecasts resolved by then, UTC (default: two thirds of them)",
    )
    show = actions.add_parser("show", help="the weights in use and their losses (the default)")
    show.set_defaults(action="show")
    weights = actions.add_parser("weights", help="mean weights on the forecasts of the store")
    weights.set_defaults(action="weights")
    for action in (train, weights):
        add_store_option(action)
    for action in (train, show, weights):
        action.add_argument(
            "--folder", metavar="FOLDER", help="folder of the weights (default: this user's)"
        )


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos.ensemble.weights import load_weights, user_folder

    folder = Path(args.folder) if args.folder else user_folder()
    if args.action == "train":
        found = _train(args)
        found.save(folder)
        print(f"Saved in {folder}", file=sys.stderr)
    else:
        found = load_weights(folder)
    if args.action == "weights":
        write_text(None, _mean_weights(found, _members(args.store, found)))
    else:
        write_text(None, _summary(found))
    return 0


def _members(store: str | None, found: EnsembleWeights) -> MemberTable:
    from kronos.ensemble.record import read_members
    from kronos.store import open_store

    members = list(zip(found.members, found.revisions, strict=True))
    return read_members(open_store(store), members)


def _train(args: argparse.Namespace) -> EnsembleWeights:
    from kronos.ensemble.learning import train
    from kronos.ensemble.weights import MEMBERS, equal

    members = tuple(args.members) if args.members else MEMBERS
    if len(set(members)) != len(members) or len(members) < 2:
        raise InvalidRequest("--members must be two different models or more.")
    base = equal(members)
    return train(base, _members(args.store, base), cut_off=moment_of(args.cut_off, "--cut-off"))


def _summary(found: EnsembleWeights) -> str:
    lines = [f"Ensemble {found.revision}", f"  {found.reason}"]
    if found.learned is not None:
        lines.append(
            f"  Learned from forecasts resolved by {found.learned.cut_off:%Y-%m-%d %H:%M}:"
        )
        lines += [
            f"    {name}: {count:,} forecasts that do not overlap"
            for name, count in found.learned.n_apart.items()
        ]
    trial = found.trial
    if trial is not None and trial.n_outcomes:
        lines.append(f"  Pinball loss over sigma * sqrt(step) on {trial.n_outcomes:,} later ones:")
        rows = {"learned weights": trial.learned, "equal weights": trial.equal} | trial.members
        lines += [f"    {name:<16} {value:.4f}" for name, value in rows.items()]
    else:
        lines.append(f"  Members: {', '.join(found.members)}")
    return "\n".join(lines) + "\n"


def _mean_weights(found: EnsembleWeights, table: MemberTable) -> str:
    import pandas as pd

    from kronos.ensemble.record import trailing_losses
    from kronos.ensemble.weights import features

    if not len(table):
        return f"{found.reason}\nThe store has no forecasts of all members.\n"
    inputs = features(table.facts, table.quantiles, table.levels, trailing_losses(table))
    weights = found.of(table.facts["asset_class"].to_numpy(), inputs)
    rows = pd.DataFrame(weights, columns=list(found.members))
    keys = [table.facts["asset_class"], table.facts["interval"]]
    means = rows.groupby(keys).mean().assign(outcomes=rows.groupby(keys).size())
    return f"{found.reason}\n{means.round(3).reset_index().to_string(index=False)}\n"
