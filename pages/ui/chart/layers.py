"""The layers of the fan chart, in the order they are drawn, and the labels at its right edge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from kronos.forecast import Forecast
from pages.ui.chart import style
from pages.ui.chart.scene import Scene, Shape
from pages.ui.chart.sheet import Sheet
from pages.ui.frame.text import number_text

N_SAMPLE_PATHS = 24
_OUTER_BAND, _INNER_BAND = "80% · p10–p90", "50% · p25–p75"
UNSEEN = {"width": 0, "color": style.NEUTRAL}
"""An invisible line for the hover: one element, where markers need one per bar."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """Lines over the fan, under one name.

    Attributes:
        name: Of the legend.
        rows: (L, H) prices.
        dash: Of the lines, as Plotly names it.
    """

    name: str
    rows: np.ndarray
    dash: str


Readings = Mapping[str, Sequence[str]]
"""Lines of the read-out: name -> text at every bar, "" where there is none."""
_NONE: Readings = MappingProxyType({})


def level_readings(scene: Scene, levels: Sequence[float]) -> tuple[Readings, Readings]:
    """What the read-out says of the levels: at the bars, and at those of the fan.

    At a bar, the distance from its close; over the fan, the share of paths that have reached the
    level by then.
    """
    closes = scene.history["close"].to_numpy(dtype=float)
    known, ahead = {}, {}
    for level in sorted(levels, reverse=True):
        name = scene.price_text(level)
        known[name] = [number_text("{:+.1%}", move) for move in level / closes - 1.0]
        if scene.forecast is not None:
            extremes = scene.forecast.column("high" if level >= scene.last_close else "low")
            is_at = extremes >= level if level >= scene.last_close else extremes <= level
            shares = np.logical_or.accumulate(is_at, axis=1).mean(axis=0)
            ahead[name] = [f"P(touch) by then {share:.0%}" for share in shares]
    return known, ahead


def overlay_readings(scene: Scene, overlays: Sequence[Overlay]) -> Readings:
    """What the read-out says of the lines over the fan."""
    return {
        overlay.name: [" · ".join(map(scene.price_text, prices)) for prices in overlay.rows.T]
        for overlay in overlays
    }


def _read_out(readings: Readings) -> list[str] | None:
    """One text for every bar, for a hover; None where there is nothing to say."""
    rows = [
        [f"<br>{name} {text}" if text else "" for text in texts] for name, texts in readings.items()
    ]
    return ["".join(texts) for texts in zip(*rows, strict=True)] if rows else None


def add_overlays(sheet: Sheet, scene: Scene, overlays: Sequence[Overlay]) -> None:
    """Lines from the last close on; the legend names those of one kind once."""
    for overlay in overlays:
        for place, row in enumerate(overlay.rows):
            sheet.trace(
                "scatter",
                x=scene.fan_labels,
                y=rounded(scene.scaled(np.concatenate([[scene.last_close], row]))),
                mode="lines",
                line={"width": 1.5, "dash": overlay.dash, "color": style.NEUTRAL},
                hoverinfo="skip",
                legendgroup=overlay.name,
                name=overlay.name,
                showlegend=place == 0,
            )


_LABEL_SHARE, _LABEL_HEIGHT = 0.3, 0.05
"""The room of a level's label, as shares of the panel."""


def add_levels(sheet: Sheet, scene: Scene, levels: Sequence[float], *, compact: bool) -> None:
    """A dashed line at each level, with its distance and P(touch) written on it.

    The text stands at the end of the line where it covers fewer bars.
    """
    for level in levels:
        end = _freer_end(scene, level)
        at = float(scene.scaled(level))
        colour = style.UP if level >= scene.last_close else style.DOWN
        sheet.shape(
            "line", x0=0, x1=1, xref="x domain", y0=at, y1=at, yref="y",
            line={"color": colour, "width": 1.4, "dash": "longdash"},
        )  # fmt: skip
        sheet.note(
            level_text(scene, level, compact=compact), name="level", size=11, xref="x domain",
            x=int(end == "right"), xanchor=end, xshift=-4 if end == "right" else 4,
            y=scene.on_axis(level), yref="y", yanchor="bottom",
        )  # fmt: skip


