"""Studies of the real bars, never of the fan: moving averages, Bollinger bands, RSI (TA-Lib)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from kronos.candles import Candles
from pages.ui.chart import style
from pages.ui.chart.layers import Readings, rounded
from pages.ui.chart.scene import Scene
from pages.ui.chart.sheet import Sheet

__all__ = ["RSI", "STUDIES", "Study", "add_rsi", "add_studies", "study_readings"]

Study = Literal["SMA 20", "SMA 50", "SMA 200", "EMA 12", "EMA 26", "Bollinger 20", "RSI 14"]
STUDIES: tuple[Study, ...] = get_args(Study)
RSI: Study = "RSI 14"
_RSI_BARS = 14
_BANDS = (30, 70)
_DEVIATIONS = 2.0
_BOLLINGER_BARS = 20


@dataclass(frozen=True, slots=True)
class _Line:
    """How a moving average is drawn."""

    kind: Literal["SMA", "EMA"]
    bars: int
    colour: str
    dash: str


# They read on white and on near-black, apart from one another and from the fan.
_LINES: dict[Study, _Line] = {
    "SMA 20": _Line("SMA", 20, "#B5489B", "solid"),
    "SMA 50": _Line("SMA", 50, "#93702F", "solid"),
    "SMA 200": _Line("SMA", 200, "#5F8A2F", "solid"),
    "EMA 12": _Line("EMA", 12, "#0E8FB0", "dash"),
    "EMA 26": _Line("EMA", 26, "#9B59B6", "dash"),
}


def study_readings(scene: Scene, candles: Candles, studies: Sequence[Study]) -> Readings:
    """What the read-out says of the studies at every bar of the history."""
    found: dict[str, Sequence[str]] = {}
    for study in studies:
        if study == RSI:
            found[study] = _texts(scene, _rsi(scene, candles), "{:.1f}".format)
        elif study in _LINES:
            values = _average(_LINES[study], _closes(scene, candles))
            found[study] = _texts(scene, values, scene.price_text)
        else:
            upper, _, lower = _bollinger(_closes(scene, candles))
            found[study] = [
                f"{low} to {high}" if low else ""
                for low, high in zip(
                    _texts(scene, lower, scene.price_text),
                    _texts(scene, upper, scene.price_text),
                    strict=True,
                )
            ]
    return found


def _texts(scene: Scene, values: np.ndarray, form: Callable[[float], str]) -> list[str]:
    return [form(value) if np.isfinite(value) else "" for value in values[-scene.n_history :]]


def add_studies(sheet: Sheet, scene: Scene, candles: Candles, studies: Sequence[Study]) -> None:
    """Lines over the bars of the history; without enough bars before them they begin later."""
    for study in studies:
        if study in _LINES:
            line = _LINES[study]
            values = _average(line, _closes(scene, candles))
            _add_line(sheet, scene, study, values, line.colour, line.dash)
        elif study != RSI:
            for place, values in enumerate(_bollinger(_closes(scene, candles))):
                _add_line(sheet, scene, study, values, style.NEUTRAL, "dot", is_named=place == 0)


def add_rsi(sheet: Sheet, scene: Scene, candles: Candles, *, row: int) -> None:
    """The relative strength index in a panel of its own, with lines at 30 and 70."""
    values = _rsi(scene, candles)
    sheet.trace(
        "scatter", row=row, x=scene.history_labels, y=rounded(values[-scene.n_history :]),
        mode="lines", line={"width": 1.3, "color": style.NEUTRAL}, hoverinfo="skip", name=RSI,
        showlegend=False,
    )  # fmt: skip
    panel = sheet.number(row, 1)
    # A fixed axis: the view of the prices moves all others.
    sheet.price_axis(row=row).update(
        range=[0, 100], fixedrange=True, tickvals=list(_BANDS), ticks="", zeroline=False
    )
    sheet.note(
        RSI, size=11, x=0, xref="paper", xshift=4, xanchor="left",
        y=1, yref=f"y{panel} domain", yanchor="top",
    )  # fmt: skip


def _closes(scene: Scene, candles: Candles) -> np.ndarray:
    """Closes of all bars up to the origin, those to the left of the chart as well."""
    last = candles.position_of(scene.history.index[-1])
    return candles.frame["close"].to_numpy(dtype=float)[: last + 1]


def _rsi(scene: Scene, candles: Candles) -> np.ndarray:
    import talib

    values: np.ndarray = talib.RSI(_closes(scene, candles), _RSI_BARS)
    return values


def _average(line: _Line, closes: np.ndarray) -> np.ndarray:
    import talib

    return {"SMA": talib.SMA, "EMA": talib.EMA}[line.kind](closes, line.bars)


def _bollinger(closes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Two standard deviations above and below the average of 20 bars, and the average."""
    import talib

    bands: tuple[np.ndarray, ...] = talib.BBANDS(closes, _BOLLINGER_BARS, _DEVIATIONS, _DEVIATIONS)
    return bands


def _add_line(
    sheet: Sheet,
    scene: Scene,
    study: Study,
    values: np.ndarray,
    colour: str,
    dash: str,
    *,
    is_named: bool = True,
) -> None:
    if not np.isfinite(values).any():  # too few bars
        return
    sheet.trace(
        "scatter", x=scene.history_labels, y=rounded(scene.scaled(values[-scene.n_history :])),
        mode="lines", line={"width": 1.3, "color": colour, "dash": dash}, hoverinfo="skip",
        name=study, legendgroup=study, showlegend=is_named,
    )  # fmt: skip
