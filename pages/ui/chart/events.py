"""Events on the fan chart: an icon rail above the candles, and a dotted line down to the bar.

Each kind has a shape and a letter of its own, which the legend names. An icon is filled up to the
origin and hollow after it. Icons that would overlap stand below one another; where there is no room
for letters, the shape alone tells the kind.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.calendars.spans import bar_spans
from kronos.events import KINDS, Event, event_bars
from pages.ui.chart import style
from pages.ui.chart.scene import Scene
from pages.ui.chart.sheet import Sheet

__all__ = [
    "Marker", "add_events", "event_markers", "events_legend", "events_sentence", "wide_bars_text",
    "widest_bar",
]  # fmt: skip

RAIL_AXIS = "yaxis9"
_TOP, _STEP = 0.972, 0.042
_MOST_ROWS = 4
_MOST_NAMED = 6
_MOST_LETTERS = 60
_MOST_IN_LEGEND = 24
_LEAST_USUAL = 3
"""Bars without an event that tell how wide a usual bar is."""
_LEAST_WIDE = 1.2
"""Ratio to a usual bar from which a bar counts as wide."""
_ICON = 15.0
"""Size in pixels of an icon with a letter."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The look of a group of events.

    Attributes:
        title: Entry of the legend.
        letter: On the icon; "" for a shape that is a sign of its own.
        symbol: Plotly's name of the shape.
        colour: Of the icon and its line.
        ink: Of the letter on a filled icon.
    """

    title: str
    letter: str
    symbol: str
    colour: str
    ink: str = style.DARK_INK


def _macro(title: str, letter: str, symbol: str) -> _Look:
    return _Look(title, letter, symbol, style.MACRO, style.LIGHT_INK)


_LOOKS = {
    "fomc": _macro("FOMC decision", "F", "hexagon"),
    "cpi": _macro("CPI", "C", "square"),
    "nfp": _macro("Payrolls", "J", "pentagon"),
    "gdp": _macro("GDP", "G", "octagon"),
    "pce": _macro("PCE price index", "P", "diamond-wide"),
    "rate_decision": _macro("Rate decision", "R", "hexagon2"),
    "earnings": _Look("Earnings", "E", "diamond", style.EARNINGS),
    "news": _Look("News", "N", "circle", style.NEWS),
    "split": _Look("Split", "S", "triangle-up", style.NEUTRAL),
    "gap": _Look("Gap", "", "x", style.DOWN),
}
_OTHER_COLOURS = {
    "": style.FAN, "blue": style.FAN, "green": style.UP, "orange": style.EARNINGS,
    "red": "#E05A56", "purple": "#B07CE0", "grey": style.NEUTRAL,
}  # fmt: skip


def _group_of(event: Event) -> str:
    """Events of one group on a bar share an icon."""
    return f"other {event.colour} {event.name}" if event.kind == "other" else event.kind


def _look_of(event: Event) -> _Look:
    if event.kind != "other":
        return _LOOKS[event.kind]
    name = event.name.strip()
    title = name if len(name) <= _MOST_IN_LEGEND else f"{name[: _MOST_IN_LEGEND - 1]}…"
    letter = next((sign.upper() for sign in name if sign.isalnum()), "")
    return _Look(title, letter[:1], "star", _OTHER_COLOURS[event.colour])


@dataclass(frozen=True, slots=True)
class Marker:
    """The events of one group on one bar.

    Attributes:
        group: Their kind; for kind other with colour and name.
        bar: Position of the bar among `Scene.labels`.
        row: 0 for the topmost row of icons, 1 for the next, ...
        is_past: Whether it is before the origin (filled marker) or after it (hollow).
        events: The events, by time.
    """

    group: str
    bar: int
    row: int
    is_past: bool
    events: tuple[Event, ...]


def event_markers(scene: Scene, events: Sequence[Event], *, apart: int = 1) -> list[Marker]:
    """The icons and their bars.

    After the origin only events announced before it have an icon; unannounced ones have one where
    the chart shows the actual bars too.

    Args:
        scene: The bars.
        events: Events to mark.
        apart: Bars from one icon of a row to the next, so that they do not overlap.
    """
    bars = event_bars(
        events,
        scene.moments,
        interval=scene.interval,
        calendar=scene.calendar,
        zone=scene.zone,
    )
    origin = _origin(scene)
    grouped: dict[tuple[int, str], list[Event]] = {}
    for event, bar in zip(events, bars.tolist(), strict=True):
        if bar < 0 or (bar >= scene.n_history and not _is_shown(scene, event, bar, origin)):
            continue
        grouped.setdefault((bar, _group_of(event)), []).append(event)
    kinds = list(KINDS)
    ordered = sorted(
        grouped.items(), key=lambda item: (item[0][0], kinds.index(item[1][0].kind), item[0][1])
    )
    markers: list[Marker] = []
    free: list[int] = []  # by row: the first bar on which it has room
    here: set[int] = set()  # rows of the bar
    for (bar, group), found in ordered:
        if not markers or markers[-1].bar != bar:
            here = set()
        row = next((i for i, first in enumerate(free) if first <= bar), len(free))
        if row >= _MOST_ROWS and (others := [i for i in range(_MOST_ROWS) if i not in here]):
            row = min(others, key=free.__getitem__)
        here.add(row)
        free[row : row + 1] = [bar + apart]
        is_past = bar < scene.n_history
        by_time = tuple(sorted(found, key=lambda event: event.time))
        markers.append(Marker(group, bar, row, is_past, by_time))
    return markers


def add_events(
    sheet: Sheet, scene: Scene, events: Sequence[Event], *, compact: bool = False
) -> None:
    """Draw the rail, on a hidden axis that a zoom of prices does not move, and a line per bar.

    Events outside the bars are left out. Several of one kind on a bar share an icon and a hover
    box.
    """
    panel = 230 if compact else 820
    per_bar = panel / (scene.n_window + scene.horizon)
    markers = event_markers(scene, events, apart=max(1, math.ceil(_ICON / per_bar)))
    if not markers:
        return
    n_visible = sum(marker.bar >= scene.first_visible for marker in markers)
    has_letters = n_visible * _ICON <= _MOST_ROWS * panel
    if not has_letters:
        markers = event_markers(scene, events)
    sheet.layout[RAIL_AXIS] = {
        "overlaying": "y",
        "anchor": "x",
        "range": [0, 1],
        "visible": False,
        "fixedrange": True,
    }
    origin = _origin(scene)
    _add_lines(sheet, markers)
    size = _ICON if has_letters else min(10.0, max(6.0, 0.85 * per_bar))
    wide = _wide_bars(scene, markers)
    for of_group in _by_group(markers):
        _add_icons(sheet, scene, of_group, origin, size, wide)
    if has_letters:
        _add_letters(sheet, scene, markers)
        _add_widths(sheet, scene, markers, wide)


def _by_group(markers: Sequence[Marker]) -> list[list[Marker]]:
    """The markers of each group, in the order of the kinds."""
    groups: dict[str, list[Marker]] = {}
    for marker in markers:
        groups.setdefault(marker.group, []).append(marker)
    kinds = list(KINDS)
    return sorted(groups.values(), key=lambda of: (kinds.index(of[0].events[0].kind), of[0].group))


def _add_lines(sheet: Sheet, markers: list[Marker]) -> None:
    """Lines from the lowest icon of each bar down, one path for each colour.

    A figure with one shape per line takes seconds to build.
    """
    lowest: dict[int, Marker] = {}
    for marker in markers:
        if marker.bar not in lowest or marker.row > lowest[marker.bar].row:
            lowest[marker.bar] = marker
    pieces: dict[str, list[str]] = {}
    for marker in lowest.values():
        piece = f"M{marker.bar},0L{marker.bar},{_height(marker) - 0.02:.3f}"
        pieces.setdefault(_look_of(marker.events[0]).colour, []).append(piece)
    for colour, of_colour in pieces.items():
        sheet.shape(
            "path", path="".join(of_colour), xref="x", yref="y domain", layer="below",
            opacity=0.5, line={"color": colour, "width": 1, "dash": "dot"},
        )  # fmt: skip


def events_legend(scene: Scene, events: Sequence[Event]) -> str:
    """Letters and kinds of the marked events, for a chart without a legend; "" for none."""
    looks = [_look_of(of[0].events[0]) for of in _by_group(event_markers(scene, events))]
    named = [_legend_entry(look) for look in looks[: 2 * _MOST_NAMED]]
    return f"Events: {', '.join(named)}. Filled: past. Hollow: scheduled." if named else ""


def _legend_entry(look: _Look) -> str:
    return f"{look.letter} {look.title}" if look.letter else look.title


@dataclass(frozen=True, slots=True)
class _Width:
    """Expected width of the move of one bar over that of a usual bar, and its sampling error."""

    times: float
    error: float

    @property
    def text(self) -> str:
        return f"{self.short} × a usual bar"

    @property
    def short(self) -> str:
        return f"{self.times:.1f} ± {self.error:.1f}"


def _wide_bars(scene: Scene, markers: Sequence[Marker]) -> dict[int, _Width]:
    """The bars with an event that a model which read the calendar expects to be wide.

    A usual bar is the median one among those of the horizon without an event.
    """
    forecast = scene.forecast
    coming = {marker.bar - scene.n_history for marker in markers if not marker.is_past}
    if forecast is None or forecast.events_hash is None or not coming:
        return {}
    usual = ~np.isin(np.arange(forecast.horizon), list(coming))
    if usual.sum() < _LEAST_USUAL:
        return {}
    times, errors = forecast.bar_widths(usual)
    return {
        scene.n_history + bar: _Width(float(times[bar]), float(errors[bar]))
        for bar in sorted(coming)
        if times[bar] >= _LEAST_WIDE and times[bar] - 2.0 * errors[bar] > 1.0
    }


def wide_bars_text(scene: Scene, events: Sequence[Event]) -> str:
    """The bars that the fan expects to be wide because of an event; "" for none."""
    markers = event_markers(scene, events)
    named = [
        f"{', '.join(_names(markers, bar))}, {scene.labels[bar]}: {width.text}"
        for bar, width in _wide_bars(scene, markers).items()
    ]
    more = f"; and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"Wide bars expected. {'; '.join(named[:_MOST_NAMED])}{more}." if named else ""


def widest_bar(scene: Scene, events: Sequence[Event]) -> tuple[str, str] | None:
    """The bar of the horizon with the widest own move, with the kinds of its events, and its width.

    Returns:
        The bar, and its width as a number of usual bars without their sign, for a label that has
        it. None for a fan of fewer than 4 bars or 2 paths, whose widths say nothing.
    """
    forecast = scene.forecast
    if forecast is None or forecast.horizon <= _LEAST_USUAL or forecast.n_paths < 2:
        return None
    markers = event_markers(scene, events)
    wide = _wide_bars(scene, markers)
    if wide:
        bar = max(wide, key=lambda each: wide[each].times)
        # The kind alone: a strip of verdicts has no room for the title of a release.
        kinds = dict.fromkeys(_look_of(m.events[0]).title for m in markers if m.bar == bar)
        return f"{', '.join(kinds)}, {scene.labels[bar]}", wide[bar].short
    times, errors = forecast.bar_widths(np.ones(forecast.horizon, dtype=bool))
    if not np.isfinite(times).any():
        return None
    step = int(np.nanargmax(times))
    width = _Width(float(times[step]), float(errors[step]))
    return scene.labels[scene.n_history + step], width.short


def _names(markers: Sequence[Marker], bar: int) -> list[str]:
    """The events of a bar, each title once."""
    titles = [event.title[:_MOST_LETTERS] for m in markers if m.bar == bar for event in m.events]
    return list(dict.fromkeys(titles))[:_MOST_NAMED]


def events_sentence(scene: Scene, events: Sequence[Event]) -> str:
    """The events within the horizon in words, with a leading blank; empty where there are none."""
    coming = [m for m in event_markers(scene, events) if not m.is_past]
    named = [
        f"{event.title[:_MOST_LETTERS]} at {scene.labels[marker.bar]}"
        for marker in sorted(coming, key=lambda marker: marker.bar)
        for event in marker.events
    ]
    if not named:
        return ""
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    wide = wide_bars_text(scene, events)
    return f" Events within the horizon: {', '.join(named[:_MOST_NAMED])}{more}. {wide}".rstrip()


def _add_icons(
    sheet: Sheet,
    scene: Scene,
    markers: list[Marker],
    origin: pd.Timestamp,
    size: float,
    wide: dict[int, _Width],
) -> None:
    look = _look_of(markers[0].events[0])
    sheet.trace(
        "scatter",
        x=[scene.labels[marker.bar] for marker in markers],
        y=[_height(marker) for marker in markers],
        yaxis="y9",
        mode="markers",
        marker={
            "symbol": [
                look.symbol if marker.is_past else f"{look.symbol}-open" for marker in markers
            ],
            "size": size,
            "color": look.colour,
            "line": {"width": 1.8 if size < _ICON else 1.4, "color": look.colour},
        },
        text=[_hover(marker, scene.zone, origin, wide.get(marker.bar)) for marker in markers],
        hovertemplate="%{text}<extra></extra>",
        name=html.escape(_legend_entry(look)),
        cliponaxis=False,
    )


def _add_letters(sheet: Sheet, scene: Scene, markers: list[Marker]) -> None:
    """The letters: in an ink that reads on a filled icon, in the page's own on a hollow one."""
    inks: dict[str, list[Marker]] = {}
    for marker in markers:
        ink = _look_of(marker.events[0]).ink if marker.is_past else ""
        inks.setdefault(ink, []).append(marker)
    for ink, of_ink in inks.items():
        sheet.trace(
            "scatter",
            x=[scene.labels[marker.bar] for marker in of_ink],
            y=[_height(marker) for marker in of_ink],
            yaxis="y9",
            mode="text",
            text=[f"<b>{html.escape(_look_of(one.events[0]).letter)}</b>" for one in of_ink],
            textfont={"size": 9.5} | ({"color": ink} if ink else {}),
            hoverinfo="skip",
            showlegend=False,
            name="",
            cliponaxis=False,
        )


