"""Events on the fan chart: an icon rail above the candles, and a dotted line down to the bar."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kronos.calendars.spans import bar_spans
from kronos.events import Event, event_bars
from pages.ui.chart import style
from pages.ui.chart.scene import Scene
from pages.ui.chart.sheet import Sheet

__all__ = ["Marker", "add_events", "event_markers", "events_sentence"]

RAIL_AXIS = "yaxis9"
_TOP, _STEP = 0.972, 0.042
_MOST_NAMED = 6
_MOST_LETTERS = 60


@dataclass(frozen=True, slots=True)
class _Look:
    """The look of a group of kinds; every group has its own shape."""

    title: str
    symbol: str
    colour: str


_LOOKS = {
    "macro": _Look("Macro release", "square", style.MACRO),
    "earnings": _Look("Earnings", "diamond", style.EARNINGS),
    "news": _Look("News", "circle", style.NEWS),
    "split": _Look("Split", "triangle-up", style.NEUTRAL),
    "gap": _Look("Gap", "x", style.DOWN),
}


@dataclass(frozen=True, slots=True)
class Marker:
    """The events of one group on one bar.

    Attributes:
        group: macro, earnings, news, split or gap.
        bar: Position of the bar among `Scene.labels`.
        row: 0 for the topmost icon of the bar, 1 for the next, ...
        is_past: Whether it is before the origin (filled marker) or after it (hollow).
        events: The events, by time.
    """

    group: str
    bar: int
    row: int
    is_past: bool
    events: tuple[Event, ...]


def event_markers(scene: Scene, events: Sequence[Event]) -> list[Marker]:
    """The icons and their bars.

    After the origin only events announced before it have an icon; unannounced ones have one where
    the chart shows the actual bars too.
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
        group = event.kind if event.kind in _LOOKS else "macro"
        grouped.setdefault((bar, group), []).append(event)
    markers, rows = [], dict.fromkeys(bars.tolist(), 0)
    for group in _LOOKS:
        for bar, found in sorted(
            (bar, members) for (bar, name), members in grouped.items() if name == group
        ):
            ordered = tuple(sorted(found, key=lambda event: event.time))
            is_past = bar < scene.n_history
            markers.append(Marker(group, bar, rows[bar], is_past, ordered))
            rows[bar] += 1
    return markers


def add_events(
    sheet: Sheet, scene: Scene, events: Sequence[Event], *, compact: bool = False
) -> None:
    """Draw the rail, on a hidden axis that a zoom of prices does not move, and a line per bar.

    Events outside the bars are left out. Several of one shape on a bar share an icon and a hover
    box; different shapes stack.
    """
    markers = event_markers(scene, events)
    if not markers:
        return
    sheet.layout[RAIL_AXIS] = {
        "overlaying": "y",
        "anchor": "x",
        "range": [0, 1],
        "visible": False,
        "fixedrange": True,
    }
    origin = _origin(scene)
    _add_lines(sheet, markers)
    for group, look in _LOOKS.items():
        of_group = [marker for marker in markers if marker.group == group]
        if of_group:
            texts = [_hover(marker, scene.zone, origin) for marker in of_group]
            _add_icons(sheet, scene, of_group, texts, look, compact=compact)


def _add_lines(sheet: Sheet, markers: list[Marker]) -> None:
    """Lines from the lowest icon of each bar down, one path for each colour.

    A figure with one shape per line takes seconds to build.
    """
    lowest: dict[int, Marker] = {}
    for marker in markers:
        if marker.bar not in lowest or marker.row > lowest[marker.bar].row:
            lowest[marker.bar] = marker
    for group, look in _LOOKS.items():
        pieces = [
            f"M{marker.bar},0L{marker.bar},{_height(marker) - 0.02:.3f}"
            for marker in lowest.values()
            if marker.group == group
        ]
        if pieces:
            sheet.shape(
                "path", path="".join(pieces), xref="x", yref="y domain", layer="below",
                opacity=0.5, line={"color": look.colour, "width": 1, "dash": "dot"},
            )  # fmt: skip


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
    return f" Events within the horizon: {', '.join(named[:_MOST_NAMED])}{more}."


def _add_icons(
    sheet: Sheet,
    scene: Scene,
    markers: list[Marker],
    texts: list[str],
    look: _Look,
    *,
    compact: bool,
) -> None:
    hollow = f"{look.symbol}-open"
    sheet.trace(
        "scatter",
        x=[scene.labels[marker.bar] for marker in markers],
        y=[_height(marker) for marker in markers],
        yaxis="y9",
        mode="markers",
        marker={
            "symbol": [look.symbol if marker.is_past else hollow for marker in markers],
            "size": _icon_size(scene, compact=compact),
            "color": look.colour,
            "line": {"width": 1.8, "color": look.colour},
        },
        text=texts,
        hovertemplate="%{text}<extra></extra>",
        name=look.title,
        cliponaxis=False,
    )


def _icon_size(scene: Scene, *, compact: bool) -> float:
    """Size in pixels at which icons of neighbouring bars hardly overlap."""
    panel = 230 if compact else 820
    per_bar = panel / (scene.n_window + scene.horizon)
    return float(min(10.0, max(6.0, 0.85 * per_bar)))


def _height(marker: Marker) -> float:
    return _TOP - _STEP * marker.row


def _hover(marker: Marker, zone: str, origin: pd.Timestamp) -> str:
    parts = [_event_text(event, zone, origin) for event in marker.events[:_MOST_NAMED]]
    n_more = len(marker.events) - _MOST_NAMED
    return "<br>".join([*parts, f"and {n_more} more"] if n_more > 0 else parts)


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