def _freer_end(scene: Scene, level: float) -> Literal["left", "right"]:
    """The end of a level where its label, above the line, covers fewer bars; else the left one."""
    known = scene.history if scene.actual is None else pd.concat([scene.history, scene.actual])
    bottom, top = scene.price_range()
    upper = scene.on_axis(level) + _LABEL_HEIGHT * (top - bottom)
    lows, highs = (scene.scaled(known[name].to_numpy(dtype=float)) for name in ("low", "high"))
    if scene.view == "log":
        upper = 10.0**upper
    is_covered = np.zeros(len(scene.labels), dtype=bool)
    is_covered[: len(known)] = (lows <= upper) & (highs >= scene.scaled(level))
    visible = is_covered[scene.first_visible :]
    n_bars = max(1, round(_LABEL_SHARE * len(visible)))
    return "right" if visible[-n_bars:].sum() < visible[:n_bars].sum() else "left"


def level_text(scene: Scene, level: float, *, compact: bool = False) -> str:
    """A level with its distance from the last close and, over a fan, its P(touch)."""
    text = f"{scene.price_text(level)} · {scene.percent_text(level, 1)}"
    if scene.forecast is None:
        return text
    touch, error = touch_share(scene.forecast, level)
    return f"{text} · touch {touch}" if compact else f"{text} · P(touch) {touch} {error}"


def touch_share(forecast: Forecast, level: float) -> tuple[str, str]:
    """P(touch) of a level and its sampling error, in percent."""
    share = forecast.probability_touch(level)
    if share in (0.0, 1.0):
        return f"{share:.0%}", f"({'all' if share else 'none'} of {forecast.n_paths} paths)"
    return f"{share:.0%}", f"± {100.0 * math.sqrt(share * (1 - share) / forecast.n_paths):.1f}"


def add_zone(sheet: Sheet, scene: Scene) -> None:
    """A faint ground behind the horizon, the dotted origin and the dashed last close."""
    origin, end = scene.n_history - 1, len(scene.labels) - 0.5
    sheet.shape(
        "rect", x0=origin, x1=end, y0=0, y1=1, xref="x", yref="y domain", line={"width": 0},
        fillcolor=style.faded(style.FAN, 0.05), layer="below",
    )  # fmt: skip
    sheet.shape(
        "line", x0=origin, x1=origin, y0=0, y1=1, xref="x", yref="paper", opacity=0.8,
        line={"color": style.NEUTRAL, "width": 1.2, "dash": "dot"},
    )  # fmt: skip
    level = float(scene.scaled(scene.last_close))
    sheet.shape(
        "line", x0=origin, x1=end, y0=level, y1=level, xref="x", yref="y", opacity=0.7,
        line={"color": style.NEUTRAL, "width": 1, "dash": "dash"},
    )  # fmt: skip
    sheet.note(
        "forecast origin", size=11, x=origin, xref="x", y=1, yref="y domain",
        xanchor="right", yanchor="bottom", xshift=-5,
    )  # fmt: skip


def add_bands(sheet: Sheet, scene: Scene) -> None:
    """The p10-p90 and p25-p75 fills, and thin edges that make the band readable without colour."""
    quantiles = {level: scene.scaled(row) for level, row in scene.quantiles().items()}
    for low, high, opacity, name in (
        (0.10, 0.90, 0.17, _OUTER_BAND),
        (0.25, 0.75, 0.24, _INNER_BAND),
    ):
        _add_line(sheet, scene, quantiles[low], width=0, legendgroup=name, showlegend=False)
        _add_line(
            sheet, scene, quantiles[high], width=0, legendgroup=name, name=name, fill="tonexty",
            fillcolor=style.faded(style.FAN, opacity), showlegend=False,
        )  # fmt: skip
    edge = style.faded(style.FAN, 0.8)
    _add_swatch(sheet, _OUTER_BAND, "square", style.faded(style.FAN, 0.17), edge=edge)
    # The inner band lies on the outer one: what is seen is denser than its own fill.
    _add_swatch(sheet, _INNER_BAND, "square", style.faded(style.FAN, 0.6))
    for level in (0.10, 0.90):
        _add_line(sheet, scene, quantiles[level], width=1, colour=edge, showlegend=False)


