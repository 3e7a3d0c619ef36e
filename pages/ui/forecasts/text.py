"""The list of stored forecasts as a table, and one of them as a title. Pure: no page in here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pages.ui.chart.scene import price_decimals
from pages.ui.fan.readouts import Readout
from pages.ui.frame.excel import workbook
from pages.ui.frame.text import DISCLAIMER, bar_time, counted, number_text

if TYPE_CHECKING:
    from kronos.store.listing import Listed
    from kronos.store.prediction import Prediction

OPEN = "Open"


def forecasts_table(listed: Sequence[Listed]) -> pd.DataFrame:
    """One row per forecast, in the order of the list."""
    return pd.DataFrame(
        {
            "Instrument": [each.instrument for each in listed],
            OPEN: [OPEN for _ in listed],
            "Interval": [each.interval for each in listed],
            "Model": [each.model_name for each in listed],
            "Origin": [_origin(each) for each in listed],
            "Horizon": [each.horizon for each in listed],
            "Outcome": [outcome_text(each) for each in listed],
            "Inside 80%": [_inside(each) for each in listed],
            "CRPS / cone": [each.score for each in listed],
            "Stored": pd.to_datetime([each.created_at for each in listed], utc=True),
        }
    )


def forecasts_workbook(listed: Sequence[Listed], settings: Mapping[str, object]) -> bytes:
    """Forecasts and settings as an Excel workbook; shares as fractions, times in UTC.

    Args:
        listed: The rows.
        settings: The filters.
    """
    table = pd.DataFrame([asdict(each) for each in listed])
    for name in ("origin", "created_at"):
        table[name] = pd.to_datetime(table[name], utc=True)
    return workbook({"Forecasts": table}, {**settings, "note": DISCLAIMER})


def outcome_text(listed: Listed) -> str:
    """What is known of the bars of the horizon."""
    if listed.state == "waiting":
        return "Waiting"
    known = "complete" if listed.state == "complete" else f"{listed.n_known} of {listed.horizon}"
    if math.isnan(listed.move):
        return known.capitalize()
    return f"{number_text('{:+.2%}', listed.move)}, {known}"


def forecast_title(listed: Listed) -> str:
    """A forecast as an option of a list, and as a heading."""
    ahead = counted(listed.horizon, "bar")
    return (
        f"{listed.instrument} {listed.interval}, {listed.model_name}, {ahead} from "
        f"{_origin(listed)}"
    )


def outcome_numbers(prediction: Prediction, listed: Listed, closes: np.ndarray) -> list[Readout]:
    """What the forecast said, and what came of it.

    Args:
        prediction: The forecast.
        listed: Its row in the list, with what has been scored.
        closes: (H,) closes since, in the prices of the forecast; NaN where there is none. The
            chart draws bars before they are scored.
    """
    column = {round(float(level), 6): i for i, level in enumerate(prediction.levels)}
    lows, highs = (prediction.quantiles[:, column[level]] for level in (0.1, 0.9))
    low, high = float(lows[-1]), float(highs[-1])
    came = np.flatnonzero(np.isfinite(closes))
    # Those of the prices that came, where there are some: quantiles have more than a price.
    decimals = price_decimals(np.array([prediction.last_close, *closes[came]]))
    move = closes[came[-1]] / prediction.last_close - 1.0 if len(came) else np.nan
    # A bar without a close before one that has it is known not to exist.
    n_known = max(listed.n_known, int(came[-1]) + 1 if len(came) else 0)
    numbers = [
        Readout("P(up)", f"{prediction.probability_up[-1]:.0%}", f"at bar {prediction.horizon}"),
        Readout(
            "80% range",
            f"{low:,.{decimals}f} to {high:,.{decimals}f}",
            f"from {prediction.last_close:,.{decimals}f}",
        ),
        Readout(
            "Outcome",
            "Waiting" if math.isnan(move) else number_text("{:+.2%}", move),
            f"{n_known} of {counted(listed.horizon, 'bar')} known",
        ),
    ]
    if len(came):
        n_inside = int(((closes >= lows) & (closes <= highs)).sum())
        numbers.append(Readout("Inside 80%", f"{n_inside} of {len(came)}", "closes"))
        is_scored = not math.isnan(listed.score)
        is_whole = listed.n_closes >= len(came)
        remark = "below 1: better" if is_whole else f"{listed.n_closes} of {len(came)} scored"
        if is_scored or not is_whole:
            value = f"{listed.score:.2f}" if is_scored else "Waiting"
            numbers.append(Readout("CRPS / cone", value, remark))
    return numbers


def _inside(listed: Listed) -> str:
    return f"{listed.n_inside} of {listed.n_closes}" if listed.n_closes else ""


def _origin(listed: Listed) -> str:
    return bar_time(listed.origin.tz_convert(listed.zone), listed.interval)
