"""`kronos calibrate`: learn offsets of each model's quantiles, and its drift, from its scores."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.cli.options import add_store_option
from kronos.cli.terminal import write_text

if TYPE_CHECKING:
    from kronos.calibration import CalibrationState
    from kronos.calibration.tracker import Outcomes

__all__ = ["add_parser", "run"]

_EPILOG = """\
Replays the scored forecasts of the store in the order in which outcomes resolved, and learns the
offset of each quantile, for every model, asset class, bar width and distance with at least 200
forecasts from 20 days. Pages and `kronos forecast --calibrated` then show calibrated fans. The
bundled model starts from the calibration that ships with it.

The drift of a fan is its mean log-return from the origin. A calibrated fan keeps the share of it
that outcomes support: their slope on the drift, between 0 and 1, and shrunk to 0 where outcomes are
few. Without outcomes it keeps none. A raw fan keeps all.

Only forecasts with T = 1 and no filters count, of bars after the model's training cut-off. In the
long run the share of outcomes below each quantile is its level, over all forecasts of a kind. There
is no guarantee for a single forecast, for days with events, or for whole paths.

columns of the table:
  outcomes   number of outcomes
  last       day on which the last of them resolved
  drift      share of the model's drift that a calibrated fan keeps
  p10 ...    offset of the quantile, over sigma * sqrt(step); sigma is the volatility of a bar at
             the origin

examples:
  kronos forecast bars.csv --save; ...; kronos score bars.csv; kronos calibrate
  kronos calibrate --show
  kronos calibrate --fresh -o calibration.json"""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "calibrate",
        help="learn from scored forecasts to correct new ones",
        description="Calibrates fans by the record of their models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--show", action="store_true", help="learn nothing, print the calibration")
    parser.add_argument(
        "--fresh", action="store_true", help="start without the calibration that ships"
    )
    parser.add_argument(
        "--about",
        metavar="TEXT",
        default="",
        help="description of the outcomes, saved with the calibration",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="file of the calibration (default: this user's)"
    )
    add_store_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos.calibration import CalibrationState, load_state
    from kronos.calibration.state import bundled_file, user_file

    file = Path(args.output) if args.output else user_file()
    if args.show:
        state = CalibrationState.load(file) if args.output else load_state()
    else:
        state, outcomes = _learn(args, bundled_file())
        if len(outcomes):
            state.save(file)
            print(f"{len(outcomes):,} outcomes; saved in {file}", file=sys.stderr)
        else:
            print(
                "The store has no outcomes to learn from: forecast with --save, then kronos score.",
                file=sys.stderr,
            )
    write_text(None, _table(state))
    return 0


def _learn(args: argparse.Namespace, bundled: Path) -> tuple[CalibrationState, Outcomes]:
    from kronos.calibration import CalibrationState
    from kronos.calibration.record import read_outcomes
    from kronos.calibration.tracker import learned_state, replay
    from kronos.models import cut_off
    from kronos.store import open_store

    before = None
    if bundled.is_file() and not args.fresh:
        before = CalibrationState.load(bundled)
    outcomes = read_outcomes(open_store(args.store), cut_off)
    trackers = replay(outcomes, start=None if before is None else before.streams)
    about = args.about or f"{len(outcomes):,} outcomes of this user's store"
    if before is not None:
        about += f"; before these, {before.learned_from}"
    return learned_state(trackers, outcomes.levels, learned_from=about), outcomes


def _table(state: CalibrationState) -> str:
    import numpy as np
    import pandas as pd

    from kronos.calibration.state import bucket_title

    if not state.streams:
        return "There is no calibration yet.\n"
    shown = [int(np.argmin(np.abs(state.levels - level))) for level in (0.1, 0.5, 0.9)]
    rows = [
        {
            "model": f"{stream.model} {stream.revision[:8]}",
            "class": stream.asset_class,
            "interval": stream.interval,
            "steps": bucket_title(stream.bucket),
            "outcomes": f"{entry.n_outcomes:,}",
            "last": f"{entry.latest:%Y-%m-%d}",
            "drift": f"{100 * entry.drift_share:.0f}%",
            **{f"p{100 * state.levels[i]:g}": f"{entry.offsets[i]:+.3f}" for i in shown},
        }
        for stream, entry in state.streams.items()
    ]
    about = f"Learned from: {state.learned_from}\n" if state.learned_from else ""
    return f"{about}{pd.DataFrame(rows).to_string(index=False)}\n"
