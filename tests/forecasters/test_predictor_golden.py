"""Upstream's greedy forecasts through the DataFrame interface, including sliding windows."""

import pytest

from kronos.forecasters import kronos as predictor_module
from kronos.forecasters.kronos import KronosPredictor
from tests.golden_vectors import RTOL, forecast_error, read_cases

CASES = read_cases()["predict_cases"]


@pytest.mark.parametrize("compiled_from", [0, 10**9], ids=["compiled", "plain"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_predict_gives_upstreams_forecast(
    model, tokenizer, golden_candles, vectors, case, compiled_from, monkeypatch
):
    monkeypatch.setattr(predictor_module, "COMPILED_FROM", compiled_from)
    predictor = KronosPredictor(model, tokenizer, "cpu", max_context=case["max_context"])
    assert forecast_error(predictor, case, golden_candles, vectors) < RTOL
