"""The fan chart as a picture: in notebooks, from commands and programs, without a browser.

`draw` adds the chart to axes of Matplotlib, `picture` renders it to the bytes of a file. The
application draws its interactive chart by itself; the colours are the same.
"""

from __future__ import annotations

import html
import io
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
import pandas as pd

from kronos.errors import InvalidRequest, MissingExtra
from kronos.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes

__all__ = [
    "ACTUAL",
    "DOWN",
    "FAN",
    "MEDIAN",
    "NEUTRAL",
    "PICTURES",
    "UP",
    "PictureKind",
    "draw",
    "html_text",
    "picture",
    "require_matplotlib",
]

# They read on white and on near-black.
UP = "#12A08C"
DOWN = "#DE6A3A"
FAN = "#4A86F0"
MEDIAN = "#3F7DF2"
NEUTRAL = "#7C8AA0"
ACTUAL = "#C98A12"

PictureKind = Literal["png", "svg"]
PICTURES: tuple[PictureKind, ...] = get_args(PictureKind)

_GROUNDS = {False: ("#FFFFFF", "#1B2430"), True: ("#0E1420", "#DCE3EE")}  # dark -> ground, ink
_BANDS = ((0.10, 0.90, 0.17), (0.25, 0.75, 0.24))
_SEEN = (0.03, 0.97)  # quantiles that the price axis holds; single paths may leave it
_FEWEST_BARS = 55  # of history, where the horizon is short
_DPI = 100
_TICK_PIXELS = 130.0
_SIGNIFICANT = 5  # digits of a price


class Fan(Protocol):
    """What is drawn of a forecast; see `kronos.forecast.Forecast`."""

    @property
    def timestamps(self) -> pd.DatetimeIndex: ...
    @property
    def origin(self) -> pd.Timestamp: ...
    @property
    def last_close(self) -> float: ...
    @property
    def model_name(self) -> str: ...
    @property
    def calibration_hash(self) -> str | None: ...
    @property
    def horizon(self) -> int: ...
    @property
    def n_paths(self) -> int: ...
    def column(self, name: str) -> np.ndarray: ...
    def quantile(self, levels: Sequence[float]) -> np.ndarray: ...
    def to_frame(self, levels: Sequence[float]) -> pd.DataFrame: ...
    def probability_up(self) -> np.ndarray: ...


class Bars(Protocol):
    """What is drawn of an instrument; see `kronos.candles.Candles`."""

    @property
    def frame(self) -> pd.DataFrame: ...
    @property
    def interval(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def local_index(self) -> pd.DatetimeIndex: ...
    def position_of(self, origin: pd.Timestamp) -> int: ...
    def bars_at(self, stamps: pd.DatetimeIndex) -> pd.DataFrame: ...


def draw(
    forecast: Fan,
    candles: Bars | None = None,
    *,
    ax: Axes | None = None,
    n_bars: int | None = None,
    n_paths: int = 24,
) -> Axes:
    """Draw candles, bands, median and some paths.

    Args:
        forecast: The fan.
        candles: The instrument's bars. Those after the origin are drawn as what came; None draws
            the fan alone.
        ax: Where to draw; None opens a figure of pyplot.
        n_bars: Bars of history; None takes twice the horizon, and 55 at least.
        n_paths: Sample paths in the fan, from low to high; 0 for none.

    Returns:
        The axes. A bar has one place on the x axis, so that nights and weekends leave no gap.

    Raises:
        InvalidRequest: The candles end before the origin, or a number is negative.
        MissingExtra: Matplotlib is not installed.
    """
    if ax is None:
        require_matplotlib()
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(11.2, 5.6), layout="constrained")
    if n_paths < 0 or (n_bars is not None and n_bars < 1):
        raise InvalidRequest(
            f"n_paths must be at least 0 and n_bars at least 1, found {n_paths} and {n_bars}."
        )
    history = _history(forecast, candles, n_bars)
    n, steps = len(history), np.arange(forecast.horizon + 1)
    x = n - 1 + steps  # the origin's bar is the last of the history
    if candles is not None:
        _candles(ax, history)
    _fan(ax, forecast, x, n_paths)
    ax.axvline(n - 1, color=NEUTRAL, lw=1.2, ls=":", alpha=0.8)
    ax.plot(x, np.full(len(x), forecast.last_close), color=NEUTRAL, lw=1, ls="--", alpha=0.7)
    if candles is not None:
        _actuals(ax, forecast, candles, x)
    _edge(ax, forecast, x[-1])
    _axes(ax, forecast, history)
    ax.set_title(_title(forecast, candles), loc="left", fontsize=11)
    return ax


