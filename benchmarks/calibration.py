"""Are calibrated fans better than raw ones? Replays a store of walk-forward forecasts.

    python -m benchmarks.calibration --store STORE.sqlite3 --out docs-table.md

Prequential: every fan is corrected by the outcomes resolved at its origin, scored, and only then
learned from. The outcomes of the burn-in, which have no calibrated fan, and those of bars before
the training cut-off are left out. Coverage is that of the 80% band, CRPS the
pinball loss of 15 quantiles over sigma * sqrt(step). Intervals: bootstrap of calendar weeks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bootstrap import Figure, bootstrap
from kronos.calendars.intervals import INTERVALS
from kronos.calibration.record import outcomes_of, usable_record
from kronos.calibration.state import ETA
from kronos.calibration.tracker import LOCATION, offsets_at_issue, replay
from kronos.evaluation.scores import BAND, LEVELS, crps_of_errors
from kronos.models import cut_off
from kronos.store.record import read_quantiles
from kronos.store.store import Store


def main(argv: list[str] | None = None) -> int:
    """Print the tables, and write them to --out."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--store", required=True, metavar="URL", help="scored forecasts")
    made.add_argument("--eta", type=float, default=ETA, help=f"step of a correction: {ETA}")
    made.add_argument(
        "--location",
        type=float,
        default=LOCATION,
        help=f"pace of moving a fan against that of widening it: {LOCATION}",
    )
    made.add_argument(
        "--narrow",
        type=float,
        default=1.0,
        help="first narrow all fans to this share",
    )
    made.add_argument("--model", help="only this model")
    made.add_argument("--out", type=Path, metavar="FILE", help="file for the tables")
    args = made.parse_args(argv)
    with Store(args.store) as store:
        record = usable_record(store, cut_off)
        if args.model:
            record = record[record["model"] == args.model].reset_index(drop=True)
        quantiles = narrowed(read_quantiles(store, record), args.narrow)
    if record.empty:
        print("The store has no outcomes that could be used.", file=sys.stderr)
        return 2
    scored = score(record, quantiles, eta=args.eta, location=args.location)
    text = report(scored)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0


def narrowed(quantiles: np.ndarray, share: float) -> np.ndarray:
    """Quantiles (n, L) drawn towards their median, to a share of their width."""
    median = quantiles[:, quantiles.shape[1] // 2, None]
    return np.asarray(median + share * (quantiles - median))


def score(
    record: pd.DataFrame, quantiles: np.ndarray, *, eta: float = ETA, location: float = LOCATION
) -> pd.DataFrame:
    """Every outcome with its raw and calibrated scores; `known` where there was a calibrated fan.

    Args:
        record: Rows of `kronos.calibration.record.usable_record`.
        quantiles: (n, L) their raw quantiles, in log-returns.
        eta: Step of a correction.
        location: Pace of moving a fan against that of widening it.
    """
    levels = np.array(LEVELS)
    outcomes = outcomes_of(record, quantiles)
    offsets = offsets_at_issue(replay(outcomes, eta=eta, location=location), outcomes)
    # Quantiles that cross are sorted; errors of ascending quantiles descend.
    corrected = -np.sort(offsets - outcomes.scores, axis=1)
    low, high = (int(np.argmin(np.abs(levels - level))) for level in BAND)
    scored = record[["model", "asset_class", "interval", "instrument"]].copy()
    scored["known"] = np.isfinite(offsets[:, 0])
    scored["block"] = record["origin"].dt.strftime("%G-%V")
    for name, errors in (("raw", outcomes.scores), ("calibrated", corrected)):
        scored[f"{name}_inside"] = ((errors[:, low] >= 0) & (errors[:, high] <= 0)).astype(float)
        scored[f"{name}_crps"] = crps_of_errors(errors, levels)
        scored[f"{name}_width"] = errors[:, low] - errors[:, high]
    return scored


def report(scored: pd.DataFrame) -> str:
    """A table for every model: all together, by interval and by asset class."""
    parts = []
    for model, rows in scored.groupby("model", sort=False):
        known = rows[rows["known"]]
        left_out = len(rows) - len(known)
        head = (
            f"### {model}\n\n{len(known):,} outcomes of {known['instrument'].nunique()} instruments"
            f" in {known['block'].nunique()} weeks; {left_out:,} of the burn-in left out."
        )
        if known.empty:
            parts.append(head)
            continue
        lines = [
            "| outcomes of | n | coverage raw | calibrated | width raw | calibrated "
            "| CRPS raw | calibrated | difference (95% interval) |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            _line("all", known),
        ]
        order = list(INTERVALS)
        for column, key in (("interval", order.index), ("asset_class", str)):
            groups = dict(list(known.groupby(column)))
            lines += [_line(name, groups[name]) for name in sorted(groups, key=key)]
        parts.append(head + "\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _line(name: str, rows: pd.DataFrame) -> str:
    difference = _difference(rows)
    cells = [
        name,
        f"{len(rows):,}",
        *(f"{rows[f'{kind}_inside'].mean():.3f}" for kind in ("raw", "calibrated")),
        *(f"{rows[f'{kind}_width'].mean():.2f}" for kind in ("raw", "calibrated")),
        *(f"{rows[f'{kind}_crps'].mean():.4f}" for kind in ("raw", "calibrated")),
        difference.text(4),
    ]
    return f"| {' | '.join(cells)} |"


def _difference(rows: pd.DataFrame) -> Figure:
    """Mean CRPS of the calibrated fan minus that of the raw one."""
    table = rows[["block", "raw_crps", "calibrated_crps"]].assign(n=1.0)
    figure: Callable[[pd.DataFrame], pd.Series] = lambda sums: (  # noqa: E731
        (sums["calibrated_crps"] - sums["raw_crps"]) / sums["n"]
    )
    return bootstrap(table, {"difference": figure})["difference"]


if __name__ == "__main__":
    sys.exit(main())
