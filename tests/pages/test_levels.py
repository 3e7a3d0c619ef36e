"""Levels of the visitor's own: their text, their lines, and what a browser may say about them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pages.ui.chart import levels
from pages.ui.chart.figure import fan_figure
from pages.ui.chart.layers import Overlay
from tests.pages.app_driver import charts, new_session, run_until, words
from tests.pages.test_forecast_page import has_forecast


@pytest.mark.parametrize(
    ("text", "found", "bad"),
    [
        ("", (), []),
        ("8300 8450.5", (8300.0, 8450.5), []),
        (" 8450; 8300,\n8300 ", (8300.0, 8450.0), []),
        ("8,300", (), ["8,300"]),
        ("8,300.00, 12,345,678.5", (8300.0, 12345678.5), []),
        ("8,30.00 08,300.0", (), ["8,30.00", "08,300.0"]),
        ("nan inf -5 0 1e400 x", (), ["nan", "inf", "-5", "0", "1e400", "x"]),
        ("1 2 3 4 5 6 7 8 9", tuple(map(float, range(1, 9))), ["9"]),
    ],
)
def test_a_text_is_read_as_prices(text, found, bad):
    assert levels.read_levels(text) == (found, bad)
    assert levels.read_levels(levels.levels_text(found)) == (found, [])


@pytest.mark.parametrize("view", ["price", "percent", "log"])
def test_a_level_is_a_line_with_its_touch_probability(simulate, view):
    candles, forecast = simulate(n_paths=50)
    level = forecast.last_close * 1.01
    figure = fan_figure(candles, forecast, view=view, levels=[level])
    (note,) = (a for a in figure.layout.annotations if "P(touch)" in a.text)
    assert f"P(touch) {forecast.probability_touch(level):.0%}" in note.text
    assert "+1.0%" in note.text
    (line,) = (shape for shape in figure.layout.shapes if shape.line.dash == "longdash")
    expected = {"price": level, "percent": 1.0, "log": level}[view]
    assert line.y0 == line.y1 == pytest.approx(expected)


@pytest.mark.parametrize("view", ["price", "percent", "log"])
def test_the_label_of_a_level_stands_where_it_covers_fewer_bars(simulate, view):
    candles, forecast = simulate(n_bars=200, n_paths=50)
    frame = candles.frame.copy()
    # The first bars in sight are at another price than all others.
    frame.iloc[:-10, :4] = frame.iloc[:-10, :4] * 0.9
    candles = replace(candles, frame=frame)
    among = float(frame["close"].iloc[-50:-30].mean())
    figure = fan_figure(candles, forecast, view=view, levels=[among, forecast.last_close * 1.2])
    notes = {a.text[:4]: a for a in figure.layout.annotations if a.name == "level"}
    sides = [(a.x, a.xanchor) for _, a in sorted(notes.items(), key=lambda each: each[1].y)]
    assert sides == [(1, "right"), (0, "left")]


def test_the_read_out_has_levels_studies_and_lines_at_every_bar(simulate):
    candles, forecast = simulate(n_bars=120, n_paths=50)
    above, below = forecast.last_close * 1.01, forecast.last_close * 0.99
    edge = Overlay("edge", forecast.quantile((0.05, 0.95)), "dot")
    figure = fan_figure(
        candles, forecast, levels=[above, below], overlays=[edge],
        studies=["SMA 50", "Bollinger 20", "RSI 14"],
    )  # fmt: skip
    hovers = [trace for trace in figure.data if "%{text}<extra>" in (trace.hovertemplate or "")]
    (bars,) = (trace for trace in hovers if "O %{" in trace.hovertemplate)
    (ahead,) = (trace for trace in hovers if "bar +" in trace.hovertemplate)
    assert len(bars.text) == 120
    assert "SMA" not in bars.text[48]
    mean = candles.frame["close"].iloc[:50].mean()
    assert f"<br>SMA 50 {mean:,.2f}<br>Bollinger 20 " in bars.text[49]
    assert bars.text[-1].endswith(f"<br>{above:,.2f} +1.0%<br>{below:,.2f} −1.0%")
    low, high = edge.rows[:, -1]
    assert f"<br>edge {low:,.2f} · {high:,.2f}<br>" in ahead.text[-1]
    for level in (above, below):
        share = forecast.probability_touch(level)
        assert f"<br>{level:,.2f} P(touch) by then {share:.0%}" in ahead.text[-1]
    first = (forecast.column("high")[:, 0] >= above).mean()
    assert f"<br>{above:,.2f} P(touch) by then {first:.0%}<br>" in ahead.text[0]


def test_levels_without_a_fan_have_no_probability(simulate):
    candles, _ = simulate()
    level = float(candles.frame["close"].iloc[-1])
    texts = [a.text for a in fan_figure(candles, levels=[level]).layout.annotations]
    assert any("+0.0%" in text for text in texts)
    assert not any("P(touch)" in text for text in texts)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"add": 8450.123}, "8300 8450.12 8500"),
        ({"remove": 8499.0}, "8300"),
        ({"add": float("nan")}, "8300 8500"),
        ({"add": -5}, "8300 8500"),
        ({"add": True}, "8300 8500"),
        ({"add": "8400"}, "8300 8500"),
        (None, "8300 8500"),
        ([1], "8300 8500"),
    ],
)
def test_what_the_chart_reports_is_checked(change, text, monkeypatch):
    state = {levels.KEY: "8300 8500"}
    monkeypatch.setattr(levels.st, "session_state", state)
    levels.take_from_chart(change, decimals=2)
    assert state.get(levels.KEY) == text


def test_the_link_holds_levels_until_another_instrument_is_opened():
    app = new_session("forecast", horizon=4, paths=10, levels="8300 wrong 7900.5").run()
    run_until(app, has_forecast)
    assert app.text_input(key="levels").value == "8300 wrong 7900.5"
    assert "No level: wrong" in words(app)
    shapes = json.loads(charts(app)[0])["layout"]["shapes"]
    drawn = [shape["y0"] for shape in shapes if shape["line"].get("dash") == "longdash"]
    assert drawn == [7900.5, 8300.0]
    app.text_input(key="levels").set_value("8000").run()
    app.selectbox(key="data").select_index(3).run()
    assert app.title[0].value.startswith("ETHUSD")
    assert app.text_input(key="levels").value == ""


@pytest.mark.parametrize(
    ("shape", "kinds"), [("candles", {"candlestick"}), ("bars", {"ohlc"}), ("line", set())]
)
def test_bars_have_three_shapes(simulate, shape, kinds):
    figure = fan_figure(*simulate(n_known=5), shape=shape)
    assert {t.type for t in figure.data} & {"candlestick", "ohlc"} == kinds
    assert any(t.name == "Close" for t in figure.data) == (shape == "line")
    assert any(t.name == "Actual close" for t in figure.data)
    assert sum(bool(t.customdata is not None) for t in figure.data) >= 2, "the hovers stay"