def _add_widths(sheet: Sheet, scene: Scene, markers: list[Marker], wide: dict[int, _Width]) -> None:
    """Below the icons of a bar that is expected to be wide: how wide."""
    lowest = {bar: max(m.row for m in markers if m.bar == bar) for bar in wide}
    if not wide:
        return
    sheet.trace(
        "scatter",
        x=[scene.labels[bar] for bar in wide],
        y=[_TOP - _STEP * (lowest[bar] + 1) for bar in wide],
        yaxis="y9",
        mode="text",
        text=[f" <b>{width.times:.1f}×</b>" for width in wide.values()],
        textposition="middle right",  # beside the line of the event
        textfont={"size": 10.5},
        hoverinfo="skip",
        showlegend=False,
        name="",
        cliponaxis=False,
    )


def _height(marker: Marker) -> float:
    return _TOP - _STEP * marker.row


def _hover(marker: Marker, zone: str, origin: pd.Timestamp, width: _Width | None) -> str:
    parts = [_event_text(event, zone, origin) for event in marker.events[:_MOST_NAMED]]
    n_more = len(marker.events) - _MOST_NAMED
    parts += [f"and {n_more} more"] if n_more > 0 else []
    return "<br>".join([*parts, f"Expected: {width.text}"] if width is not None else parts)


