"""The ensemble on the pages: chosen like a model, with its weights shown."""

from __future__ import annotations

import numpy as np
import pytest

from data_sources.samples import load_sample
from kronos.ensemble import load_ensemble, market_of
from kronos.forecast import Forecast
from pages.ui.fan import exports
from pages.ui.fan.results import weights_table, weights_text
from pages.ui.inputs.candles import sample_code
from tests.pages.app_driver import new_session, run_until, words


def test_it_is_a_model_of_the_forecast_page_and_its_weights_are_shown():
    link = {"model": "Ensemble", "horizon": 4, "paths": 20, "details": "How it was made"}
    app = new_session(**link).run()
    run_until(app, lambda app: "Expected move" in words(app))
    said = words(app)
    assert "Averages bundled, ewma, garch, fhs, bootstrap, random-walk" in said
    assert "Weights: bundled 17%, ewma 17%" in said
    assert "Equal: nothing has been learned yet" in said
    assert "**ensemble**" in said
    assert any(caption.value.startswith("revision ") for caption in app.caption)
    assert "trained on bars up to June 2024" not in said
    table = next(each.value for each in app.dataframe if "ewma" in each.value.columns)
    assert table["bar"].tolist() == [1, 2, 3, 4]


def test_it_can_be_compared_with_its_members():
    app = new_session("compare", a="Ensemble", b="EWMA cone", horizon=4, paths=20).run()
    run_until(app, lambda app: "A: Weights:" in words(app))
    assert "B: Weights" not in words(app)


@pytest.fixture(scope="module")
def forecast() -> Forecast:
    candles = load_sample("GOOG_1d")
    known = candles.slice(None, 500)
    return load_ensemble(device="cpu").forecast(
        known.frame,
        x_timestamp=known.local_index,
        y_timestamp=known.future(3).tz_convert(known.zone),
        sample_count=8,
        market=market_of(known),
    )


def test_its_snippet_makes_the_same_forecast(forecast):
    found: dict = {}
    exec(exports.python_snippet(sample_code("GOOG_1d"), forecast), found)
    np.testing.assert_allclose(found["forecast"].paths, forecast.paths, rtol=1e-5)
    assert found["forecast"].context_hash == forecast.context_hash


def test_weights_in_words_and_numbers(forecast):
    assert weights_text(forecast).startswith("Weights: bundled 17%")
    table = weights_table(forecast)
    np.testing.assert_allclose(table.drop(columns="bar").sum(axis=1), 100.0)