def picture(
    forecast: Fan,
    candles: Bars | None = None,
    *,
    kind: PictureKind = "png",
    width: int = 1120,
    height: int = 560,
    dark: bool = False,
) -> bytes:
    """The chart as the bytes of a file; needs neither a display nor a browser.

    Args:
        forecast: The fan.
        candles: The instrument's bars; see `draw`.
        kind: Format of the file.
        width: In pixels.
        height: In pixels.
        dark: Light on dark.

    Raises:
        InvalidRequest: The size is not from 200 to 8,000 pixels, or see `draw`.
        MissingExtra: Matplotlib is not installed.
    """
    for name, value in (("width", width), ("height", height)):
        if not 200 <= value <= 8000:
            raise InvalidRequest(f"{name} must be from 200 to 8,000 pixels, found {value}.")
    matplotlib = require_matplotlib()
    from matplotlib.figure import Figure

    ground, ink = _GROUNDS[dark]
    colours = dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), ink
    )
    settings = {**colours, "axes.facecolor": ground, "svg.hashsalt": "kronos", "font.size": 10}
    with matplotlib.rc_context(settings):
        figure = Figure(
            figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=ground, layout="constrained"
        )
        draw(forecast, candles, ax=figure.add_subplot())
        file = io.BytesIO()
        # Without a date the same forecast gives the same bytes.
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(file, format=kind, metadata=metadata)
    return file.getvalue()


