"""Upstream's greedy forecasts through the DataFrame interface, including sliding windows."""

import json
from pathlib import Path

import numpy as np
import pytest

from kronos.forecasters import kronos as predictor_module
from kronos.forecasters.kronos import KronosPredictor

CASES = json.loads((Path(__file__).parents[1] / "golden/cases.json").read_text())["predict_cases"]


@pytest.mark.parametrize("compiled_from", [0, 10**9], ids=["compiled", "plain"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_predict_gives_upstreams_forecast(
    model, tokenizer, golden_candles, vectors, case, compiled_from, monkeypatch
):
    monkeypatch.setattr(predictor_module, "COMPILED_FROM", compiled_from)
    n, pred_len = case["context"], case["pred_len"]
    predictor = KronosPredictor(model, tokenizer, "cpu", max_context=case["max_context"])
    frame = predictor.predict(
        df=golden_candles.loc[: n - 1, case["columns"]],
        x_timestamp=golden_candles.loc[: n - 1, "timestamps"],
        y_timestamp=golden_candles.loc[n : n + pred_len - 1, "timestamps"],
        pred_len=pred_len,
        T=case["T"],
        top_k=case["top_k"],
        top_p=case["top_p"],
        sample_count=case["sample_count"],
        verbose=False,
    )
    expected = vectors[f"predict.{case['name']}"].numpy()
    assert list(frame.columns) == ["open", "high", "low", "close", "volume", "amount"]
    # Columns of very different size: each is compared on its own scale.
    error = np.abs(frame.to_numpy() - expected) / np.maximum(np.abs(expected).max(axis=0), 1e-3)
    assert error.max() < 1e-4
