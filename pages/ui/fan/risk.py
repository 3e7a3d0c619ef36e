"""Risk of a position on the page: losses, stop and target, and the options market."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from kronos.calendars.exchanges import ALWAYS_OPEN
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.evaluation.scores import Z80
from kronos.forecast import Forecast
from kronos.risk import CONFIDENCE, FEWEST_WORST, Estimate, implied_scale, position_size, years_of
from pages.ui.chart.scene import price_decimals
from pages.ui.fan.readouts import Readout
from pages.ui.fan.results import show_number
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import show_error
from pages.ui.frame.text import counted

INPUT_PIXELS = 164


@dataclass(frozen=True, slots=True)
class Position:
    """What a visitor enters.

    Attributes:
        stop: Price at which the position is closed with a loss.
        target: Price at which it is closed with a gain; above the stop for a long position.
        budget: Share of the capital that may be lost at the stop.
        implied: Annual volatility of the options market; 0 for none.
    """

    stop: float
    target: float
    budget: float
    implied: float


def show_risk(candles: Candles, forecast: Forecast) -> None:
    """Value at risk and drawdown of both sides, then stop and target of a position."""
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
    position = _choose(forecast, price_decimals(candles.frame["close"].to_numpy()))
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
    years = horizon_years(candles, forecast.horizon)
    scale = float(implied_scale(volatility, [years])[0])
    # The price is a martingale: the mean of its logarithm lies half the variance below.
    middle = -(scale**2) / 2.0
    returns = forecast.log_returns()[:, -1]
    beyond = float(np.mean(np.abs(returns - middle) > Z80 * scale))
    error = 100.0 * np.sqrt(beyond * (1.0 - beyond) / forecast.n_paths)
    low, high = (np.exp(middle + sign * Z80 * scale) - 1.0 for sign in (-1, 1))
    own = float(returns.std() / np.sqrt(years))
    return [
        Readout("Fan, annualised", f"{own:.0%}", f"implied {volatility:.0%}"),
        Readout("Implied 80% range", f"{low:+.1%} to {high:+.1%}".replace("-", "−"), "log-normal"),
        Readout("P(beyond it)", f"{beyond:.0%} ± {error:.1f}", "implied 20%"),
    ]


def horizon_years(candles: Candles, horizon: int) -> float:
    """Length of a horizon in years of trading; see `kronos.risk.years_of`."""
    dates = candles.local_index.normalize()
    bars_a_day = float(dates.value_counts().median())
    return horizon * years_of(
        candles.width / pd.Timedelta(days=1),
        bars_a_day=bars_a_day,
        is_open_always=candles.calendar == ALWAYS_OPEN,
    )


def _choose(forecast: Forecast, decimals: int) -> Position:
    """The controls; stop and target belong to their bars and horizon."""
    low, high = (round(float(x), decimals) for x in forecast.quantile((0.1, 0.9))[:, -1])
    key = f"{forecast.context_hash} {forecast.horizon}"
    with st.container(horizontal=True, gap="small"):
        values = [
            st.number_input(
                title, min_value=0.0, value=value, step=10.0**-decimals,
                format=f"%.{decimals}f", key=f"{name} {key}", width=INPUT_PIXELS,
            )
            for title, name, value in (("Stop", "stop", low), ("Target", "target", high))
        ]  # fmt: skip
        budget = st.number_input(
            "Risk budget (%)", min_value=0.01, max_value=99.0, value=1.0, step=0.25,
            key="risk_budget", width=INPUT_PIXELS,
            help="Share of the capital that is lost where the stop is reached.",
        )  # fmt: skip
        implied = st.number_input(
            "Implied volatility (%)", min_value=0.0, max_value=1000.0, value=0.0, step=1.0,
            key="implied_volatility", width=INPUT_PIXELS,
            help="Annual volatility of the options market, to compare with the fan. 0 for none.",
        )  # fmt: skip
    return Position(values[0], values[1], budget / 100.0, implied / 100.0)


def _percent(estimate: Estimate) -> str:
    error = "?" if np.isnan(estimate.error) else f"{100.0 * estimate.error:.2f}"
    return f"{estimate.value:.2%} ± {error}"


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.0%} ± {100.0 * estimate.error:.1f}"


def _after(bars: Estimate) -> str:
    return "" if np.isnan(bars.value) else f"after {bars.value:.1f} bars on average"
