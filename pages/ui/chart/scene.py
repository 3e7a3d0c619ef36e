"""What a fan chart shows, in numbers: bars, labels, quantiles, scale and the visible window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.forecast import Forecast

View = Literal["price", "percent", "log"]
Window = Literal["auto", "1M", "3M", "6M", "all"]
Layer = Literal["bands", "paths", "events"]
MAX_HISTORY = 500
"""Bars drawn before the origin, those to the left of the opening window among them."""
MAX_WINDOW = 3_000
"""Bars that a window of the reader's choice shows at most: beyond, a browser becomes slow."""
LEVELS = (0.10, 0.25, 0.50, 0.75, 0.90)
DATED_INTERVALS = ("1d", "1w")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Everything the layers draw from.

    Attributes:
        history: Last bars up to the origin, as many as are drawn.
        forecast: The fan, or None to show candles alone.
        actual: (H, 6) real bars at the forecast's times, NaN where missing; None if all are.
        labels: Unique axis labels of history and horizon.
        view: price, percent (from the last close) or log.
        decimals: Digits after the point of a price.
        n_window: Bars before the origin that the opening window shows.
        moments: Open times of history and horizon, UTC, one a label.
        interval: Width of a bar.
        calendar: Calendar of the bars.
        zone: IANA name of the exchange's clock.
    """

    history: pd.DataFrame
    forecast: Forecast | None
    actual: pd.DataFrame | None
    labels: list[str]
    view: View
    decimals: int
    n_window: int
    moments: pd.DatetimeIndex
    interval: str
    calendar: str
    zone: str

    @property
    def n_history(self) -> int:
        return len(self.history)

    @property
    def horizon(self) -> int:
        return 0 if self.forecast is None else self.forecast.horizon

    @property
    def last_close(self) -> float:
        return float(self.history["close"].iloc[-1])

    @property
    def history_labels(self) -> list[str]:
        return self.labels[: self.n_history]

    @property
    def fan_labels(self) -> list[str]:
        """The origin's label and those of the horizon: everything in the fan starts there."""
        return self.labels[self.n_history - 1 :]

    @property
    def first_visible(self) -> int:
        """Position of the first bar of the opening window."""
        return max(0, self.n_history - 1 - self.n_window)

    @property
    def has_volume(self) -> bool:
        return bool((self.history["volume"] > 0).any())

    def scaled(self, prices: np.ndarray | pd.Series | float) -> np.ndarray:
        """Prices as the price axis shows them; what a log axis cannot show becomes NaN."""
        values = np.asarray(prices, dtype=float)
        if self.view == "percent":
            return (values / self.last_close - 1.0) * 100.0
        if self.view == "log":
            return np.where(values > 0, values, np.nan)
        return values

    def on_axis(self, price: float) -> float:
        """Position of a price in axis units, which a log axis wants as log10 for annotations."""
        value = float(self.scaled(price))
        return float(np.log10(value)) if self.view == "log" else value

    def closes(self) -> np.ndarray:
        """(N, H + 1) closes of every path, the last known close first."""
        assert self.forecast is not None
        closes = self.forecast.column("close")
        return np.column_stack([np.full(len(closes), self.last_close), closes])

    def quantiles(self) -> dict[float, np.ndarray]:
        """Level -> (H + 1,) prices, in a fan that starts at the last close."""
        rows = np.quantile(self.closes(), LEVELS, axis=0)
        return dict(zip(LEVELS, rows, strict=True))

    def price_range(self) -> tuple[float, float]:
        """Limits of the price axis around visible bars, p3 to p97 and actual bars.

        A twentieth of the span is left free below and a ninth above.
        """
        visible = self.history.iloc[self.first_visible :]
        lows, highs = [visible["low"].min()], [visible["high"].max()]
        if self.forecast is not None:
            low, high = np.quantile(self.closes(), (0.03, 0.97), axis=0)
            lows.append(low.min())
            highs.append(high.max())
        if self.actual is not None:
            lows.append(self.actual["low"].min())
            highs.append(self.actual["high"].max())
        floor = (
            float(visible["low"][visible["low"] > 0].min()) / 4 if self.view == "log" else -np.inf
        )
        bottom = self.on_axis(max(float(np.nanmin(lows)), floor))
        top = self.on_axis(float(np.nanmax(highs)))
        span = (top - bottom) or abs(top) * 0.01 or 1.0
        return bottom - 0.05 * span, top + 0.11 * span

    def price_text(self, price: float) -> str:
        return f"{price:,.{self.decimals}f}"

    def percent_text(self, price: float, decimals: int = 2) -> str:
        return f"{(price / self.last_close - 1.0) * 100.0:+.{decimals}f}%".replace("-", "−")


