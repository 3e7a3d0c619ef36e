"""Is the ensemble better than its members? Learns on earlier forecasts, scores later ones.

    python -m benchmarks.ensemble --store STORE.sqlite3 --out table.md

CRPS is the pinball loss of the same 15 quantiles for all, over sigma * sqrt(step), on
forecasts that were made after the cut-off and an embargo as long as the longest horizon. Equal
weights need no learning and are scored on all forecasts as well. Intervals: bootstrap of days of
origin, the same draws for all; those of differences are of pairs.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.bootstrap import bootstrap
from kronos.ensemble.learning import SHARE_TO_LEARN, combined, later_rows, train
from kronos.ensemble.record import MemberTable, read_members, trailing_losses
from kronos.ensemble.weights import (
    MEMBERS,
    EnsembleWeights,
    equal,
    equal_weights,
    features,
    predict,
)
from kronos.evaluation.scores import crps_of_errors
from kronos.store.store import Store

EQUAL, LEARNED = "equal weights", "learned weights"


def main(argv: list[str] | None = None) -> int:
    """Print the tables, and write them to --out."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.ensemble",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--store", required=True, metavar="URL", help="scored forecasts")
    made.add_argument("--members", nargs="+", default=list(MEMBERS), metavar="NAME")
    made.add_argument("--cut-off", metavar="DATE", help="default: two thirds of the forecasts")
    made.add_argument("--out", type=Path, metavar="FILE", help="file for the tables")
    args = made.parse_args(argv)
    base = equal(tuple(args.members))
    with Store(args.store) as store:
        table = read_members(store, list(zip(base.members, base.revisions, strict=True)))
    if not len(table):
        print("The store has no forecasts of all members.", file=sys.stderr)
        return 2
    cut_off = (
        pd.Timestamp(args.cut_off, tz="UTC") if args.cut_off else table.made_by(SHARE_TO_LEARN)
    )
    found = train(base, table, cut_off=cut_off)
    text = report(table, found, cut_off)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0


def report(table: MemberTable, found: EnsembleWeights, cut_off: pd.Timestamp) -> str:
    """Two tables: forecasts after the cut-off, and all forecasts with equal weights."""
    scores = crps_of_all(table, found)
    later = later_rows(table, cut_off)
    parts = [f"Learned from forecasts resolved by {cut_off:%Y-%m-%d %H:%M} UTC. {found.reason}"]
    blocks = table.facts["origin"].dt.strftime("%Y-%m-%d")
    if later.any():
        parts.append(_table("After the cut-off and the embargo", scores[later], blocks[later]))
    parts.append(_table("All forecasts", scores.drop(columns=LEARNED, errors="ignore"), blocks))
    return "\n\n".join(parts)


def crps_of_all(table: MemberTable, found: EnsembleWeights) -> pd.DataFrame:
    """CRPS of every outcome: a column for each member, equal weights and learned ones."""
    errors = table.outcomes[:, None, None] - table.quantiles
    scores = pd.DataFrame(crps_of_errors(errors, table.levels), columns=list(table.members))
    weights = {EQUAL: equal_weights(len(table), len(table.members))}
    if found.learned is not None:
        inputs = features(table.facts, table.quantiles, table.levels, trailing_losses(table))
        classes = table.facts["asset_class"].to_numpy()
        # Scored whether or not they are deployed.
        weights[LEARNED] = predict(found.learned, classes, inputs)
    for name, each in weights.items():
        mixed = table.outcomes[:, None] - combined(each, table.quantiles)
        scores[name] = crps_of_errors(mixed, table.levels)
    return scores


def _table(title: str, scores: pd.DataFrame, blocks: pd.Series) -> str:
    members = [name for name in scores if name not in (EQUAL, LEARNED)]
    best = str(scores[members].mean().idxmin())
    sums = scores.assign(n=1.0, block=blocks)

    def mean(drawn: pd.DataFrame, *, name: str) -> pd.Series:
        return drawn[name] / drawn["n"]

    def against_best(drawn: pd.DataFrame, *, name: str) -> pd.Series:
        return (drawn[name] - drawn[best]) / drawn["n"]

    levels = bootstrap(sums, {name: partial(mean, name=name) for name in scores})
    gaps = bootstrap(sums, {name: partial(against_best, name=name) for name in scores})
    lines = [
        f"### {title}",
        "",
        f"{len(scores):,} outcomes from {blocks.nunique()} days of origin; best member: {best}.",
        "",
        "| forecaster | CRPS (95% interval) | minus the best member's (95% interval) |",
        "| --- | ---: | ---: |",
    ]
    for name in scores.mean().sort_values().index:
        gap = "" if name == best else gaps[name].text(4)
        lines.append(f"| {name} | {levels[name].text(4)} | {gap} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
