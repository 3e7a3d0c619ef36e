"""The data of a fan chart: bars, labels, quantiles, scale and the visible window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.forecast import Forecast
from pages.ui.frame.text import number_text

View = Literal["price", "percent", "log"]
Window = Literal["auto", "1M", "3M", "6M", "all"]
Shape = Literal["candles", "bars", "line"]
Layer = Literal["bands", "paths", "events"]
MAX_HISTORY = 500
"""Bars drawn before the origin at first, including those to the left of the visible window."""
MAX_WINDOW = 3_000
"""Most bars in a chosen window: more make a browser slow."""
LEVELS = (0.10, 0.25, 0.50, 0.75, 0.90)
DATED_INTERVALS = ("1d", "1w")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The data that all layers draw.

    Attributes:
        history: The drawn bars up to the origin.
        forecast: The fan, or None for candles alone.
        actual: (H, 6) actual bars of the horizon, NaN where missing; None if all are.
        labels: Unique axis labels of history and horizon.
        view: price, percent (from the last close) or log.
        decimals: Digits after the point of a price.
        n_window: Bars before the origin in the visible window.
        moments: Open times of history and horizon, UTC, one per label.
        interval: Width of a bar.
        calendar: Calendar of the bars.
        zone: Time zone of the exchange.
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
        """Labels of the origin, where the fan starts, and of the horizon."""
        return self.labels[self.n_history - 1 :]

    @property
    def first_visible(self) -> int:
        """Position of the first visible bar."""
        return max(0, self.n_history - 1 - self.n_window)

    @property
    def has_volume(self) -> bool:
        return bool((self.history["volume"] > 0).any())

    def scaled(self, prices: np.ndarray | pd.Series | float) -> np.ndarray:
        """Prices in the units of the axis; NaN where a log axis has no place for them."""
        values = np.asarray(prices, dtype=float)
        if self.view == "percent":
            return (values / self.last_close - 1.0) * 100.0
        if self.view == "log":
            return np.where(values > 0, values, np.nan)
        return values

    def on_axis(self, price: float) -> float:
        """Position of a price on the axis; annotations on a log axis need its log10."""
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
        """Limits of the price axis: visible bars, p3 to p97 and actual bars, with padding."""
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

    def extents(self, lines: Sequence[np.ndarray] = ()) -> tuple[np.ndarray, np.ndarray]:
        """(L,) lowest and highest price at each label, on the axis; NaN where there is none.

        What `price_range` measures: the bars, p3 to p97 of the fan, and the actual bars; and lines
        over the fan, each (n, H) prices.
        """
        lows = self.history["low"].to_numpy(dtype=float)
        highs = self.history["high"].to_numpy(dtype=float)
        floor = lows[lows > 0].min() / 4 if self.view == "log" and (lows > 0).any() else -np.inf
        if self.forecast is not None:
            low, high = np.quantile(self.closes()[:, 1:], (0.03, 0.97), axis=0)
            if self.actual is not None:
                low = np.fmin(low, self.actual["low"].to_numpy(dtype=float))
                high = np.fmax(high, self.actual["high"].to_numpy(dtype=float))
            for rows in lines:
                low, high = np.fmin(low, rows.min(axis=0)), np.fmax(high, rows.max(axis=0))
            lows, highs = np.append(lows, low), np.append(highs, high)
        bounds = self.scaled(np.maximum(lows, floor)), self.scaled(highs)
        return (np.log10(bounds[0]), np.log10(bounds[1])) if self.view == "log" else bounds

    def volume_extent(self) -> np.ndarray:
        """(L,) what the volume axis holds at each label.

        Volumes of a fan have a long tail: they count up to twice the largest known one.
        """
        volumes = self.history["volume"].to_numpy(dtype=float)
        if self.forecast is None:
            return volumes
        ahead = np.minimum(self.forecast.quantile((0.90,), "volume")[0], 2.0 * np.nanmax(volumes))
        if self.actual is not None:
            ahead = np.fmax(ahead, self.actual["volume"].to_numpy(dtype=float))
        return np.append(volumes, ahead)

    def price_text(self, price: float) -> str:
        return f"{price:,.{self.decimals}f}"

    def percent_text(self, price: float, decimals: int = 2) -> str:
        return number_text(f"{{:+.{decimals}%}}", price / self.last_close - 1.0)


def build_scene(
    candles: Candles,
    forecast: Forecast | None,
    *,
    view: View,
    compact: bool = False,
    window: Window = "auto",
    n_history: int = MAX_HISTORY,
) -> Scene:
    """Split the bars at the origin into history and actual bars of the horizon.

    Args:
        candles: The bars.
        forecast: The fan, or None for candles alone.
        view: price, percent (from the last close) or log.
        compact: For a narrow screen, with fewer bars.
        window: Visible history; auto depends on the horizon.
        n_history: Bars to draw before the origin, at most `MAX_WINDOW`; a longer window has more.
    """
    frame = candles.frame
    n_bars = n_known(candles, forecast)
    actual, n_window = None, 60 if compact else 120
    if forecast is not None:
        n_window = max(forecast.horizon, 30) if compact else max(2 * forecast.horizon, 55)
    if window != "auto":
        n_window = min(bars_in_window(candles, n_bars, window), MAX_WINDOW)
    history = frame.iloc[max(0, n_bars - max(n_window + 1, min(n_history, MAX_WINDOW))) : n_bars]
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
    """Number of bars that a window goes back from the last of the first `n_bars`."""
    if window == "all":
        return n_bars - 1
    clock = candles.local_index[:n_bars]
    start = clock[-1] - pd.DateOffset(months=int(window[:-1]))
    return n_bars - 1 - int(clock.searchsorted(start))


def actual_bars(candles: Candles, forecast: Forecast) -> pd.DataFrame | None:
    """(H, 6) actual bars of the horizon, NaN where missing; None if all are."""
    found = candles.bars_at(forecast.timestamps)
    return None if found["close"].isna().all() else found


def forecast_moments(forecast: Forecast, zone: str) -> pd.DatetimeIndex:
    """(H,) open times of the horizon in UTC; naive ones are in the time zone of the exchange.

    Naive times within an hour that a clock change repeats are NaT.
    """
    stamps = forecast.timestamps
    if stamps.tz is None:
        stamps = stamps.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    return stamps.tz_convert("UTC")


def wall_clock(stamps: pd.DatetimeIndex, candles: Candles) -> pd.DatetimeIndex:
    """Timestamps in the time zone of the exchange, naive."""
    if stamps.tz is None:
        return stamps
    return stamps.tz_convert(candles.zone).tz_localize(None)


def unique_labels(stamps: pd.DatetimeIndex, *, dated: bool) -> list[str]:
    """Short labels, one per bar; a repeated one gets a number.

    A category axis draws equal labels in one place. Clock changes repeat an hour.
    """
    return list(_labels(stamps.as_unit("ns").asi8.tobytes(), dated))


@lru_cache(maxsize=64)
def _labels(nanoseconds: bytes, dated: bool) -> tuple[str, ...]:
    """Cached, as all parts of a page need the same labels: 500 take 8 ms."""
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
    """Decimals of a price: as many as the data has, within limits that depend on its size."""
    closes = np.abs(closes[-200:])
    size = float(np.median(closes)) or 1.0
    most = 2 if size >= 10 else int(5 - np.floor(np.log10(size)))
    rounding = 1e-9 * min(size, 1.0)
    for decimals in range(2, most):
        if np.mean(np.abs(closes - np.round(closes, decimals)) <= rounding) > 0.9:
            return decimals
    return most