def build_scene(
    candles: Candles,
    forecast: Forecast | None,
    *,
    view: View,
    compact: bool = False,
    window: Window = "auto",
) -> Scene:
    """Cut the bars at the forecast's origin and find the real bars the horizon already has.

    Args:
        candles: The bars.
        forecast: The fan, or None to show candles alone.
        view: price, percent (from the last close) or log.
        compact: For a narrow screen, which opens with fewer bars.
        window: How far back the chart opens; auto suits the horizon.
    """
    frame = candles.frame
    n_bars = n_known(candles, forecast)
    actual, n_window = None, 60 if compact else 120
    if forecast is not None:
        n_window = max(forecast.horizon, 30) if compact else max(2 * forecast.horizon, 55)
    if window != "auto":
        n_window = min(bars_in_window(candles, n_bars, window), MAX_WINDOW)
    history = frame.iloc[max(0, n_bars - max(n_window + 1, MAX_HISTORY)) : n_bars]
    moments = pd.DatetimeIndex(history.index)
    stamps = wall_clock(moments, candles)
    if forecast is not None:
        ahead = pd.Series(forecast_moments(forecast, candles.zone)).ffill()
        moments = pd.DatetimeIndex(moments.append(pd.DatetimeIndex(ahead)))
        stamps = pd.DatetimeIndex(stamps.append(wall_clock(forecast.timestamps, candles)))
        actual = actual_bars(candles, forecast)
    return Scene(
        history=history,
        forecast=forecast,
        actual=actual,
        labels=unique_labels(stamps, dated=candles.interval in DATED_INTERVALS),
        view=view,
        decimals=price_decimals(history["close"].to_numpy()),
        n_window=n_window,
        moments=moments,
        interval=candles.interval,
        calendar=candles.calendar,
        zone=candles.zone,
    )


def n_known(candles: Candles, forecast: Forecast | None) -> int:
    """Bars up to the forecast's origin; all where there is no forecast."""
    index = candles.frame.index
    return len(index) if forecast is None else int((index <= forecast.origin).sum())


def bars_in_window(candles: Candles, n_bars: int, window: Window) -> int:
    """Bars before the last of the first `n_bars` that a window reaches back."""
    if window == "all":
        return n_bars - 1
    clock = candles.local_index[:n_bars]
    start = clock[-1] - pd.DateOffset(months=int(window[:-1]))
    return n_bars - 1 - int(clock.searchsorted(start))


def actual_bars(candles: Candles, forecast: Forecast) -> pd.DataFrame | None:
    """(H, 6) real bars at the forecast's timestamps, NaN where there is none; None if all are."""
    found = candles.bars_at(forecast.timestamps)
    return None if found["close"].isna().all() else found


def forecast_moments(forecast: Forecast, zone: str) -> pd.DatetimeIndex:
    """(H,) open times of the horizon in UTC; naive ones are read on the exchange's clock.

    Naive ones within an hour that a clock change repeats are NaT.
    """
    stamps = forecast.timestamps
    if stamps.tz is None:
        stamps = stamps.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    return stamps.tz_convert("UTC")


def wall_clock(stamps: pd.DatetimeIndex, candles: Candles) -> pd.DatetimeIndex:
    """Timestamps on the exchange's own clock, without a zone."""
    if stamps.tz is None:
        return stamps
    return stamps.tz_convert(candles.zone).tz_localize(None)


def unique_labels(stamps: pd.DatetimeIndex, *, dated: bool) -> list[str]:
    """Short labels, one a bar. An hour that a clock change repeats gets a mark.

    A category axis keeps equal labels in one place, which would fold two bars into one.
    """
    return list(_labels(stamps.as_unit("ns").asi8.tobytes(), dated))


@lru_cache(maxsize=64)
def _labels(nanoseconds: bytes, dated: bool) -> tuple[str, ...]:
    """Kept, for all parts of a page and its reruns ask for the same: writing 500 takes 8 ms."""
    stamps = pd.DatetimeIndex(np.frombuffer(nanoseconds, "M8[ns]"))
    spans_years = len(stamps) > 1 and (stamps[-1] - stamps[0]).days > 300
    date = "%d %b %y" if dated or spans_years else "%d %b"
    pattern = date if dated else f"{date} %H:%M"
    seen: dict[str, int] = {}
    labels = []
    for label in stamps.strftime(pattern):
        seen[label] = seen.get(label, 0) + 1
        labels.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return tuple(labels)


def price_decimals(closes: np.ndarray) -> int:
    """Digits after the point: as many as the data has, within what its size makes sensible."""
    closes = np.abs(closes[-200:])
    size = float(np.median(closes)) or 1.0
    most = 2 if size >= 10 else int(5 - np.floor(np.log10(size)))
    for decimals in range(2, most):
        if np.mean(np.isclose(closes, np.round(closes, decimals), rtol=0, atol=1e-9)) > 0.9:
            return decimals
    return most
