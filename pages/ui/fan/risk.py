"""Risk of a position on the page: losses, stop and target, and the options market."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast
from kronos.risk import CONFIDENCE, FEWEST_WORST, Estimate, position_size
from pages.ui.chart.scene import price_decimals
from pages.ui.fan.readouts import Readout
from pages.ui.fan.results import linked_number, note_in_address, show_number
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import show_error
from pages.ui.frame.text import counted, number_text
from pages.ui.jobs.settings import MAX_PATHS

INPUT_PIXELS = 164
_BUDGET, _LEAST_BUDGET, _MOST_BUDGET = 1.0, 0.01, 99.0  # percent


@dataclass(frozen=True, slots=True)
class Position:
    """What a visitor enters.

    Attributes:
        stop: Price at which the position is closed with a loss.
        target: Price at which it is closed with a gain; above the stop for a long position.
        budget: Share of the capital that may be lost at the stop.
        implied: Annual volatility of the options market; None for none.
    """

    stop: float
    target: float
    budget: float
    implied: float | None


def show_risk(candles: Candles, forecast: Forecast, implied: float | None = None) -> None:
    """Value at risk and drawdown of both sides, then stop and target of a position.

    Args:
        candles: The bars.
        forecast: The fan.
        implied: Annual volatility of the options market.
    """
    horizon = counted(forecast.horizon, "bar")
    # A table of the page, not a grid: a grid that is mounted in a closed tab has no width.
    st.table(losses_table(forecast).set_index("Measure").rename_axis(f"Over {horizon}"))
    highest = max(CONFIDENCE)
    n_worst = (1.0 - highest) * forecast.n_paths
    if n_worst < FEWEST_WORST:
        enough = round(FEWEST_WORST / (1.0 - highest), -1)
        st.caption(
            f":material/info: The {highest:.0%} figures rest on the worst {n_worst:.0f} of "
            f"{forecast.n_paths} paths. From {enough:,.0f} paths on their errors can be trusted."
        )
        # A command and Python draw more than a page.
        if forecast.n_paths < (n_more := int(min(enough, MAX_PATHS))):
            _offer_paths(n_more)
    decimals = price_decimals(candles.frame["close"].to_numpy())
    position = _choose(forecast, decimals, implied)
    with st.container(horizontal=True, gap="small", key="risk readouts"):
        try:
            for readout in position_readouts(candles, forecast, position):
                show_number(readout)
        except InvalidRequest as error:
            show_error(error)
    st.caption(
        "Shares of the last close, without costs. Drawdown: the largest fall from an earlier high.",
        help=f"{meaning('Value at risk')} Whether the high or the low of a bar comes first is not "
        "known: within one bar only the fall from its open counts, and a bar that reaches stop and "
        "target counts as the stop. A gap beyond the stop loses more than the budget.",
    )


def _offer_paths(n_more: int) -> None:
    def take() -> None:
        st.session_state["paths"] = n_more

    if st.button(
        f"Set {n_more:,} paths", key="more_paths", on_click=take, icon=":material/add:",
        help="Press Run afterwards.",
    ):  # fmt: skip
        st.rerun()  # the control of the paths stands outside these tabs


def losses_table(forecast: Forecast) -> pd.DataFrame:
    """Value at risk, shortfall and drawdown, long and short, each with its error."""
    rows: dict[str, list[Estimate]] = {}
    for row in forecast.risk_rows():
        rows.setdefault(row.measure, []).append(row.estimate)
    return pd.DataFrame(
        {
            "Measure": list(rows),
            **{
                name: [_percent(pair[side]) for pair in rows.values()]
                for side, name in enumerate(("Long", "Short"))
            },
        }
    )


def position_readouts(candles: Candles, forecast: Forecast, position: Position) -> list[Readout]:
    """Stop and target, the size of the position, and the fan beside the implied cone.

    Raises:
        InvalidRequest: The last close is not between stop and target, or a figure is out of range.
    """
    touch = forecast.first_touch(position.stop, position.target)
    between = forecast.probability_between(*sorted((position.stop, position.target)))
    size = position_size(forecast.last_close, position.stop, position.budget)
    side = "Long" if position.stop < position.target else "Short"
    found = [
        Readout("Stop first", _share(touch.stop), _after(touch.bars_to_stop)),
        Readout("Target first", _share(touch.target), _after(touch.bars_to_target)),
        Readout("Neither", _share(touch.neither), f"within {counted(forecast.horizon, 'bar')}"),
        Readout("Close between both", _share(between), "at the horizon"),
        Readout(f"{side} position", f"{size:.0%}", f"of capital, {position.budget:.1%} at risk"),
    ]
    if touch.both.value > 0:
        found.append(Readout("Both in one bar", _share(touch.both), "counted as stop"))
    return found + (_implied(candles, forecast, position.implied) if position.implied else [])


def _implied(candles: Candles, forecast: Forecast, volatility: float) -> list[Readout]:
    seen = forecast.implied_view(volatility, candles.bar_years)
    low, high = (edge / forecast.last_close - 1.0 for edge in (seen.low, seen.high))
    return [
        Readout("Fan, annualised", f"{seen.own:.0%}", f"implied {volatility:.0%}"),
        Readout("Implied 80% range", number_text("{:+.1%} to {:+.1%}", low, high), "log-normal"),
        Readout("P(beyond it)", _share(seen.beyond_implied), "of the fan; implied 20%"),
        Readout("P(beyond the fan's)", _share(seen.beyond_fan), "implied; of the fan 20%"),
    ]


def _choose(forecast: Forecast, decimals: int, implied: float | None) -> Position:
    """The controls, which the link carries; stop and target belong to their bars and horizon."""
    low, high = (round(float(x), decimals) for x in forecast.quantile((0.1, 0.9))[:, -1])
    key = f"{forecast.context_hash} {forecast.horizon}"
    values = []
    with st.container(horizontal=True, gap="small"):
        for title, name, start in (("Stop", "stop", low), ("Target", "target", high)):
            value = st.number_input(
                title, min_value=0.0, value=linked_number(name, key, start), step=10.0**-decimals,
                format=f"%.{decimals}f", key=f"{name} {key}", width=INPUT_PIXELS,
            )  # fmt: skip
            note_in_address(name, float(value), start)
            values.append(float(value))
        linked = linked_number("risk_budget", "", _BUDGET)
        budget = st.number_input(
            "Risk budget (%)", min_value=_LEAST_BUDGET, max_value=_MOST_BUDGET,
            value=min(max(linked, _LEAST_BUDGET), _MOST_BUDGET), step=0.25,
            key="chosen risk_budget", width=INPUT_PIXELS,
            help="Share of the capital that is lost where the stop is reached.",
        )  # fmt: skip
        note_in_address("risk_budget", float(budget), _BUDGET)
    return Position(values[0], values[1], budget / 100.0, implied)


def _percent(estimate: Estimate) -> str:
    error = "n/a" if np.isnan(estimate.error) else f"{100.0 * estimate.error:.2f}"
    return f"{estimate.value:.2%} ± {error}"


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.0%} ± {100.0 * estimate.error:.1f}"


def _after(bars: Estimate) -> str:
    return "" if np.isnan(bars.value) else f"after {bars.value:.1f} bars on average"
