"""What the interactive chart gets from the server: its data, and Plotly's script."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from plotly.offline import get_plotlyjs
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pages.ui.chart.figure import fan_figure
from pages.ui.chart.interactive import component_data
from pages.ui.chart.layers import Overlay
from pages.ui.chart.scene import build_scene
from pages.ui.frame.plotly_script import PlotlyScript, script_name

VIEWS = ("price", "percent", "log")


def data_of(candles, forecast, view="price"):
    scene = build_scene(candles, forecast, view=view)
    figure = fan_figure(candles, forecast, view=view)
    return scene, component_data(figure, scene, "fan", "subject", "words")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("n_known", [0, 5])
def test_what_fits_at_first_is_what_the_figure_shows(simulate, view, n_known):
    """The component's own fit of the opening view has to be the range that the figure has."""
    scene, _ = data_of(*simulate(n_known=n_known), view)
    low, high = (values[scene.first_visible :] for values in scene.extents())
    span = np.nanmax(high) - np.nanmin(low)
    expected = np.nanmin(low) - 0.05 * span, np.nanmax(high) + 0.11 * span
    assert scene.price_range() == pytest.approx(expected)


@pytest.mark.parametrize("view", VIEWS)
def test_every_label_has_a_time_and_an_extent(simulate, view):
    _, data = data_of(*simulate(n_known=5), view)
    figure = json.loads(data["figure"])
    labels = figure["layout"]["xaxis"]["categoryarray"]
    assert [len(data[name]) for name in ("times", "low", "high", "volume")] == [len(labels)] * 4
    assert np.diff(data["times"]).min() > 0
    assert "template" not in figure["layout"], "the component brings the colours of the page"
    assert all(low <= high for low, high in zip(data["low"], data["high"], strict=True))
    assert json.loads(json.dumps(data, allow_nan=False)) == data


@pytest.mark.parametrize("view", VIEWS)
def test_lines_over_the_fan_are_within_the_extents(simulate, view):
    candles, forecast = simulate()
    cone = Overlay("Implied", forecast.last_close * np.array([[0.5], [2.0]]).repeat(24, 1), "dot")
    scene = build_scene(candles, forecast, view=view)
    figure = fan_figure(candles, forecast, view=view, overlays=(cone,))
    data = component_data(figure, scene, "fan", "subject", "words", overlays=(cone,))
    for name, price in (("low", 0.5), ("high", 2.0)):
        end = scene.on_axis(price * forecast.last_close)
        assert data[name][-24:] == pytest.approx([end] * 24)
        assert data[name][: scene.n_history] == pytest.approx(
            dict(zip(("low", "high"), scene.extents(), strict=True))[name][: scene.n_history]
        )


@pytest.mark.parametrize(("levels", "n_keys"), [(None, 0), ((), 2)])
def test_only_a_page_with_levels_has_their_keys(simulate, levels, n_keys):
    candles, forecast = simulate()
    figure, scene = fan_figure(candles, forecast), build_scene(candles, forecast, view="price")
    data = component_data(figure, scene, "fan", "subject", "words", levels)
    assert sum("level" in what for _, what in data["keys"]) == n_keys
    assert data["spoken"].count("level") == n_keys
    assert (data["levels"] is None) == (levels is None)


def test_bars_without_a_fan_have_extents_too(simulate):
    candles, _ = simulate()
    scene, data = data_of(candles, None)
    assert data["low"] == pytest.approx(scene.history["low"].tolist())


def test_the_chart_shows_no_volume_where_there_is_none(simulate):
    candles, forecast = simulate(has_volume=False)
    assert data_of(candles, forecast)[1]["volume"] is None


@pytest.mark.parametrize(("asked", "drawn"), [(500, 500), (1000, 700), (9000, 700)])
def test_older_bars_are_drawn_as_far_as_there_are_any(simulate, asked, drawn):
    candles, forecast = simulate(n_bars=700)
    assert build_scene(candles, forecast, view="price", n_history=asked).n_history == drawn
    figure = fan_figure(candles, forecast, n_history=asked)
    (bars,) = (trace for trace in figure.data if trace.type == "candlestick")
    assert len(bars.x) == drawn


def test_the_script_is_a_file_that_browsers_keep(below):
    client = TestClient(Starlette(middleware=[Middleware(PlotlyScript)]))
    path = f"{below}/{script_name()}"
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.text == get_plotlyjs()
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as packed:
        body = b"".join(packed.iter_raw())
    assert gzip.decompress(body).decode() == get_plotlyjs()
    assert len(body) < len(answer.content) / 3
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert client.get(f"{below}/plotly-0.min.js").status_code == 404
    assert client.post(path).status_code == 404


def test_the_forecast_page_names_the_script_and_no_other_page_does():
    def answer(request):
        return PlainTextResponse("page", status_code=404 if "gone" in request.url.path else 200)

    client = TestClient(
        Starlette(routes=[Route("/{page:path}", answer)], middleware=[Middleware(PlotlyScript)])
    )
    named = f"<{script_name()}>; rel=preload; as=script"
    assert [client.get(page).headers.get("link") for page in ("/", "/forecast")] == [named] * 2
    others = ("/models", "/gone", "/_stcore/health")
    assert not any("link" in client.get(page).headers for page in others)
