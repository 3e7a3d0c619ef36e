"""Controls that the pages of forecasts share, and the chips that hold them.

A chip shows the value of its controls and opens them. Its label is needed before its controls are
there: it shows what the session, else the link, else the default says.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import streamlit as st

from data_sources.samples import SAMPLES
from kronos.calendars.intervals import is_intraday
from pages.ui.frame.glossary import meaning
from pages.ui.frame.links import linked_or_chosen
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import choose_own_events, own_events
from pages.ui.inputs.ticker import DEFAULT_INTERVAL, EARLIEST_ORIGIN, OTHERS, TICKER
from pages.ui.jobs.settings import (
    DEFAULT_HORIZON,
    DEFAULT_PATHS,
    MAX_HORIZON,
    MAX_PATHS,
    MIN_CONTEXT,
)

LARGEST_SEED = 2**31 - 1
MIN_PATHS = 10
T_LIMITS, TOP_P_LIMITS = (0.0, 2.0), (0.05, 1.0)
MINUTE = pd.Timedelta(minutes=1)
SAMPLED_WITH = "sampled_with"
"""Key of the session's T and top-p on the Forecast page, which a comparison begins with."""

_POPOVER_PIXELS = 300


@contextmanager
def chip(name: str, label: str) -> Iterator[None]:
    """Controls behind a button.

    Args:
        name: Names the chip on its page.
        label: What it shows: the value of its controls.
    """
    # The key keeps it open while its label changes.
    with st.popover(plain(label), key=f"chip_{name}"), st.container(width=_POPOVER_PIXELS):
        yield


def linked_number(name: str, default: float, least: float, most: float) -> float:
    """The number of a control that is not drawn yet; the default where it will refuse it."""
    try:
        number = float(linked_or_chosen(name, str(default)))
    except (ValueError, OverflowError):
        return default
    return number if least <= number <= most else default


def source_title() -> str:
    """Source and width of the bars, before their controls are drawn."""
    samples = {sample.title: sample for sample in SAMPLES.values()}
    chosen = linked_or_chosen("data", "")
    if chosen == TICKER:
        source = linked_or_chosen("source", "Yahoo Finance")
        source = linked_or_chosen("exchange", "Exchange") if source == OTHERS else source
        return f"{source}, {linked_or_chosen('interval', DEFAULT_INTERVAL)}"
    if chosen == candle_source.UPLOAD:
        return "Own file"
    return f"Sample, {samples.get(chosen, next(iter(SAMPLES.values()))).interval}"


def choose_source() -> ChosenCandles | None:
    """The chip of the bars; None while there are none, see `choose_candles`."""
    with chip("data", source_title()):
        return candle_source.choose_candles()


def choose_ahead(source: ChosenCandles) -> tuple[int, pd.Timestamp]:
    """The chip of horizon and origin."""
    day = _linked_day("origin", *_days_of_origin(source))
    label = counted(int(linked_number("horizon", DEFAULT_HORIZON, 1, MAX_HORIZON)), "bar")
    with chip("horizon", label + (f" from {day}" if day else "")):
        return choose_horizon(), choose_origin(source)


def choose_draws(default: int = DEFAULT_PATHS) -> tuple[int, int]:
    """The chip of paths and seed."""
    with chip("paths", counted(int(linked_number("paths", default, MIN_PATHS, MAX_PATHS)), "path")):
        return choose_paths(default), choose_seed()


def choose_events(source: ChosenCandles) -> None:
    """The chip of the visitor's own events."""
    n_own = len(own_events())
    with chip("events", f"Own events: {n_own:,}" if n_own else "Own events"):
        choose_own_events(source.candles, currency=source.currency)


def choose_horizon() -> int:
    """Bars to forecast."""
    horizon = st.number_input(
        "Horizon (bars)", 1, MAX_HORIZON, DEFAULT_HORIZON, key="horizon", bind="query-params",
        help=meaning("Horizon", f"At most {MAX_HORIZON}."),
    )  # fmt: skip
    return int(horizon)


