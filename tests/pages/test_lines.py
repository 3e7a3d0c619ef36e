"""Lines over the fan: read from the link, in chart, table and files."""

import numpy as np
import pytest

from pages.ui.chart.figure import fan_figure
from pages.ui.chart.layers import Overlay
from pages.ui.chart.scene import build_scene
from pages.ui.forecast.lines import Lines, _levels
from tests.pages.app_driver import new_session, run_until, words


@pytest.mark.parametrize(
    ("text", "levels", "is_wrong"),
    [
        ("", (), False),
        ("95 5", (0.05, 0.95), False),
        ("2.5%, 97.5%", (0.025, 0.975), False),
        ("1;99;99", (0.01, 0.99), False),
        ("0.5 50", (0.5,), True),
        ("nan 5 inf abc", (0.05,), True),
        (" ".join(map(str, range(1, 30))), tuple(n / 100 for n in range(1, 21)), True),
    ],
)
def test_levels_are_read_from_any_text(text, levels, is_wrong):
    assert _levels(text) == (levels, is_wrong)


def test_lines_of_a_fan_are_its_quantiles_corridor_and_cone(simulate):
    candles, forecast = simulate(n_paths=200)
    lines = Lines((0.05, 0.95), 0.8, 0.6)
    quantiles, corridor, implied = lines.overlays(candles, forecast)
    np.testing.assert_array_equal(quantiles.rows, forecast.quantile((0.05, 0.95)))
    np.testing.assert_array_equal(corridor.rows, forecast.corridor(0.8))
    cone = forecast.implied_cone(0.6, candles.bar_years, (0.1, 0.9))
    np.testing.assert_array_equal(implied.rows, cone)
    assert lines.levels == (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    assert Lines().overlays(candles, forecast) == ()


@pytest.mark.parametrize("view", ["price", "percent", "log"])
def test_lines_start_at_the_last_close_inside_the_axis_and_are_named_once(simulate, view):
    candles, forecast = simulate()
    far = forecast.last_close * np.array([[0.5] * forecast.horizon, [1.7] * forecast.horizon])
    figure = fan_figure(candles, forecast, view=view, overlays=[Overlay("far", far, "dot")])
    scene = build_scene(candles, forecast, view=view)
    drawn = [trace for trace in figure.data if trace.name == "far"]
    assert [trace.showlegend for trace in drawn] == [True, False]
    assert all(t.y[0] == pytest.approx(float(scene.scaled(forecast.last_close))) for t in drawn)
    low, high = figure.layout.yaxis.range
    assert low <= scene.on_axis(0.5 * forecast.last_close)
    assert high >= scene.on_axis(1.7 * forecast.last_close)


def test_a_link_brings_lines_stop_and_budget_back():
    link = {
        "quantiles": "1 99", "corridor": "true", "implied_volatility": "62", "details": "Risk",
        "stop": "8000", "risk_budget": "2.5", "horizon": "6", "paths": "30",
    }  # fmt: skip
    app = new_session("forecast", **link)
    app = run_until(app.run(), lambda app: any(b.key == "more_paths" for b in app.button))
    assert not app.exception
    boxes = {each.label: each.value for each in app.number_input}
    assert boxes["Implied volatility (%)"] == 62.0
    assert boxes["Stop"] == 8000.0
    assert boxes["Risk budget (%)"] == 2.5
    labels = words(app)
    assert "P(beyond it)" in labels
    assert "P(beyond the fan's)" in labels
    found = [app.query_params[name] for name in ("stop", "risk_budget")]
    assert [float(each[0] if isinstance(each, list) else each) for each in found] == [8000.0, 2.5]
    app.button(key="more_paths").click().run()
    assert app.number_input(key="paths").value == 1000