def add_sample_paths(sheet: Sheet, scene: Scene) -> None:
    """Sample paths at even ranks of their last close, as one trace with gaps."""
    closes = scene.closes()
    ranked = np.argsort(closes[:, -1], kind="stable")
    n_shown = min(N_SAMPLE_PATHS, len(closes))
    chosen = ranked[np.linspace(0, len(closes) - 1, n_shown).round().astype(int)]
    gaps = np.full((n_shown, 1), np.nan)
    broken = np.concatenate([scene.scaled(closes[chosen]), gaps], axis=1)
    name = f"{n_shown} of {len(closes)} sample paths"
    sheet.trace(
        "scatter",
        x=[*scene.fan_labels, None] * n_shown,
        y=rounded(broken.ravel()),
        mode="lines",
        line={"width": 0.8, "color": style.faded(style.FAN, 0.24)},
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
        name=name,
    )
    thin = style.faded(style.FAN, 0.9)
    _add_swatch(sheet, name, "line-ew", thin, edge=thin)


def _add_swatch(sheet: Sheet, name: str, symbol: str, fill: str, *, edge: str = "") -> None:
    """An entry of the legend that shows and hides its group. As the fills are faint, their own
    entries look alike: here the shape tells them apart, in light and dark."""
    sheet.trace(
        "scatter",
        x=[None],
        y=[None],
        mode="markers",
        marker={
            "symbol": symbol, "size": 12, "color": fill,
            "line": {"width": 1.2 if edge else 0, "color": edge or fill},
        },
        hoverinfo="skip",
        legendgroup=name,
        name=name,
    )  # fmt: skip


def add_candles(
    sheet: Sheet, scene: Scene, shape: Shape = "candles", readings: Readings = _NONE
) -> None:
    """The history, as candles hollow up and filled down; an invisible line carries the hover."""
    bars = scene.history
    if shape == "line":
        line = {"width": 1.6, "color": style.NEUTRAL}
        sheet.trace(
            "scatter", x=scene.history_labels, y=rounded(scene.scaled(bars["close"])),
            mode="lines", line=line, hoverinfo="skip", showlegend=False, name="Close",
        )  # fmt: skip
    else:
        _add_bars(sheet, scene, scene.history_labels, bars, shape, opacity=1.0)
    price = f",.{scene.decimals}f"
    volume = "<br>Volume %{customdata[4]:,.4~s}" if scene.has_volume else ""
    sheet.trace(
        "scatter",
        x=scene.history_labels,
        y=rounded(scene.scaled(bars["close"])),
        mode="lines",
        line=UNSEEN,
        showlegend=False,
        name="",
        customdata=bars[["open", "high", "low", "close", "volume"]]
        .to_numpy()
        .round(max(10, scene.decimals)),
        text=(texts := _read_out(readings)),
        hovertemplate=(
            "<b>%{x}</b>"
            f"<br>O %{{customdata[0]:{price}}}  H %{{customdata[1]:{price}}}"
            f"<br>L %{{customdata[2]:{price}}}  C <b>%{{customdata[3]:{price}}}</b>"
            f"{volume}{'%{text}' if texts else ''}<extra></extra>"
        ),
    )


