"""The right edge of the fan chart: the distribution at the horizon and its direct labels."""

from __future__ import annotations

import numpy as np

from pages.ui.chart import colours as colour
from pages.ui.chart.scene import Scene
from pages.ui.chart.sheet import Sheet

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
            "color": [colour.faded(colour.FAN, float(value)) for value in opacity],
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
    # Silverman's width; a fan of equal paths still needs a visible one.
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
            fillcolor=colour.faded(colour.FAN, opacity),
            hoverinfo="skip",
            showlegend=False,
            name="Closes at the horizon",
            column=2,
        )


def add_edge_labels(sheet: Sheet, scene: Scene, *, panel_pixels: float, compact: bool) -> None:
    """p90, p50, p10 and the last close beside the panel, moved apart where they would touch."""
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
        pill = {"p50": colour.PILL, "last": colour.faded(colour.NEUTRAL, 0.28)}.get(name)
        sheet.note(
            _label(scene, name, price, compact=compact),
            x=1, xref="paper", xanchor="left", xshift=3 if compact else 6,
            y=scene.on_axis(price), yref="y", yshift=float(shift),
            align="left", borderpad=3, bgcolor=pill or colour.CLEAR,
            font={"size": 10.5 if compact else 12}
            | ({"color": colour.PILL_TEXT} if name == "p50" else {}),
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
    """Positions at least `gap` apart within [0, limit], in the same order, moved little.

    Least squares: without the gaps it is a monotone regression, where neighbours that would
    pass each other share the mean of their group.
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
