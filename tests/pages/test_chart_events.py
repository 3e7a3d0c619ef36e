"""Events on the fan chart, read off the figure itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kronos.events import COLOURS, KINDS, MACRO, Event, bundled_events
from pages.ui.chart.events import (
    RAIL_AXIS,
    event_markers,
    events_legend,
    wide_bars_text,
    widest_bar,
)
from pages.ui.chart.figure import chart_description, fan_figure
from pages.ui.chart.scene import build_scene

BEGIN = "2024-01-02 05:00"  # midnight in New York
DAILY = {
    "begin": BEGIN, "freq": "24h", "interval": "1d", "zone": "America/New_York", "n_bars": 60,
    "horizon": 20, "symbol": "ACME",
}  # fmt: skip


def at(day: int, hours: float = 12.0) -> pd.Timestamp:
    """A moment of the day with this number; bar 59 is the last before the origin."""
    moment = pd.Timestamp(BEGIN, tz="UTC") + pd.Timedelta(days=day, hours=hours)
    return moment.as_unit("ns")


def rail(figure):
    return {
        trace.name: trace
        for trace in figure.data
        if trace.yaxis == "y9" and trace.mode == "markers"
    }


def letters(figure):
    """The letters by bar label."""
    traces = [trace for trace in figure.data if trace.yaxis == "y9" and trace.mode == "text"]
    return {x: text for trace in traces for x, text in zip(trace.x, trace.text, strict=True)}


EVERY_KIND = [
    Event(kind, at(20 + 4 * i), region, symbol, name)
    for i, (kind, region, symbol, name) in enumerate(
        [
            *((kind, "US", "", "") for kind in MACRO),
            *((kind, "", "ACME", "") for kind in ("earnings", "news", "split", "gap")),
            ("other", "", "ACME", "Party"),
        ]
    )
]


def test_shape_and_letter_tell_the_kind_and_filling_past_from_scheduled(simulate):
    figure = fan_figure(*simulate(**DAILY), events=EVERY_KIND)
    traces = rail(figure)
    shown = {name: [*trace.marker.symbol] for name, trace in traces.items()}
    assert shown == {
        "F FOMC decision": ["hexagon"],
        "C CPI": ["square"],
        "J Payrolls": ["pentagon"],
        "G GDP": ["octagon"],
        "P PCE price index": ["diamond-wide"],
        "R Rate decision": ["hexagon2"],
        "E Earnings": ["diamond"],
        "N News": ["circle"],
        "S Split": ["triangle-up"],
        "Gap": ["x"],
        "P Party": ["star-open"],
    }
    assert len({tuple(trace.marker.symbol) for trace in traces.values()}) == len(KINDS)
    assert [*letters(figure).values()][:3] == ["<b>F</b>", "<b>C</b>", "<b>J</b>"]


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_letters_read_on_their_icons_and_icons_on_both_grounds(simulate):
    others = [
        Event("other", at(3 * i), symbol="ACME", name=f"{c} day", colour=c)
        for i, c in enumerate(COLOURS)
    ]
    figure = fan_figure(*simulate(**DAILY), events=[*EVERY_KIND, *others])
    colours = {x: trace.marker.color for trace in rail(figure).values() for x in trace.x}
    inks = [trace for trace in figure.data if trace.yaxis == "y9" and trace.mode == "text"]
    for trace in inks:
        for bar, text in zip(trace.x, trace.text, strict=True):
            if trace.textfont.color and text != "<b></b>":
                assert contrast(trace.textfont.color, colours[bar]) >= 4.5, (bar, text)
    # Icons are shapes, not text: light ground and dark ground of the themes.
    assert all(contrast(colour, "#0E1117") >= 3 for colour in colours.values())
    assert all(contrast(colour, "#FFFFFF") >= 2.4 for colour in colours.values())
    hollow = [trace for trace in inks if not trace.textfont.color]
    assert hollow, "letters of hollow icons have the colour of the page's text"


def test_an_event_of_ones_own_has_its_name_and_colour(simulate):
    events = [
        Event("other", at(40), symbol="ACME", name="Ex-dividend day", colour="red"),
        Event("other", at(41), symbol="ACME", name="<b>launch</b>", colour="green"),
        Event("other", at(42), symbol="ACME", name="x" * 60),
    ]
    traces = rail(fan_figure(*simulate(**DAILY), events=events))
    assert sorted(traces) == [
        "B &lt;b&gt;launch&lt;/b&gt;", "E Ex-dividend day", f"X {'x' * 23}…",
    ]  # fmt: skip
    assert len({trace.marker.color for trace in traces.values()}) == 3


def test_icons_that_would_overlap_stand_below_one_another(simulate):
    candles, forecast = simulate(**DAILY | {"n_bars": 300, "horizon": 60})
    events = [Event("news", at(200 + i), symbol="ACME", name=str(i)) for i in range(5)]
    (trace,) = rail(fan_figure(candles, forecast, events=events)).values()
    assert len(set(trace.y)) > 1
    (still,) = rail(fan_figure(candles, forecast, events=[events[0], Event(
        "news", at(250), symbol="ACME", name="late")])).values()  # fmt: skip
    assert len(set(still.y)) == 1


def test_a_crowd_of_events_has_small_icons_without_letters(simulate):
    candles, forecast = simulate(**DAILY | {"n_bars": 480})
    events = [
        Event(kind, at(i), "US") for i in range(480) for kind in ("cpi", "gdp", "pce", "fomc")
    ]
    figure = fan_figure(candles, forecast, events=events, window="all")
    assert not letters(figure)
    assert {len(trace.x) for trace in rail(figure).values()} == {480}
    assert max(trace.marker.size for trace in rail(figure).values()) <= 10


def test_a_chart_without_a_legend_says_it_in_words(simulate):
    scene = build_scene(*simulate(**DAILY), view="price")
    text = events_legend(scene, [Event("cpi", at(40), "US"), Event("fomc", at(65), "US")])
    assert text == "Events: F FOMC decision, C CPI. Filled: past. Hollow: scheduled."
    assert events_legend(scene, []) == ""


def test_an_event_stands_on_the_bar_of_its_date(simulate):
    candles, forecast = simulate(**DAILY)
    scene = build_scene(candles, forecast, view="price")
    figure = fan_figure(candles, forecast, events=[Event("cpi", at(40), "US")])
    (trace,) = rail(figure).values()
    assert list(trace.x) == [scene.labels[40]] == ["11 Feb 24"]
    (line,) = [shape for shape in figure.layout.shapes if shape.type == "path"]
    assert line.path.startswith("M40,0L40,0.9")
    assert (line.yref, line.line.dash, line.layer) == ("y domain", "dot", "below")


def test_a_release_while_the_market_is_shut_stands_on_the_first_bar_after(simulate):
    candles, _ = simulate(
        begin="2024-03-11 13:30", freq="30min", interval="30m", n_bars=60, horizon=4,
        zone="America/New_York",
    )  # fmt: skip
    hours = candles.local_index.hour * 60 + candles.local_index.minute
    in_session = candles.frame[(hours >= 570) & (hours < 960)]
    stock = type(candles)(in_session, "30m", "America/New_York", "XNYS", "ACME", "numbers")
    scene = build_scene(stock, None, view="price")
    release = pd.Timestamp("2024-03-12 08:30", tz="America/New_York").tz_convert("UTC")
    (marker,) = event_markers(scene, [Event("cpi", release.as_unit("ns"), "US")])
    assert stock.local_index[marker.bar] == pd.Timestamp("2024-03-12 09:30", tz="America/New_York")


def test_hover_names_time_actual_consensus_and_surprise(simulate):
    candles, forecast = simulate(**DAILY)
    events = [
        Event("cpi", at(40), "US", name="CPI", actual=0.4, consensus=0.5, previous=0.2, unit="%"),
        Event("fomc", at(65), "US", consensus=4.0, unit="%"),
        Event("earnings", at(66), symbol="ACME", is_time_exact=False),
    ]
    traces = rail(fan_figure(candles, forecast, events=events))
    (past,), (coming,) = traces["C CPI"].text, traces["F FOMC decision"].text
    assert past == (
        "<b>CPI</b><br>11 Feb 2024 12:00 EST<br>"
        "actual 0.4% · consensus 0.5% · surprise −0.1% · previous 0.2%"
    )
    assert coming == "<b>FOMC decision</b><br>07 Mar 2024 12:00 EST, scheduled<br>consensus 4%"
    assert traces["E Earnings"].text == ("<b>Earnings</b><br>08 Mar 2024, scheduled",)


def test_events_of_one_kind_on_one_bar_share_an_icon_and_a_hover_box(simulate):
    candles, forecast = simulate(**DAILY)
    events = [
        Event("rate_decision", at(40), "US", name="later"),
        Event("rate_decision", at(40, 10), "EU", name="earlier"),
        Event("earnings", at(40, 16), symbol="ACME"),
    ]
    traces = rail(fan_figure(candles, forecast, events=events))
    (text,) = traces["R Rate decision"].text
    assert text.index("earlier") < text.index("later")
    (macro,), (earnings,) = traces["R Rate decision"].y, traces["E Earnings"].y
    assert 0 < earnings < macro < 1  # stacked


def test_many_events_on_a_bar_are_counted(simulate):
    candles, forecast = simulate(**DAILY)
    events = [
        Event("news", at(40, hour), symbol="ACME", name=f"Item {hour}") for hour in range(1, 10)
    ]
    (text,) = rail(fan_figure(candles, forecast, events=events))["N News"].text
    assert text.count("<b>") == 6
    assert text.endswith("and 3 more")


def test_what_nobody_had_announced_is_not_on_the_horizon(simulate):
    sudden = Event("fomc", at(62), "US", announced=at(62), actual=1.0)
    assert not rail(fan_figure(*simulate(**DAILY), events=[sudden]))
    # It is shown with the real bars, once they are known.
    (trace,) = rail(fan_figure(*simulate(**DAILY, n_known=5), events=[sudden])).values()
    assert list(trace.marker.symbol) == ["hexagon-open"]
    assert "unscheduled" in trace.text[0]


def test_events_off_the_bars_change_nothing(simulate):
    candles, forecast = simulate(**DAILY)
    far = [Event("cpi", at(-5), "US"), Event("cpi", at(90), "US")]
    assert fan_figure(candles, forecast, events=far) == fan_figure(candles, forecast)


@pytest.mark.parametrize("view", ["price", "percent", "log"])
def test_zooming_prices_leaves_the_rail_where_it_is(simulate, view):
    figure = fan_figure(*simulate(**DAILY), view=view, events=[Event("cpi", at(40), "US")])
    axis = figure.layout[RAIL_AXIS]
    assert (axis.overlaying, tuple(axis.range), axis.visible, axis.fixedrange) == (
        "y", (0, 1), False, True,
    )  # fmt: skip


def test_text_of_events_is_escaped(simulate):
    candles, forecast = simulate(**DAILY)
    evil = Event("news", at(40), symbol="X", name="<img src=x onerror=alert(1)>", unit="<b>")
    (text,) = rail(fan_figure(candles, forecast, events=[evil]))["N News"].text
    assert "<img" not in text
    assert "&lt;img" in text


def test_the_bundled_table_can_be_drawn_in_every_form(simulate):
    events = [event for event in bundled_events() if event.region == "US"]
    for with_forecast in (True, False):
        candles, forecast = simulate(**DAILY | {"n_bars": 500})
        for compact in (True, False):
            figure = fan_figure(
                candles, forecast if with_forecast else None, events=events, compact=compact
            )
            assert "C CPI" in rail(figure)
            assert len(figure.to_json()) < 1_000_000


def test_the_description_names_what_is_scheduled(simulate):
    candles, forecast = simulate(**DAILY)
    events = [Event("fomc", at(65), "US"), Event("cpi", at(40), "US")]
    text = chart_description(candles, forecast, events)
    assert text.endswith("Events within the horizon: FOMC decision at 07 Mar 24.")
    assert chart_description(candles, forecast) == text[: text.index(" Events within")]


def widened(forecast, bar, times):
    """The forecast of a model that read events, with one bar's move stretched about 0."""
    moves = np.diff(forecast.log_returns(), axis=1, prepend=0.0)
    moves[:, bar] *= times
    factor = np.exp(np.cumsum(moves, axis=1)) * forecast.last_close / forecast.column("close")
    paths = forecast.paths.copy()
    paths[..., :4] *= factor[..., None]
    return replace(forecast, paths=paths, events_hash="0" * 64)


