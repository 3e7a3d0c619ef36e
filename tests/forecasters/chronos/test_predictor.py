"""Chronos-2 with random weights: the project's own part of it, on real bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sources.samples import load_sample
from kronos.candles import Candles
from kronos.context import read_context
from kronos.ensemble.predictor import EnsembleForecaster
from kronos.ensemble.weights import EnsembleWeights
from kronos.errors import CheckpointInvalid, InvalidCandles, InvalidRequest
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecasters.baselines import baseline
from kronos.forecasters.chronos import ChronosForecaster, Scale, covariates
from kronos.forecasters.paths import borrow_ranks

N_EVENTS = 20


@pytest.fixture(scope="module")
def predictor(tiny_folder: Path) -> ChronosForecaster:
    return ChronosForecaster.from_folder(tiny_folder, device="cpu", name="tiny", revision="r")


def bars(key: str = "GOOG_1d", n: int = 120) -> Candles:
    return load_sample(key).slice(-n)


def ask(predictor: ChronosForecaster, candles: Candles, horizon: int = 6, **options) -> Forecast:
    return predictor.forecast(
        candles.frame,
        x_timestamp=candles.local_index,
        y_timestamp=candles.future(horizon).tz_convert(candles.zone),
        **options,
    )


@pytest.mark.parametrize("key", ["GOOG_1d", "EURUSD_1h", "BTCUSD_30m"])
def test_candles_are_valid_on_the_calendar_that_was_pressed_for(predictor, key):
    candles = bars(key)
    forecast = ask(predictor, candles)
    assert (forecast.timestamps == candles.future(6)).all()
    opened, high, low, close, volume, amount = np.moveaxis(forecast.paths, -1, 0)
    assert np.isfinite(forecast.paths).all()
    assert (low <= np.minimum(opened, close)).all()
    assert (high >= np.maximum(opened, close)).all()
    assert (low > 0).all()
    assert (volume.any(), amount.any()) == (candles.has_volume, candles.has_volume)
    assert forecast.metadata()["model"] == "tiny"


def test_paths_have_the_quantiles_of_the_model(predictor):
    candles = bars()
    context = read_context(candles.frame, candles.local_index, 120)
    wanted = predictor.quantiles(context, 6)
    assert wanted.shape == (6, 5, len(predictor.levels))
    assert (np.diff(wanted, axis=-1) >= 0).all()
    forecast = ask(predictor, candles, sample_count=1000)
    found = np.quantile(forecast.log_returns(), predictor.levels[1:-1], axis=0).T
    spread = np.ptp(wanted[:, 3], axis=-1, keepdims=True)
    np.testing.assert_allclose(found / spread, wanted[:, 3, 1:-1] / spread, atol=0.005)


@settings(max_examples=40)
@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 999))
def test_borrowed_ranks_keep_order_and_stay_within_neighbouring_levels(n, horizon, seed):
    rng = np.random.default_rng(seed)
    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    quantiles = np.sort(rng.normal(size=(horizon, 2, 5)), axis=-1)
    reference = rng.normal(size=(n, horizon, 2))
    paths = borrow_ranks(reference, levels, quantiles)
    assert paths.shape == reference.shape
    order = reference.argsort(axis=0)
    assert (np.diff(np.take_along_axis(paths, order, axis=0), axis=0) >= -1e-12).all()
    share_below = (np.arange(n) + 0.5) / n
    ordered = np.sort(paths, axis=0)
    for i in range(n):
        for q in range(4):
            if levels[q] <= share_below[i] <= levels[q + 1]:
                assert (ordered[i] >= quantiles[..., q] - 1e-12).all()
                assert (ordered[i] <= quantiles[..., q + 1] + 1e-12).all()


def test_candles_come_back_from_their_series():
    candles = bars()
    context = read_context(candles.frame, candles.local_index, 120)
    scale = Scale.of(context)
    back = scale.candles(scale.series(context.values))
    np.testing.assert_allclose(back[:, :5], context.values[:, :5], rtol=1e-9)
    np.testing.assert_allclose(back[:, 5], context.values[:, 5], rtol=0.05)


def test_the_same_seed_gives_the_same_paths_and_another_only_other_ranks(predictor):
    first, again, other = (ask(predictor, bars(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.paths, again.paths)
    assert not np.array_equal(first.paths, other.paths)
    np.testing.assert_allclose(first.quantile(), other.quantile(), rtol=1e-9)


def test_events_are_covariates_of_what_is_read_and_what_comes(predictor):
    candles = bars()
    plain = ask(predictor, candles)
    silent = np.zeros((126, N_EVENTS))
    assert not covariates(silent, 120)
    unchanged = ask(predictor, candles, events=silent)
    np.testing.assert_array_equal(plain.paths, unchanged.paths)
    rows = silent.copy()
    rows[100, 3] = rows[122, 3] = 1.0
    told = ask(predictor, candles, events=rows)
    assert not np.allclose(told.quantile(), plain.quantile())
    assert told.events_hash is not None
    later = rows.copy()
    later[122, 3], later[124, 3] = 0.0, 1.0
    assert not np.allclose(ask(predictor, candles, events=later).quantile(), told.quantile())
    known = covariates(rows.astype(np.float32), 120)
    assert {name: len(v) for name, v in known["past_covariates"].items()} == {"event 3": 120}
    assert {name: len(v) for name, v in known["future_covariates"].items()} == {"event 3": 6}


def test_series_that_are_asked_together_get_what_each_gets_alone(predictor):
    series = [bars("GOOG_1d", 100), bars("IBM_1d", 130)]
    contexts = [read_context(c.frame, c.local_index, 200) for c in series]
    sampling = SamplingParameters(sample_count=20)
    fields = [np.zeros((5, 5), dtype=np.int64)] * 2
    paths, last = predictor.prepare_samples(contexts, fields, sampling).result()
    assert paths.shape == (2, 20, 5, 6)
    for i, candles in enumerate(series):
        alone = ask(predictor, candles, 5, sample_count=20)
        np.testing.assert_array_equal(paths[i], alone.paths)
        np.testing.assert_array_equal(last[i], candles.frame.to_numpy()[-1])


def test_only_what_is_read_counts(predictor):
    long, short = bars(n=500), bars(n=64)
    np.testing.assert_array_equal(
        ask(predictor, long, lookback=64).paths, ask(predictor, short).paths
    )
    assert predictor.context_length(9999, 5) == predictor.max_context == 256


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"T": 0.5}, "T must be 1 for tiny, found 0.5: it gives quantiles"),
        ({"top_p": 0.9}, "top_p must be 1"),
        ({"lookback": 8}, "lookback must be from 32 to 256"),
        ({"horizon": 65}, "at most 64 bars, found 65"),
        ({"events": np.zeros((3, 20))}, "events must be"),
    ],
)
def test_what_it_cannot_do_is_said(predictor, options, said):
    with pytest.raises(InvalidRequest, match=said):
        ask(predictor, bars(), **options)


def test_too_few_bars_are_refused(predictor):
    with pytest.raises(InvalidCandles, match="at least 32 bars"):
        ask(predictor, bars(n=20))


def test_a_folder_with_other_weights_is_refused(tiny_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(CheckpointInvalid, match="cannot be loaded as a checkpoint of Chronos-2"):
        ChronosForecaster.from_folder(tmp_path, device="cpu", name="x", revision="r")


def test_bars_without_a_price_above_zero_are_refused(predictor):
    frame = bars().frame.copy()
    frame.iloc[50, 3] = -1.0
    stamps = pd.date_range(frame.index[-1], periods=3, freq="D")[1:]
    with pytest.raises(InvalidCandles, match="above 0"):
        predictor.forecast(frame, y_timestamp=stamps)


def test_it_can_be_a_member_of_an_ensemble(predictor):
    weights = EnsembleWeights(("ewma", "tiny"), ("r", "r"), None, None, "")
    found = ask(EnsembleForecaster(weights, [baseline("ewma"), predictor]), bars(), sample_count=21)
    levels = [0.1, 0.25, 0.5, 0.75, 0.9]  # each of them that of a path
    mean = np.mean([np.log(part.quantile(levels)) for part in found.members], axis=0)
    np.testing.assert_allclose(np.log(found.quantile(levels)), mean, atol=1e-9)
    assert list(found.weights) == ["ewma", "tiny"]