def _event_text(event: Event, zone: str, origin: pd.Timestamp) -> str:
    """Name, time and numbers of one event; text from tables is escaped."""
    title = html.escape(event.title[:_MOST_LETTERS])
    when = event.time.tz_convert(zone)
    time = f"{when:%d %b %Y %H:%M} {when.tzname()}" if event.is_time_exact else f"{when:%d %b %Y}"
    if event.announced_time >= origin:
        time += ", unscheduled"
    elif event.time >= origin:
        time += ", scheduled"
    unit = html.escape(event.unit[:20])
    figures = [
        f"{name} {_number(value, unit, signed=name == 'surprise')}"
        for name, value in (
            ("actual", event.actual),
            ("consensus", event.consensus),
            ("surprise", event.surprise),
            ("previous", event.previous),
        )
        if value is not None
    ]
    lines = [f"<b>{title}</b>", time, *([" · ".join(figures)] if figures else [])]
    return "<br>".join(lines)


def _number(value: float, unit: str, *, signed: bool) -> str:
    number = f"{value:+,.4g}" if signed else f"{value:,.6g}"
    gap = "" if unit in {"", "%"} else " "
    return f"{number.replace('-', '−')}{gap}{unit}"


def _origin(scene: Scene) -> pd.Timestamp:
    """End of the last known bar."""
    last = scene.moments[scene.n_history - 1 : scene.n_history]
    spans = bar_spans(last, interval=scene.interval, calendar=scene.calendar, zone=scene.zone)
    return pd.Timestamp(int(spans.end[0]), tz="UTC")


def _is_shown(scene: Scene, event: Event, bar: int, origin: pd.Timestamp) -> bool:
    if event.announced_time < origin:
        return True
    if scene.actual is None:
        return False
    return bool(pd.notna(scene.actual["close"].iloc[bar - scene.n_history]))