def test_a_bar_that_an_event_widens_says_by_how_much(simulate):
    candles, forecast = simulate(**DAILY, n_paths=1000)
    events = [Event("cpi", at(65), "US"), Event("fomc", at(70), "US")]
    wide = widened(forecast, 5, 2.5)
    scene = build_scene(candles, wide, view="price")
    text = wide_bars_text(scene, events)
    found, error = wide.bar_widths(np.isin(np.arange(20), (5, 10), invert=True))
    assert found[5] == pytest.approx(2.5, rel=0.15)
    assert error[5] < 0.2
    named = f"{found[5]:.1f} ± {error[5]:.1f} × a usual bar"
    assert text == f"Wide bars expected. CPI, {scene.labels[65]}: {named}."
    # The strip has no room for the title of a release: the kind names it.
    titled = [replace(events[0], name="CPI, m/m (Oct)"), events[1]]
    assert widest_bar(scene, titled) == (
        f"CPI, {scene.labels[65]}",
        named.removesuffix(" × a usual bar"),  # the label of the number has the sign
    )
    figure = fan_figure(candles, wide, events=events)
    assert f" <b>{found[5]:.1f}×</b>" in letters(figure).values()
    assert rail(figure)["C CPI"].text[0].endswith(f"Expected: {named}")
    assert "Expected" not in rail(figure)["F FOMC decision"].text[0]
    assert chart_description(candles, wide, events).endswith(text)


def test_no_bar_is_called_wide_without_a_cause(simulate):
    candles, forecast = simulate(**DAILY, n_paths=1000)
    events = [Event("cpi", at(65), "US")]
    wide = widened(forecast, 5, 2.5)
    # The model read no events; the event is on a usual bar; too few usual bars to compare with.
    unread = replace(wide, events_hash=None)
    usual = widened(forecast, 5, 1.0)
    crowd = [Event("news", at(60 + day), symbol="ACME") for day in range(18)]
    for fan, shown in ((unread, events), (usual, events), (wide, [*events, *crowd])):
        shown = [replace(event, announced=at(10)) for event in shown]
        assert wide_bars_text(build_scene(candles, fan, view="price"), shown) == ""


def test_widths_of_a_fan_without_moves_are_unknown(simulate):
    _, forecast = simulate(**DAILY)
    flat = replace(forecast, paths=np.full_like(forecast.paths, forecast.last_close))
    every = np.ones(20, dtype=bool)
    for fan, usual in ((flat, every), (forecast, ~every)):
        assert np.isnan(fan.bar_widths(usual)[0]).all()
