"""Are calibrated fans better than raw ones? Replays a store of walk-forward forecasts.

    python -m benchmarks.calibration --store STORE.sqlite3 --out docs-table.md

Prequential: every fan is corrected by the outcomes resolved at its origin, scored, and only then
learned from. The outcomes of the burn-in, which have no calibrated fan, and those of bars before
the training cut-off are left out. Three fans are compared: raw, with offsets alone, and calibrated,
which is with drift and offsets. Coverage is that of the 80% band. CRPS is the pinball loss of 15
quantiles over sigma * sqrt(step), and is given over that of the EWMA cone on the same outcomes: the
normal of that scale, without the sampling error that a fan of paths has. The size of the drift is
its root mean square over sigma * sqrt(step). Intervals: bootstrap of calendar weeks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from benchmarks.bootstrap import Figure, bootstrap
from kronos.calendars.intervals import INTERVALS
from kronos.calibration.drift import RIDGE
from kronos.calibration.record import outcomes_of, usable_record
from kronos.calibration.state import ETA
from kronos.calibration.tracker import LOCATION, replay, shifts_at_issue
from kronos.evaluation.scores import BAND, LEVELS, crps_of_errors
from kronos.models import cut_off
from kronos.store.record import read_quantiles
from kronos.store.store import Store

FANS = ("raw", "offsets", "calibrated")


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
        "--ridge",
        type=float,
        default=RIDGE,
        help=f"ridge of the slopes of drifts: {RIDGE:g}; inf keeps none",
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
    scored = score(record, quantiles, eta=args.eta, location=args.location, ridge=args.ridge)
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
    record: pd.DataFrame,
    quantiles: np.ndarray,
    *,
    eta: float = ETA,
    location: float = LOCATION,
    ridge: float = RIDGE,
) -> pd.DataFrame:
    """Every outcome with the scores of its fans; `known` where there was a calibrated one.

    Args:
        record: Rows of `kronos.calibration.record.usable_record`.
        quantiles: (n, L) their raw quantiles, in log-returns.
        eta: Step of a correction.
        location: Pace of moving a fan against that of widening it.
        ridge: That of the slopes of drifts.
    """
    levels = np.array(LEVELS)
    outcomes = outcomes_of(record, quantiles)
    without_drift = replace(outcomes, means=np.zeros(len(outcomes)))
    errors = {"raw": outcomes.scores}
    for name, part in (("offsets", without_drift), ("calibrated", outcomes)):
        shifts = shifts_at_issue(replay(part, eta=eta, location=location, ridge=ridge), part)
        # Quantiles that cross are sorted; errors of ascending quantiles descend.
        errors[name] = -np.sort(shifts - part.scores, axis=1)
    actual = record["actual_return"].to_numpy() / record["scale"].to_numpy()
    errors["cone"] = actual[:, None] - ndtri(levels)
    low, high = (int(np.argmin(np.abs(levels - level))) for level in BAND)
    scored = record[["model", "asset_class", "interval", "instrument"]].copy()
    scored["known"] = np.isfinite(errors["calibrated"][:, 0])
    scored["block"] = record["origin"].dt.strftime("%G-%V")
    for name, found in errors.items():
        scored[f"{name}_inside"] = ((found[:, low] >= 0) & (found[:, high] <= 0)).astype(float)
        scored[f"{name}_crps"] = crps_of_errors(found, levels)
        scored[f"{name}_width"] = found[:, low] - found[:, high]
    scored["products"], scored["squares"] = outcomes.means * actual, outcomes.means**2
    return scored


def report(scored: pd.DataFrame) -> str:
    """A table for every model: all together, by interval and by asset class."""
    parts = []
    for model, rows in scored.groupby("model", sort=False):
        known = rows[rows["known"]]
        left_out = len(rows) - len(known)
        slope = bootstrap(
            rows[["block", "products", "squares"]],
            {"slope": lambda sums: sums["products"] / sums["squares"]},
        )["slope"]
        head = (
            f"### {model}\n\n{len(known):,} outcomes of {known['instrument'].nunique()} instruments"
            f" in {known['block'].nunique()} weeks; {left_out:,} of the burn-in left out. Width "
            f"raw {known['raw_width'].mean():.2f}, calibrated "
            f"{known['calibrated_width'].mean():.2f}. Size of the drift "
            f"{np.sqrt(rows['squares'].mean()):.3f}, slope of all outcomes on it {slope.text(2)}."
        )
        if known.empty:
            parts.append(head)
            continue
        lines = [
            "| outcomes of | n | coverage raw | offsets | calibrated | CRPS raw | offsets "
            "| calibrated | calibrated minus raw (95% interval) | minus offsets (95% interval) |",
            "| --- |" + " ---: |" * 9,
            _line("all", known),
        ]
        order = list(INTERVALS)
        for column, key in (("interval", order.index), ("asset_class", str)):
            groups = dict(list(known.groupby(column)))
            lines += [_line(name, groups[name]) for name in sorted(groups, key=key)]
        parts.append(head + "\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _line(name: str, rows: pd.DataFrame) -> str:
    ratios = [f"{kind}_crps" for kind in FANS]
    figures = _figures(rows)
    cells = [
        name,
        f"{len(rows):,}",
        *(f"{rows[f'{kind}_inside'].mean():.3f}" for kind in FANS),
        *(f"{figures[ratio].value:.4f}" for ratio in ratios),
        figures["calibrated_crps minus raw_crps"].text(4),
        figures["calibrated_crps minus offsets_crps"].text(4),
    ]
    return f"| {' | '.join(cells)} |"


def _figures(rows: pd.DataFrame) -> dict[str, Figure]:
    """CRPS of every fan over that of the cone, and how far it is lower when calibrated."""
    columns = [f"{kind}_crps" for kind in (*FANS, "cone")]

    def ratio(fan: str, other: str | None = None) -> Callable[[pd.DataFrame], pd.Series]:
        return lambda sums: (sums[fan] - (sums[other] if other else 0.0)) / sums["cone_crps"]

    figures = {fan: ratio(fan) for fan in columns}
    for other in ("raw_crps", "offsets_crps"):
        figures[f"calibrated_crps minus {other}"] = ratio("calibrated_crps", other)
    return bootstrap(rows[["block", *columns]], figures)


if __name__ == "__main__":
    sys.exit(main())