def add_median(sheet: Sheet, scene: Scene, readings: Readings = _NONE) -> None:
    """The median, which also carries the hover of the fan: one box per bar."""
    quantiles = scene.quantiles()
    median = scene.scaled(quantiles[0.50])
    _add_line(sheet, scene, median, width=2.2, colour=style.MEDIAN, name="Median")
    price = f",.{scene.decimals}f"
    rows = [quantiles[level] for level in (0.90, 0.75, 0.50, 0.25, 0.10)]
    returns = [(row / scene.last_close - 1.0) * 100.0 for row in rows]
    above = (scene.closes() > scene.last_close).mean(axis=0) * 100.0
    columns = [*rows, *returns, above, np.arange(scene.horizon + 1)]
    if scene.actual is not None:
        actual = scene.actual["close"].to_numpy(dtype=float)
        closes = [scene.price_text(v) if v == v else "" for v in actual]
        readings = {"Actual close": closes, **readings}
    texts = _read_out(readings)
    more = "%{text}" if texts else ""
    body = "".join(
        f"<br>{'<b>' if name == 'p50' else ''}{name} %{{customdata[{i}]:{price}}}"
        f"{'</b>' if name == 'p50' else ''} (%{{customdata[{i + 5}]:+.2f}}%)"
        for i, name in enumerate(("p90", "p75", "p50", "p25", "p10"))
    )
    sheet.trace(
        "scatter",
        x=scene.fan_labels[1:],
        y=rounded(median[1:]),
        mode="lines",
        line=UNSEEN,
        showlegend=False,
        name="",
        customdata=np.column_stack(columns)[1:].round(10),
        text=texts,
        hovertemplate=(
            f"<b>%{{x}}</b> · bar +%{{customdata[11]:d}}{body}"
            f"<br>P(above last close) %{{customdata[10]:.0f}}%{more}<extra></extra>"
        ),
    )


def add_actual(sheet: Sheet, scene: Scene, shape: Shape = "candles") -> None:
    """The actual bars: pale bars over the fan, and closes as a line with open circles."""
    if scene.actual is None:
        return
    labels = scene.fan_labels[1:]
    known = scene.actual["close"].notna().to_numpy()
    shown = [label for label, is_known in zip(labels, known, strict=True) if is_known]
    if shape != "line":
        _add_bars(sheet, scene, shown, scene.actual[known], shape, opacity=0.55)
    closes = np.concatenate([[scene.last_close], scene.actual["close"].to_numpy(dtype=float)])
    sheet.trace(
        "scatter",
        x=scene.fan_labels,
        y=rounded(scene.scaled(closes)),
        mode="lines+markers",
        connectgaps=True,
        line={"width": 1.6, "color": style.ACTUAL},
        marker={"size": 5, "symbol": "circle-open", "color": style.ACTUAL},
        hoverinfo="skip",
        name="Actual close",
    )


def add_volume(sheet: Sheet, scene: Scene) -> None:
    """Volume of the history in grey; over the horizon the median with p10-p90 whiskers."""
    seen: dict[str, Any] = {"showlegend": False, "hoverinfo": "skip"}
    grey = {"color": style.faded(style.NEUTRAL, 0.5), "line": {"width": 0}}
    volume = scene.history["volume"]
    sheet.trace(
        "bar",
        x=scene.history_labels,
        y=volume.to_numpy(),
        marker=grey,
        name="Volume",
        **seen,
        row=2,
    )
    top = float(volume.iloc[scene.first_visible :].max()) or 1.0
    if scene.forecast is not None:
        low, median, high = scene.forecast.quantile((0.10, 0.50, 0.90), "volume")
        top = max(top, min(float(high.max()), 2.0 * top))
        sheet.trace(
            "bar",
            x=scene.fan_labels[1:],
            y=median,
            marker={"color": style.faded(style.FAN, 0.5), "line": {"width": 0}},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": high - median,
                "arrayminus": median - low,
                "thickness": 0.8,
                "width": 0,
                "color": style.faded(style.FAN, 0.8),
            },
            name="Median volume",
            **seen,
            row=2,
        )
    if scene.actual is not None:
        ring = {"size": 4, "symbol": "circle-open", "color": style.ACTUAL}
        known = scene.actual["volume"].to_numpy(dtype=float)
        top = max(top, float(np.nanmax(known)))
        sheet.trace(
            "scatter",
            x=scene.fan_labels[1:],
            y=known,
            mode="markers",
            marker=ring,
            **seen,
            row=2,
        )
    sheet.price_axis(row=2)["range"] = [0, 1.06 * top]


