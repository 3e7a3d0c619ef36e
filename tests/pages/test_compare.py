"""Laws of a comparison's figures and tables, read off themselves."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from kronos.evaluation.cone import ewma_volatility
from pages.ui.chart import style
from pages.ui.chart.panels import (
    COLOURS,
    DASHES,
    Contender,
    compare_description,
    overlay_figure,
    panel_figure,
)
from pages.ui.chart.scene import build_scene
from pages.ui.compare.text import (
    Cost,
    horizon_table,
    model_table,
    past_scores,
    verdict_text,
)
from pages.ui.inputs.controls import bars_on_offer, default_bars

VIEWS = ("price", "percent", "log")


def widened(forecast, factor):
    """The forecast with its closes moved away from the last close, in log-returns."""
    paths = forecast.last_close * (forecast.paths[..., :4] / forecast.last_close) ** factor
    return dataclasses.replace(
        forecast, paths=np.concatenate([paths, forecast.paths[..., 4:]], axis=-1)
    )


@pytest.fixture
def compared(simulate):
    """Candles whose horizon is known in part, and three fans: as made, wider, narrower."""
    candles, forecast = simulate(n_known=10)
    fans = (forecast, widened(forecast, 2.0), widened(forecast, 0.3))
    return candles, [Contender(i, f"Model {i}", fan) for i, fan in enumerate(fans)]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("compact", [False, True])
def test_panels_share_one_price_axis_that_holds_every_fan(compared, view, compact):
    candles, contenders = compared
    figure = panel_figure(candles, contenders, view=view, compact=compact)
    axes = [figure.layout.yaxis, figure.layout.yaxis2, figure.layout.yaxis3]
    assert len({tuple(axis.range) for axis in axes}) == 1
    assert all(axis.matches == "y" for axis in axes[1:])
    assert len({tuple(axis.domain) for axis in axes}) == (3 if compact else 1)
    bottom, top = axes[0].range
    for contender in contenders:
        scene = build_scene(candles, contender.forecast, view=view)
        low, high = scene.price_range()
        assert bottom <= low < high <= top


def test_every_panel_has_the_layers_of_its_own_fan(compared):
    candles, contenders = compared
    figure = panel_figure(candles, contenders, view="price")
    for number, contender in zip(("", "2", "3"), contenders, strict=True):
        own = [trace for trace in figure.data if trace.xaxis == f"x{number}"]
        assert all(trace.yaxis == f"y{number}" for trace in own)
        (median,) = [trace for trace in own if trace.name == "Median"]
        wanted = np.median(contender.forecast.column("close"), axis=0)
        np.testing.assert_allclose(median.y[1:], wanted, rtol=1e-7)
        zone = [shape for shape in figure.layout.shapes if shape.xref == f"x{number}"]
        assert {shape.yref for shape in zone} == {f"y{number}", f"y{number} domain"}
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert len(shown) == len(set(shown)) == 5


def test_an_overlay_has_a_median_and_a_band_of_each_with_its_own_colour_and_dash(compared):
    candles, contenders = compared
    figure = overlay_figure(candles, contenders, view="price")
    filled = [trace for trace in figure.data if trace.type == "scatter" and trace.fill]
    assert [trace.fillcolor for trace in filled] == [
        style.faded(COLOURS[contender.place], 0.10) for contender in contenders
    ]
    for band in filled:  # from p10, the trace before it, up to p90
        below = figure.data[figure.data.index(band) - 1]
        assert band.fill == "tonexty"
        assert (np.array(below.y[1:]) < np.array(band.y[1:])).all()
    for contender in contenders:
        lines = [trace for trace in figure.data if trace.legendgroup == contender.letter]
        assert {line.line.dash for line in lines} == {DASHES[contender.place]}
        assert {line.line.color for line in lines} == {COLOURS[contender.place]}
        wanted = contender.forecast.quantile((0.1, 0.9, 0.5))
        for line, row in zip(lines, wanted, strict=True):
            assert line.y[0] == pytest.approx(contender.forecast.last_close)
            np.testing.assert_allclose(line.y[1:], row)
    assert len(set(DASHES)) == len(set(COLOURS)) == 4
    (carrier,) = [trace for trace in figure.data if trace.text is not None]
    assert len(carrier.text) == 24
    assert carrier.text[9].count("p50") == 3
    assert "Actual close" in carrier.text[9]
    assert "Actual close" not in carrier.text[10]


def test_a_place_keeps_its_letter_and_dash_when_another_is_left_out(compared):
    candles, (first, _, third) = compared
    figure = overlay_figure(candles, [first, third], view="price")
    letters = [note.text for note in figure.layout.annotations if note.text.startswith("<b>")]
    assert letters == ["<b>A</b>", "<b>C</b>"]
    dashes = {trace.line.dash for trace in figure.data if trace.legendgroup == "C"}
    assert dashes == {DASHES[2]}


def test_names_from_outside_are_no_markup(compared):
    candles, contenders = compared
    evil = [Contender(0, "<b onclick=x>", contenders[0].forecast), contenders[1]]
    for draw in (panel_figure, overlay_figure):
        text = draw(candles, evil, view="price").to_json()
        assert "onclick" in text
        assert "<b onclick" not in text
        assert "\\u003cb onclick" not in text


def test_many_narrow_panels_have_the_day_above_the_time(compared):
    candles, contenders = compared
    axis = panel_figure(candles, contenders, view="price").layout.xaxis
    assert axis.nticks == 4
    named = build_scene(candles, contenders[0].forecast, view="price").labels[-1]
    assert axis.labelalias[named].count("<br>") == 1
    assert panel_figure(candles, contenders[:2], view="price").layout.xaxis.labelalias is None


def test_the_description_names_every_fan(compared):
    candles, contenders = compared
    text = compare_description(candles, contenders)
    scene = build_scene(candles, contenders[1].forecast, view="price")
    assert "3 fans of BTCUSD" in text
    assert "B, Model 1" in text
    assert scene.price_text(contenders[1].forecast.quantile((0.9,))[0, -1]) in text


def test_the_table_has_a_row_a_fan_and_bar(compared):
    candles, contenders = compared
    table = horizon_table(candles, contenders, [1, 10, 24])
    assert table["bar"].tolist() == [1] * 3 + [10] * 3 + [24] * 3
    assert (np.diff(table[["p10", "p50", "p90"]].to_numpy(), axis=1) > 0).all()
    last = table[table["bar"] == 24].set_index("model")
    fan = contenders[1].forecast
    low, high = fan.quantile((0.1, 0.9))[:, -1]
    assert last.loc["B · Model 1", "width"] == pytest.approx(100 * (high - low) / fan.last_close)
    assert last.loc["B · Model 1", "P(up)"] == pytest.approx(100 * fan.probability_up()[-1])
    assert last["width"].rank().tolist() == [2, 3, 1]
    assert (table["80% band"][table["bar"] == 24] == "unknown").all()
    known = table[table["bar"] == 10]
    inside = (known["p10"] <= known["actual"]) & (known["actual"] <= known["p90"])
    assert (known["80% band"] == np.where(inside, "inside", "outside")).all()


def test_scores_are_those_of_the_definition(compared):
    candles, contenders = compared
    fan = contenders[0].forecast
    crps, n_known = past_scores(candles, fan)
    closes = candles.frame["close"].to_numpy()
    sigma = ewma_volatility(closes[:300])
    expected = []
    for bar in range(10):
        draws = fan.log_returns()[:, bar]
        actual = np.log(closes[300 + bar] / fan.last_close)
        n = len(draws)
        pairs = np.abs(draws[:, None] - draws).sum() / (2 * n * (n - 1))
        expected.append((np.abs(draws - actual).mean() - pairs) / (sigma * np.sqrt(bar + 1)))
    assert n_known == 10
    assert crps == pytest.approx(np.mean(expected))
    low, high = fan.quantile((0.1, 0.9))[:, :10]
    held = (closes[300:310] >= low) & (closes[300:310] <= high)
    models = model_table(candles, contenders, [Cost(1, 1)] * 3)
    found = re.fullmatch(r"(\d+) \((\d+) to (\d+) plausible\)", models["inside 80%"][0])
    assert int(found[1]) == held.sum()
    assert int(found[2]) <= 8 <= int(found[3])


def test_nothing_is_scored_where_nothing_is_known(simulate):
    candles, forecast = simulate()
    contenders = [Contender(0, "Model", forecast), Contender(1, "Other", forecast)]
    models = model_table(candles, contenders, [Cost(5, 2_000_000), Cost(0, 0)])
    assert list(models) == ["model", "seconds", "parameters", "memory", "bars read"]
    assert models["memory"].tolist() == ["2 MB", "–"]
    assert verdict_text(models) is None
    assert "actual" not in horizon_table(candles, contenders, [1])


def test_the_verdict_names_the_lowest_crps_and_its_weight(compared):
    candles, contenders = compared
    models = model_table(candles, contenders, [Cost(1, 0)] * 3)
    best = models.sort_values("CRPS")["model"].iloc[0]
    text = verdict_text(models)
    assert text.startswith(f"Lowest CRPS from this origin: {best}")
    assert "10 known bars" in text
    assert "One origin is a single sample" in text


def test_a_series_without_volatility_has_no_crps(simulate):
    candles, forecast = simulate(n_known=5)
    frame = candles.frame.copy()
    frame.loc[frame.index <= forecast.origin, ["open", "high", "low", "close"]] = 100.0
    flat = dataclasses.replace(candles, frame=frame)
    crps, n_known = past_scores(flat, forecast)
    assert np.isnan(crps)
    assert n_known == 5
    models = pd.DataFrame({"model": ["A"], "CRPS": [crps], "known bars": [5]})
    assert verdict_text(models) is None


@pytest.mark.parametrize("horizon", [1, 2, 3, 7, 24, 100, 240])
def test_bars_on_offer_lie_within_the_horizon(horizon):
    offered = bars_on_offer(horizon)
    assert offered == sorted(set(offered))
    assert offered[0] == 1
    assert offered[-1] == horizon
    assert set(default_bars(horizon)) <= set(offered)