def html_text(forecast: Fan) -> str:
    """The forecast for a notebook: the chart, where Matplotlib is installed, and its figures."""
    try:
        chart = picture(forecast, kind="svg", width=880, height=420).decode()
        chart = chart[chart.index("<svg") :]
    except MissingExtra as missing:
        chart = f"<p>{html.escape(str(missing))}</p>"
    table = forecast.to_frame((0.1, 0.5, 0.9))
    rows = table.iloc[sorted({0, len(table) // 2, len(table) - 1})]
    return (
        f"<div>{chart}<p>{html.escape(_title(forecast, None))}; {forecast.n_paths} paths, "
        f"P(up) {forecast.probability_up()[-1]:.0%} at the last bar</p>{rows.to_html()}</div>"
    )


def require_matplotlib() -> ModuleType:
    """Import the library that draws.

    Raises:
        MissingExtra: It is not installed.
    """
    return require("matplotlib", "plot", "A chart as a picture")


def _history(forecast: Fan, candles: Bars | None, n_bars: int | None) -> pd.DataFrame:
    """The bars up to the origin; one bar at the last close without candles."""
    if candles is None:
        flat = {key: [forecast.last_close] for key in ("open", "high", "low", "close")}
        return pd.DataFrame(flat, index=pd.DatetimeIndex([forecast.origin]))
    end = candles.position_of(forecast.origin) + 1
    times = candles.local_index
    if candles.bars_at(pd.DatetimeIndex([forecast.origin]))["close"].isna().any():
        raise InvalidRequest(
            f"The forecast's origin is {forecast.origin}, and the bars have none at that time; the "
            f"last one before it is {times[end - 1]}. Give the bars that were forecast."
        )
    start = max(0, end - (n_bars or max(2 * forecast.horizon, _FEWEST_BARS)))
    return candles.frame.iloc[start:end].set_axis(times[start:end])


def _candles(ax: Axes, bars: pd.DataFrame) -> None:
    """Hollow bodies for bars that rise, filled ones for bars that fall."""
    x = np.arange(len(bars))
    rises = (bars["close"] >= bars["open"]).to_numpy()
    low, high = bars["low"].to_numpy(), bars["high"].to_numpy()
    bottom = bars[["open", "close"]].min(axis=1).to_numpy()
    top = bars[["open", "close"]].max(axis=1).to_numpy()
    for those, colour, is_filled in ((rises, UP, False), (~rises, DOWN, True)):
        ax.vlines(x[those], low[those], bottom[those], color=colour, lw=1)
        ax.vlines(x[those], top[those], high[those], color=colour, lw=1)
        ax.bar(
            x[those], (top - bottom)[those], 0.62, bottom[those], edgecolor=colour, lw=1,
            facecolor=colour if is_filled else "none",
        )  # fmt: skip


def _fan(ax: Axes, forecast: Fan, x: np.ndarray, n_paths: int) -> None:
    """Bands, thin edges that are read without colour, some paths, and the median."""
    for low, high, opacity in _BANDS:
        bottom, top = _from_close(forecast, forecast.quantile((low, high)))
        ax.fill_between(x, bottom, top, color=FAN, alpha=opacity, lw=0)
    for row in _from_close(forecast, forecast.quantile((0.1, 0.9))):
        ax.plot(x, row, color=FAN, lw=1, alpha=0.8)
    closes = forecast.column("close")
    order = np.argsort(closes[:, -1])
    chosen = order[np.linspace(0, len(order) - 1, min(n_paths, len(order))).astype(int)]
    for row in _from_close(forecast, closes[chosen]):
        ax.plot(x, row, color=FAN, lw=0.6, alpha=0.35)
    (median,) = _from_close(forecast, forecast.quantile((0.5,)))
    ax.plot(x, median, color=MEDIAN, lw=2.2, label="median")


def _from_close(forecast: Fan, rows: np.ndarray) -> np.ndarray:
    """Rows (L, H) that begin at the last close: (L, H + 1)."""
    return np.hstack([np.full((len(rows), 1), forecast.last_close), rows])


def _actuals(ax: Axes, forecast: Fan, candles: Bars, x: np.ndarray) -> None:
    """The closes that came, where they are known."""
    closes = candles.bars_at(forecast.timestamps)["close"].to_numpy()
    known = np.isfinite(closes)
    if known.any():
        ax.plot(
            x[1:][known], closes[known], color=ACTUAL, lw=1.6, marker="o", ms=4, mfc="none",
            label="actual close",
        )  # fmt: skip


def _edge(ax: Axes, forecast: Fan, x: float) -> None:
    """p90, p50 and p10 at the horizon, to the right of the fan."""
    write = price_writer(forecast.last_close)
    levels = (0.9, 0.5, 0.1)
    for level, value in zip(levels, forecast.quantile(levels)[:, -1], strict=True):
        change = value / forecast.last_close - 1.0
        ax.annotate(
            f"p{level * 100:g}  {write(value)}  {change:+.1%}", (x, value), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=9, annotation_clip=False,
            color=MEDIAN if level == 0.5 else None, fontweight="bold" if level == 0.5 else None,
        )  # fmt: skip


def _axes(ax: Axes, forecast: Fan, history: pd.DataFrame) -> None:
    from matplotlib.patches import Patch

    both = pd.DatetimeIndex(history.index).append(pd.DatetimeIndex(forecast.timestamps))
    times = pd.DatetimeIndex(both)
    n_ticks = max(2, int(ax.get_window_extent().width / _TICK_PIXELS))
    places = np.unique(np.linspace(0, len(times) - 1, min(n_ticks, len(times))).astype(int))
    pattern = _time_pattern(times)
    ax.set_xticks(places, [f"{times[place].day} {times[place]:{pattern}}" for place in places])
    # Room for the labels at the right edge.
    ax.set_xlim(-0.6, len(times) - 0.5 + 0.16 * len(times))
    low, high = _from_close(forecast, forecast.quantile(_SEEN))
    bottom, top = min(low.min(), history["low"].min()), max(high.max(), history["high"].max())
    ax.set_ylim(bottom - 0.05 * (top - bottom), top + 0.11 * (top - bottom))
    write = price_writer(forecast.last_close)
    ax.yaxis.set_major_formatter(lambda value, _: write(value))
    ax.grid(alpha=0.25, lw=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    lines, names = ax.get_legend_handles_labels()
    covered = 0.0  # the inner band lies on the outer one
    for band, (lower, upper, opacity) in enumerate(_BANDS):
        covered += (1.0 - covered) * opacity
        lines.insert(band, Patch(color=FAN, alpha=covered, lw=0))
        names.insert(band, f"{upper - lower:.0%} band")
    ax.legend(lines, names, loc="upper left", frameon=False, fontsize=9, ncols=4)


def _time_pattern(times: pd.DatetimeIndex) -> str:
    return "%b %Y" if bool((times == times.normalize()).all()) else "%b %H:%M"


def _title(forecast: Fan, candles: Bars | None) -> str:
    what = f"{candles.symbol}, {candles.interval}, " if candles is not None else ""
    fan = "calibrated" if forecast.calibration_hash is not None else "raw"
    at = forecast.origin
    origin = f"{at:%Y-%m-%d}" if at == at.normalize() else f"{at:%Y-%m-%d %H:%M}"
    return f"{what}{forecast.horizon} bars from {origin}, {forecast.model_name}, {fan} fan"


def price_writer(like: float) -> Callable[[float], str]:
    """Writes prices near this one with five digits that count: 64,231; 182.45; 0.00012346."""
    digits = _SIGNIFICANT - 1 - math.floor(math.log10(like))
    return lambda price: f"{price:,.{min(max(digits, 0), 12)}f}"