def choose_paths(default: int = DEFAULT_PATHS) -> int:
    """Paths to simulate."""
    paths = st.number_input(
        "Paths", MIN_PATHS, MAX_PATHS, default, 10, key="paths", bind="query-params",
        help=meaning("Paths", f"At most {MAX_PATHS:,}."),
    )  # fmt: skip
    return int(paths)


def choose_seed() -> int:
    """Seed of the random numbers."""
    seed = st.number_input(
        "Seed", 0, LARGEST_SEED, 0, key="seed", bind="query-params",
        help=meaning("Seed"),
    )  # fmt: skip
    return int(seed)


def choose_origin(source: ChosenCandles) -> pd.Timestamp:
    """The last bar, or the last one up to a date (and time) in the time zone of the exchange."""
    candles = source.candles
    clock = candles.local_index
    first, last = _days_of_origin(source)
    _drop_unless_within("origin", first, last)
    day = st.date_input(
        "Forecast origin", None, first, last, key="origin", bind="query-params",
        format="YYYY-MM-DD",
        help=meaning(
            "Origin",
            "Empty: the latest bar. With a past date, the chart shows the actual bars over the "
            "fan.",
        ),
    )  # fmt: skip
    if day is None:
        return pd.Timestamp(candles.frame.index[-1])
    end = pd.Timestamp(day) + pd.Timedelta(days=1)
    if is_intraday(candles.interval):
        time = st.time_input(
            "Origin time", None, key="origin_time", bind="query-params",
            step=min(max(candles.width, MINUTE), 60 * MINUTE).to_pytimedelta(),
            help=f"In the time zone {candles.zone}. Empty: the last bar of the day.",
        )  # fmt: skip
        if time is not None:
            end = pd.Timestamp.combine(day, time) + pd.Timedelta(minutes=1)
    wall = clock.tz_localize(None)
    position = max(int(wall.searchsorted(end, side="left")) - 1, MIN_CONTEXT - 1)
    return pd.Timestamp(candles.frame.index[min(position, len(wall) - 1)])


def _days_of_origin(source: ChosenCandles) -> tuple[dt.date, dt.date]:
    """The first and the last day of the origin."""
    clock = source.candles.local_index
    if source.bars is not None:  # earlier bars are fetched on demand
        return EARLIEST_ORIGIN, pd.Timestamp.now(tz=source.candles.zone).date()
    return clock[min(MIN_CONTEXT, len(clock)) - 1].date(), clock[-1].date()


def _linked_day(name: str, first: dt.date, last: dt.date) -> str:
    """The day of a control that is not drawn yet; "" where it has none or will refuse it."""
    try:
        day = dt.date.fromisoformat(linked_or_chosen(name, ""))
    except ValueError:
        return ""
    return day.isoformat() if first <= day <= last else ""


def _drop_unless_within(key: str, first: dt.date, last: dt.date) -> None:
    """Clear a date of the session that is outside this series."""
    day = st.session_state.get(key)
    if isinstance(day, dt.date) and not first <= day <= last:
        st.session_state[key] = None


def choose_bars(horizon: int) -> list[int]:
    """The bars ahead that a table shows, ascending; an empty choice shows a hint."""
    bars = st.pills(
        "Bars ahead",
        bars_on_offer(horizon),
        selection_mode="multi",
        default=default_bars(horizon),
        key=f"bars_{horizon}",
        bind="query-params",
    )
    if not bars:
        st.caption("Choose at least one bar.")
    return sorted(bars)


def bars_on_offer(horizon: int) -> list[int]:
    """The first bar, and every eighth of the horizon."""
    return sorted({1, *(max(1, horizon * part // 8) for part in range(1, 9))})


def default_bars(horizon: int) -> list[int]:
    """A quarter of the horizon, half of it, and its end."""
    return sorted({max(1, horizon // 4), max(1, horizon // 2), horizon})
