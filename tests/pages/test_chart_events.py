"""Events on the fan chart, read off the figure itself."""

from __future__ import annotations

import pandas as pd
import pytest

from kronos.events import Event, bundled_events
from pages.ui.chart.events import RAIL_AXIS, event_markers
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
    return {trace.name: trace for trace in figure.data if trace.yaxis == "y9"}


def test_shape_tells_the_kind_and_filling_past_from_scheduled(simulate):
    candles, forecast = simulate(**DAILY)
    events = [
        Event("cpi", at(40), "US", actual=0.4, consensus=0.3, unit="%"),
        Event("fomc", at(65), "US"),
        Event("earnings", at(30), symbol="ACME"),
        Event("earnings", at(70), symbol="ACME"),
        Event("news", at(20), symbol="ACME"),
        Event("split", at(21), symbol="ACME"),
        Event("gap", at(22), symbol="ACME"),
    ]
    traces = rail(fan_figure(candles, forecast, events=events))
    shown = {name: list(trace.marker.symbol) for name, trace in traces.items()}
    assert shown == {
        "Macro release": ["square", "square-open"],
        "Earnings": ["diamond", "diamond-open"],
        "News": ["circle"],
        "Split": ["triangle-up"],
        "Gap": ["x"],
    }


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
    past, coming = traces["Macro release"].text
    assert past == (
        "<b>CPI</b><br>11 Feb 2024 12:00 EST<br>"
        "actual 0.4% · consensus 0.5% · surprise −0.1% · previous 0.2%"
    )
    assert coming == "<b>FOMC decision</b><br>07 Mar 2024 12:00 EST, scheduled<br>consensus 4%"
    assert traces["Earnings"].text == ("<b>Earnings</b><br>08 Mar 2024, scheduled",)


def test_events_of_one_shape_on_one_bar_share_an_icon_and_a_hover_box(simulate):
    candles, forecast = simulate(**DAILY)
    events = [Event("gdp", at(40), "US"), Event("cpi", at(40, 10), "US")]
    events.append(Event("earnings", at(40, 16), symbol="ACME"))
    traces = rail(fan_figure(candles, forecast, events=events))
    (text,) = traces["Macro release"].text
    assert text.index("CPI") < text.index("GDP")  # by time
    (macro,), (earnings,) = traces["Macro release"].y, traces["Earnings"].y
    assert 0 < earnings < macro < 1  # stacked


def test_many_events_on_a_bar_are_counted(simulate):
    candles, forecast = simulate(**DAILY)
    events = [
        Event("news", at(40, hour), symbol="ACME", name=f"Item {hour}") for hour in range(1, 10)
    ]
    (text,) = rail(fan_figure(candles, forecast, events=events))["News"].text
    assert text.count("<b>") == 6
    assert text.endswith("and 3 more")


def test_what_nobody_had_announced_is_not_on_the_horizon(simulate):
    sudden = Event("fomc", at(62), "US", announced=at(62), actual=1.0)
    assert not rail(fan_figure(*simulate(**DAILY), events=[sudden]))
    # It is shown with the real bars, once they are known.
    (trace,) = rail(fan_figure(*simulate(**DAILY, n_known=5), events=[sudden])).values()
    assert list(trace.marker.symbol) == ["square-open"]
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
    (text,) = rail(fan_figure(candles, forecast, events=[evil]))["News"].text
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
            assert "Macro release" in rail(figure)
            assert len(figure.to_json()) < 1_000_000


def test_the_description_names_what_is_scheduled(simulate):
    candles, forecast = simulate(**DAILY)
    events = [Event("fomc", at(65), "US"), Event("cpi", at(40), "US")]
    text = chart_description(candles, forecast, events)
    assert text.endswith("Events within the horizon: FOMC decision at 07 Mar 24.")
    assert chart_description(candles, forecast) == text[: text.index(" Events within")]