def _add_bars(
    sheet: Sheet,
    scene: Scene,
    labels: list[str],
    bars: pd.DataFrame,
    shape: Shape,
    *,
    opacity: float,
) -> None:
    columns: dict[str, Any] = {
        name: rounded(scene.scaled(bars[name])) for name in ("open", "high", "low", "close")
    }
    if shape == "bars":
        sheet.trace(
            "ohlc", x=labels, **columns, tickwidth=0.35, opacity=opacity, showlegend=False,
            increasing={"line": {"color": style.UP, "width": 1.4}},
            decreasing={"line": {"color": style.DOWN, "width": 1.4}},
            hoverinfo="skip", name="Bars",
        )  # fmt: skip
        return
    sheet.trace(
        "candlestick",
        x=labels,
        **columns,
        increasing={"line": {"color": style.UP, "width": 1}, "fillcolor": style.CLEAR},
        decreasing={"line": {"color": style.DOWN, "width": 1}, "fillcolor": style.DOWN},
        whiskerwidth=0,
        opacity=opacity,
        showlegend=False,
        hoverinfo="skip",
        name="Bars",
    )


def _add_line(
    sheet: Sheet,
    scene: Scene,
    values: np.ndarray,
    *,
    width: float,
    colour: str | None = None,
    **options: Any,
) -> None:
    line = {"width": width} if colour is None else {"width": width, "color": colour}
    sheet.trace(
        "scatter",
        x=scene.fan_labels,
        y=rounded(values),
        mode="lines",
        line=line,
        hoverinfo="skip",
        **options,
    )


