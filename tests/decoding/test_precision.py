"""bfloat16 is chosen only where it pays, and leaves the fan within its sampling error."""

import numpy as np
import pandas as pd
import pytest
import torch

from kronos.decoding import precision
from kronos.decoding.precision import fastest_dtype
from kronos.forecasters.kronos import KronosPredictor

CPU = torch.device("cpu")


def test_small_models_stay_in_float32(model):
    assert fastest_dtype(model, CPU) == torch.float32


@pytest.mark.parametrize(("gain", "chosen"), [(1e-9, torch.bfloat16), (1e9, torch.float32)])
def test_a_processor_is_believed_only_when_measured(model, monkeypatch, gain, chosen):
    monkeypatch.setattr(precision, "LEAST_PARAMETERS", 0)
    monkeypatch.setattr(precision, "LEAST_GAIN", gain)
    assert fastest_dtype(model, CPU) == chosen


def test_a_product_that_is_wrong_is_not_chosen_however_fast(model, monkeypatch):
    monkeypatch.setattr(precision, "LEAST_PARAMETERS", 0)
    monkeypatch.setattr(precision, "LEAST_GAIN", 1e-9)
    monkeypatch.setattr(precision, "MOST_ERROR", 1e-9)
    assert fastest_dtype(model, CPU) == torch.float32


def test_quantiles_in_bfloat16_lie_within_the_sampling_error_of_float32(
    model, tokenizer, golden_candles
):
    """The error of a quantile over N paths, estimated by bootstrap over float32's own paths.

    Two independent fans in float32 differ by 1.13 such errors in the mean, and by more than
    4.2 in one of a thousand quantiles.
    """
    df = golden_candles.set_index("timestamps")
    future = pd.date_range(df.index[-1] + pd.Timedelta("1h"), periods=12, freq="1h")

    def closes(dtype):
        predictor = KronosPredictor(model, tokenizer, "cpu", max_context=64, dtype=dtype)
        found = predictor.forecast(df, y_timestamp=future, sample_count=300, seed=4)
        return found.column("close")

    exact, rounded = closes(torch.float32), closes(torch.bfloat16)
    assert not np.array_equal(exact, rounded)
    levels = [0.1, 0.5, 0.9]
    rng = np.random.default_rng(0)
    samples = [exact[rng.integers(0, len(exact), len(exact))] for _ in range(200)]
    error = np.std([np.quantile(s, levels, axis=0) for s in samples], axis=0)
    moved = np.abs(np.quantile(rounded, levels, axis=0) - np.quantile(exact, levels, axis=0))
    assert (moved / error).mean() < 1.0
    assert (moved / error).max() < 4.2
