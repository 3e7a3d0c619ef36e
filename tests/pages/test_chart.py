"""The fan chart's laws, read off the figure itself."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pages.ui.chart.figure import chart_description, fan_figure
from pages.ui.chart.layers import N_SAMPLE_PATHS, spread
from pages.ui.chart.scene import MAX_HISTORY, MAX_WINDOW, build_scene, price_decimals, unique_labels

VIEWS = ("price", "percent", "log")


def lines_of_the_fan(figure, origin_label):
    return [
        trace
        for trace in figure.data
        if trace.type == "scatter"
        and trace.mode == "lines"
        and trace.xaxis in (None, "x")
        and trace.x[0] == origin_label
    ]


def horizontal_bars(figure):
    return [t for t in figure.data if t.type == "bar" and t.orientation == "h"]


@pytest.mark.parametrize("view", VIEWS)
def test_everything_in_the_fan_starts_at_the_last_close(simulate, view):
    candles, forecast = simulate()
    scene = build_scene(candles, forecast, view=view)
    figure = fan_figure(candles, forecast, view=view)
    lines = lines_of_the_fan(figure, scene.fan_labels[0])
    assert len(lines) == 8  # two bands of two edges, two outlines, sample paths, median
    for line in lines:
        assert line.y[0] == pytest.approx(float(scene.scaled(forecast.last_close)))


@pytest.mark.parametrize("view", VIEWS)
def test_quantiles_rise_with_their_level_at_every_bar(simulate, view):
    candles, forecast = simulate()
    scene = build_scene(candles, forecast, view=view)
    rows = np.stack([scene.scaled(row) for row in scene.quantiles().values()])
    assert (np.diff(rows, axis=0) >= 0).all()


def test_sample_paths_are_one_trace_with_gaps(simulate):
    candles, forecast = simulate(n_paths=60)
    figure = fan_figure(candles, forecast)
    named = [trace for trace in figure.data if "sample paths" in (trace.name or "")]
    (trace,) = [trace for trace in named if trace.mode == "lines"]
    assert trace.name == f"{N_SAMPLE_PATHS} of 60 sample paths"
    assert list(trace.x).count(None) == N_SAMPLE_PATHS
    assert np.isnan(np.asarray(trace.y, dtype=float)).sum() == N_SAMPLE_PATHS


def test_the_legend_tells_bands_and_paths_apart_by_shape_and_switches_them(simulate):
    figure = fan_figure(*simulate())
    listed = {trace.name: trace for trace in figure.data if trace.showlegend is not False}
    swatches = [
        listed[name] for name in ("80% · p10–p90", "50% · p25–p75", "24 of 60 sample paths")
    ]
    looks = {(each.marker.symbol, each.marker.line.width > 0) for each in swatches}
    assert len(looks) == 3, "as fills of one hue they look alike"
    for swatch in swatches:
        drawn = [trace for trace in figure.data if trace.legendgroup == swatch.legendgroup]
        assert any(len(trace.x) > 1 for trace in drawn), "a click on the entry has to hide it"


def test_fewer_paths_than_usual_are_all_shown(simulate):
    candles, forecast = simulate(n_paths=3)
    assert any(t.name == "3 of 3 sample paths" for t in fan_figure(candles, forecast).data)


def test_category_labels_are_unique_and_in_order(simulate):
    candles, forecast = simulate()
    figure = fan_figure(candles, forecast)
    labels = figure.layout.xaxis.categoryarray
    assert figure.layout.xaxis.type == "category"
    assert len(set(labels)) == len(labels) == min(300, MAX_HISTORY) + 24


def test_an_hour_repeated_by_a_clock_change_keeps_two_bars():
    stamps = pd.date_range("2024-11-03 04:00", periods=6, freq="30min", tz="UTC")
    wall = stamps.tz_convert("America/New_York").tz_localize(None)
    labels = unique_labels(wall, dated=False)
    assert len(set(labels)) == 6
    assert "03 Nov 01:00 (2)" in labels


def test_daily_labels_are_the_exchange_dates(simulate):
    candles, forecast = simulate(
        begin="2024-01-02 05:00", freq="24h", interval="1d", zone="America/New_York", n_bars=60
    )
    assert build_scene(candles, forecast, view="price").labels[0] == "02 Jan 24"


def test_only_bars_up_to_the_origin_are_history(simulate):
    candles, forecast = simulate(n_known=10)
    scene = build_scene(candles, forecast, view="price")
    assert scene.history.index[-1] == forecast.origin
    assert scene.actual["close"].notna().sum() == 10
    expected = candles.frame["close"].iloc[300:]
    np.testing.assert_allclose(scene.actual["close"].dropna(), expected)


def test_actual_closes_are_drawn_where_known(simulate):
    candles, forecast = simulate(n_known=10)
    trace = next(t for t in fan_figure(candles, forecast).data if t.name == "Actual close")
    assert np.isfinite(np.asarray(trace.y, dtype=float)).sum() == 11  # and the last close
    without = fan_figure(*simulate(n_known=0))
    assert not any(t.name == "Actual close" for t in without.data)


def test_real_bars_are_matched_by_time_not_by_place(simulate):
    candles, forecast = simulate(n_known=10)
    gap = candles.frame.drop(candles.frame.index[302])
    with_gap = type(candles)(gap, "30m", "UTC", "24/7", "X", "simulated")
    actual = build_scene(with_gap, forecast, view="price").actual["close"].to_numpy()
    assert np.isnan(actual[2])
    assert actual[3] == candles.frame["close"].iloc[303]


def test_opening_window_is_twice_the_horizon_but_not_less_than_55_bars(simulate):
    for horizon, bars in ((10, 55), (60, 120)):
        scene = build_scene(*simulate(horizon=horizon), view="price")
        assert scene.n_history - 1 - scene.first_visible == bars


@pytest.mark.parametrize("view", VIEWS)
def test_price_range_holds_every_visible_bar_and_the_fan(simulate, view):
    scene = build_scene(*simulate(n_known=24), view=view)
    bottom, top = scene.price_range()
    visible = scene.history.iloc[scene.first_visible :]
    for price in (visible["low"].min(), visible["high"].max(), *scene.quantiles()[0.9]):
        assert bottom < scene.on_axis(float(price)) < top


def test_figure_follows_the_theme(simulate):
    figure = fan_figure(*simulate(n_known=5))
    assert (figure.layout.paper_bgcolor, figure.layout.plot_bgcolor) == (None, "rgba(0,0,0,0)")
    assert figure.layout.font.color is None
    assert figure.layout.title.font.color is None
    coloured = [a.text for a in figure.layout.annotations if a.font.color is not None]
    assert len(coloured) == 1
    assert "p50" in coloured[0]  # white on its own pill


def test_text_from_files_is_escaped(simulate):
    candles, forecast = simulate(symbol="<img src=x onerror=alert(1)>", model="<b>evil</b>")
    text = fan_figure(candles, forecast).to_json()
    assert "<img" not in text
    assert "\\u003cimg" not in text
    assert "&lt;img" in text
    assert "<b>evil" not in text
    assert "\\u003cb\\u003eevil" not in text


@pytest.mark.parametrize("horizon", [24, 240])
def test_figure_stays_small(simulate, horizon):
    candles, forecast = simulate(n_bars=520, n_paths=60, horizon=horizon)
    assert len(fan_figure(candles, forecast).to_json()) < 1_000_000


def test_without_volume_there_is_no_volume_panel(simulate):
    figure = fan_figure(*simulate(has_volume=False))
    assert not any(a.text == "volume" for a in figure.layout.annotations)
    assert sum(t.type == "bar" for t in figure.data) == len(horizontal_bars(figure)) == 1


def test_without_a_forecast_only_candles_are_drawn(simulate):
    candles, _ = simulate()
    figure = fan_figure(candles)
    assert {trace.name for trace in figure.data} == {"Bars", "", "Volume"}
    assert not figure.layout.shapes


def test_percent_view_measures_from_the_last_close(simulate):
    candles, forecast = simulate()
    scene = build_scene(candles, forecast, view="percent")
    assert float(scene.scaled(forecast.last_close * 1.05)) == pytest.approx(5.0)


def test_distribution_counts_every_path(simulate):
    candles, forecast = simulate(n_paths=60)
    (histogram,) = horizontal_bars(fan_figure(candles, forecast))
    assert sum(histogram.x) == 60
    assert not horizontal_bars(fan_figure(candles, forecast, view="log"))


def test_equal_paths_can_be_drawn(simulate):
    candles, forecast = simulate(volatility=1e-12, n_paths=5)
    for view in VIEWS:
        for compact in (False, True):
            assert fan_figure(candles, forecast, view=view, compact=compact).data


def test_hover_names_every_quantile_once(simulate):
    figure = fan_figure(*simulate())
    templates = [t.hovertemplate for t in figure.data if t.hovertemplate]
    fan = [t for t in templates if "P(above last close)" in t]
    assert len(fan) == 1
    assert [len(re.findall(name, fan[0])) for name in ("p90", "p75", "p50", "p25", "p10")] == [
        1
    ] * 5
    assert all(t.hoverinfo == "skip" or t.hovertemplate for t in figure.data)


def test_description_says_what_the_chart_shows(simulate):
    candles, forecast = simulate()
    text = chart_description(candles, forecast)
    assert "60 simulated paths over 24 bars" in text
    assert "80% of paths lie between" in text
    assert "BTCUSD" in chart_description(candles, None)


@pytest.mark.parametrize(
    ("closes", "decimals"),
    [
        ([9551.2, 9532.0], 2),
        ([1.14149, 1.14196], 5),
        ([0.0712345678, 0.0723456789], 7),
        ([151.2, 150.1], 2),
        ([0.00001234, 0.00001229], 8),
        ([1.23456789e-10, 1.2298765e-10], 15),
    ],
)
def test_prices_show_as_many_decimals_as_they_need(closes, decimals):
    assert price_decimals(np.array(closes)) == decimals


@settings(max_examples=100, deadline=None)
@given(arrays(float, st.integers(1, 8), elements=st.floats(-50, 450)))
def test_labels_are_spread_in_order_within_the_panel(wanted):
    placed = spread(wanted, gap=26.0, limit=400.0)
    ordered = placed[np.argsort(wanted, kind="stable")]
    assert (np.diff(ordered) >= 26.0 - 1e-6).all()
    assert ordered[0] >= -1e-6
    assert ordered[-1] <= 400.0 + 1e-6


def test_labels_with_room_stay_where_they_are():
    np.testing.assert_allclose(
        spread(np.array([10.0, 200.0, 90.0]), gap=26, limit=400), [10, 200, 90]
    )


@pytest.mark.parametrize(("window", "days"), [("1M", 31), ("3M", 91), ("6M", 182)])
def test_a_window_reaches_back_by_the_calendar(simulate, window, days):
    candles, forecast = simulate(n_bars=4000, freq="1D", interval="1d", begin="2009-01-01")
    scene = build_scene(candles, forecast, view="price", window=window)
    first = scene.history.index[scene.first_visible]
    assert abs((forecast.origin - first).days - days) <= 2


def test_all_shows_every_bar_up_to_what_a_browser_draws(simulate):
    candles, forecast = simulate(n_bars=900)
    scene = build_scene(candles, forecast, view="price", window="all")
    assert (scene.n_history, scene.first_visible) == (900, 0)
    many, forecast = simulate(n_bars=MAX_WINDOW + 500)
    scene = build_scene(many, forecast, view="price", window="all")
    assert scene.n_history == MAX_WINDOW + 1


def test_layers_can_be_left_out(simulate):
    candles, forecast = simulate()
    names = {
        shown: {trace.name for trace in fan_figure(candles, forecast, shown=shown).data}
        for shown in (("bands", "paths"), ("bands",), ("paths",), ())
    }
    bands, paths = "80% · p10–p90", "24 of 60 sample paths"
    assert {bands, paths, "Median"} <= names["bands", "paths"]
    assert names["bands", "paths"] - names["bands",] == {paths}
    assert bands not in names["paths",]
    assert "Median" in names[()]


@pytest.mark.parametrize("unit", [1e-7, 1e-14])
def test_bars_of_small_prices_keep_their_digits(simulate, unit):
    candles, _ = simulate()
    frame = candles.frame.copy()
    frame[["open", "high", "low", "close"]] *= unit
    small = replace(candles, frame=frame)
    (hover,) = (t for t in fan_figure(small, None, view="price").data if t.customdata is not None)
    shown = np.array(hover.customdata)[:, 3].astype(float)
    np.testing.assert_allclose(shown, frame["close"].iloc[-len(shown) :], rtol=1e-5)