def rounded(values: np.ndarray) -> np.ndarray:
    """Eight significant digits: more than a screen shows, and a smaller figure."""
    values = np.asarray(values, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.floor(np.log10(np.nanmax(np.abs(values)))) if values.size else 0
    return np.round(values, int(8 - size)) if np.isfinite(size) else values


N_BINS = 26
OUTSIDE, OUTER, INNER = 0.25, 0.50, 0.85


def add_distribution(sheet: Sheet, scene: Scene) -> None:
    """Closes at the horizon, shaded by band: a histogram, or a density where the axis is a log."""
    assert scene.forecast is not None
    closes = scene.closes()[:, -1]
    bounds = {level: row[-1] for level, row in scene.quantiles().items()}
    if scene.view == "log":
        _add_density(sheet, closes[closes > 0], bounds)
    else:
        _add_histogram(sheet, scene, closes, bounds)


def _add_histogram(
    sheet: Sheet, scene: Scene, closes: np.ndarray, bounds: dict[float, float]
) -> None:
    counts, edges = np.histogram(closes, bins=N_BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    is_outer = (middles >= bounds[0.10]) & (middles <= bounds[0.90])
    is_inner = (middles >= bounds[0.25]) & (middles <= bounds[0.75])
    opacity = np.where(is_inner, INNER, np.where(is_outer, OUTER, OUTSIDE))
    texts = [
        f"{scene.price_text(low)} to {scene.price_text(high)}<br>{count / len(closes):.0%} of paths"
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    scaled = scene.scaled(edges)
    sheet.trace(
        "bar",
        x=counts,
        y=(scaled[1:] + scaled[:-1]) / 2,
        width=np.diff(scaled) * 0.92,
        orientation="h",
        marker={
            "color": [style.faded(style.FAN, float(value)) for value in opacity],
            "line": {"width": 0},
        },
        text=texts,
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        name="Closes at the horizon",
        column=2,
    )


def _add_density(sheet: Sheet, closes: np.ndarray, bounds: dict[float, float]) -> None:
    logs = np.log(closes)
    grid = np.linspace(logs.min(), logs.max(), 120)
    # Silverman's bandwidth, with a minimum for a fan of equal paths.
    width = max(1.06 * logs.std() * len(logs) ** -0.2, 1e-6)
    density = np.exp(-0.5 * ((grid[:, None] - logs) / width) ** 2).sum(axis=1)
    for low, high, opacity in (
        (closes.min(), closes.max(), OUTSIDE),
        (bounds[0.10], bounds[0.90], OUTER - 0.15),
        (bounds[0.25], bounds[0.75], INNER - 0.35),
    ):
        inside = (grid >= np.log(low)) & (grid <= np.log(high))
        if inside.sum() < 2:
            continue
        prices = np.exp(grid[inside])
        sheet.trace(
            "scatter",
            x=np.concatenate([[0], density[inside], [0]]),
            y=np.concatenate([prices[:1], prices, prices[-1:]]),
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=style.faded(style.FAN, opacity),
            hoverinfo="skip",
            showlegend=False,
            name="Closes at the horizon",
            column=2,
        )


def add_edge_labels(sheet: Sheet, scene: Scene, *, panel_pixels: float, compact: bool) -> None:
    """p90, p50, p10 and the last close beside the panel, without overlap."""
    bounds = {level: float(row[-1]) for level, row in scene.quantiles().items()}
    entries = [("p90", bounds[0.90]), ("p50", bounds[0.50]), ("p10", bounds[0.10])]
    if not compact:
        entries.append(("last", scene.last_close))
    bottom, top = scene.price_range()
    pixels = np.array(
        [(scene.on_axis(price) - bottom) / (top - bottom) * panel_pixels for _, price in entries]
    )
    gap = 36.0 if compact else 26.0
    shifts = spread(pixels, gap=gap, limit=panel_pixels) - pixels
    for (name, price), shift in zip(entries, shifts, strict=True):
        pill = {"p50": style.PILL, "last": style.faded(style.NEUTRAL, 0.28)}.get(name)
        sheet.note(
            _label(scene, name, price, compact=compact),
            x=1, xref="paper", xanchor="left", xshift=3 if compact else 6,
            y=scene.on_axis(price), yref="y", yshift=float(shift),
            align="left", borderpad=3, bgcolor=pill or style.CLEAR,
            font={"size": 10.5 if compact else 12}
            | ({"color": style.PILL_TEXT} if name == "p50" else {}),
        )  # fmt: skip


def _label(scene: Scene, name: str, price: float, *, compact: bool) -> str:
    value = scene.price_text(price)
    if name == "last":
        return f"last  {value}"
    if compact:
        text = f"{name}<br>{scene.percent_text(price, 1)}"
    elif scene.view == "percent":
        text = f"{name}  {scene.percent_text(price)}"
    else:
        change = scene.percent_text(price, 1)
        text = f"{name}  {value}  <span style='font-size:10.5px'>{change}</span>"
    return f"<b>{text}</b>" if name == "p50" else text


def spread(positions: np.ndarray, *, gap: float, limit: float) -> np.ndarray:
    """The nearest positions (least squares) in the same order, `gap` apart within [0, limit].

    After subtracting the gaps this is a monotone regression: neighbours that would pass each
    other share the mean of their group.
    """
    order = np.argsort(positions, kind="stable")
    steps = gap * np.arange(len(positions))
    groups: list[tuple[float, int]] = []  # mean and number of members
    for wanted in positions[order] - steps:
        mean, count = float(wanted), 1
        while groups and groups[-1][0] > mean:
            other, n_others = groups.pop()
            mean = (mean * count + other * n_others) / (count + n_others)
            count += n_others
        groups.append((mean, count))
    level = np.repeat([mean for mean, _ in groups], [count for _, count in groups])
    placed = np.empty(len(positions))
    placed[order] = np.clip(level, 0.0, max(0.0, limit - steps[-1])) + steps
    return placed
