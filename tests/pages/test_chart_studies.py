"""Studies are those of the real bars: the known figures, up to the origin, on every axis."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from pages.ui.chart.figure import fan_figure
from pages.ui.chart.studies import RSI, STUDIES, Study
from tests.simulated import Simulate


def line(figure: go.Figure, name: str) -> np.ndarray:
    """What is drawn under a name, the first line of it."""
    return next(np.array(trace.y, dtype=float) for trace in figure.data if trace.name == name)


def drawn(simulate: Simulate, *studies: Study, **options: object) -> tuple[np.ndarray, go.Figure]:
    """Closes up to the origin, and the figure."""
    candles, forecast = simulate(n_bars=700, n_known=5)
    figure = fan_figure(candles, forecast, studies=studies, **options)
    go.Figure(figure.to_dict())  # valid for Plotly
    return candles.frame["close"].to_numpy()[:700], figure


def test_averages_are_those_of_the_closes_before(simulate: Simulate) -> None:
    closes, figure = drawn(simulate, "SMA 20", "SMA 200", "EMA 26")
    for bars in (20, 200):
        # The drawing begins 500 bars before the origin, where 200 earlier ones are known.
        expected = np.convolve(closes, np.full(bars, 1.0 / bars), "valid")[-500:]
        np.testing.assert_allclose(line(figure, f"SMA {bars}"), expected, rtol=1e-6)
    smoothed = closes[:26].mean()
    for close in closes[26:]:
        smoothed += 2.0 / 27.0 * (close - smoothed)
    assert line(figure, "EMA 26")[-1] == pytest.approx(smoothed, rel=1e-6)


def test_bollinger_bands_are_two_deviations_apart(simulate: Simulate) -> None:
    closes, figure = drawn(simulate, "Bollinger 20")
    upper, middle, lower = (
        np.array(trace.y, dtype=float)[-1] for trace in figure.data if trace.name == "Bollinger 20"
    )
    last = closes[-20:]
    assert middle == pytest.approx(last.mean(), rel=1e-6)
    assert upper - lower == pytest.approx(4.0 * last.std(), rel=1e-4)
    assert [t.showlegend for t in figure.data if t.name == "Bollinger 20"] == [True, False, False]


@pytest.mark.parametrize("has_volume", [True, False])
def test_rsi_has_a_panel_of_its_own(simulate: Simulate, *, has_volume: bool) -> None:
    candles, forecast = simulate(n_bars=300, has_volume=has_volume)
    without = fan_figure(candles, forecast)
    figure = fan_figure(candles, forecast, studies=(RSI,))
    trace = next(trace for trace in figure.data if trace.name == RSI)
    axis = figure.layout[f"yaxis{trace.yaxis[1:]}"]
    assert tuple(axis.range) == (0, 100)
    assert axis.fixedrange  # what moves the prices leaves it
    values = np.array(trace.y, dtype=float)
    closes = candles.frame["close"].to_numpy()
    gains, losses = np.clip(np.diff(closes), 0, None), np.clip(-np.diff(closes), 0, None)
    up, down = gains[:14].mean(), losses[:14].mean()
    for gain, loss in zip(gains[14:], losses[14:], strict=True):
        up, down = (13 * up + gain) / 14, (13 * down + loss) / 14
    assert values[-1] == pytest.approx(100 * up / (up + down), rel=1e-6)
    # The panel is below the others.
    n_before = sum(name.startswith("yaxis") for name in without.to_dict()["layout"])
    assert sum(name.startswith("yaxis") for name in figure.to_dict()["layout"]) == n_before + 1
    assert axis.domain[0] == pytest.approx(0.0)
    # The time axis stays on the first screen of a wide window; a phone scrolls.
    assert figure.layout.height == without.layout.height
    narrow = [fan_figure(candles, forecast, compact=True, studies=s) for s in ((), (RSI,))]
    assert narrow[0].layout.height < narrow[1].layout.height


def test_no_two_studies_are_drawn_alike(simulate: Simulate) -> None:
    _, figure = drawn(simulate, *STUDIES)
    lines = {t.name: (t.line.color, t.line.dash) for t in figure.data if t.name in STUDIES}
    assert len(set(lines.values())) == len(STUDIES)


def test_studies_end_at_the_origin_and_follow_the_axis(simulate: Simulate) -> None:
    closes, figure = drawn(simulate, *STUDIES, view="percent")
    for trace in figure.data:
        if trace.name in STUDIES:
            assert len(trace.x) == 500, trace.name
    expected = 100.0 * (closes[-20:].mean() / closes[-1] - 1.0)
    assert line(figure, "SMA 20")[-1] == pytest.approx(expected, abs=1e-6)


def test_a_study_begins_where_it_has_its_bars(simulate: Simulate) -> None:
    candles, forecast = simulate(n_bars=60)
    figure = fan_figure(candles, forecast, studies=STUDIES)
    values = line(figure, "SMA 50")
    assert np.isnan(values[:49]).all()
    assert np.isfinite(values[49:]).all()
    assert "SMA 200" not in [trace.name for trace in figure.data]
