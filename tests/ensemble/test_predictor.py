"""The ensemble as one of the models: its fan, its paths, and what is stored of it."""

from contextlib import closing

import numpy as np
import pytest

from data_sources.samples import load_sample
from kronos.ensemble import load_ensemble, market_of
from kronos.ensemble.predictor import EnsembleForecaster, combine
from kronos.ensemble.weights import equal
from kronos.errors import InvalidRequest
from kronos.export import load_forecast, save_forecast
from kronos.forecast import SamplingParameters
from kronos.forecasters.baselines import baseline
from kronos.request import ForecastRequest
from kronos.serving.service import LocalService
from kronos.store.store import Store
from tests.store.made import make_candles, make_forecast

NAMES = ("ewma", "random-walk", "bootstrap")
LEVELS = np.array([0.1, 0.25, 0.5, 0.75, 0.9])


def of_baselines():
    return EnsembleForecaster(equal(NAMES), [baseline(name) for name in NAMES])


def asked(candles, horizon=5, **options):
    return dict(
        x_timestamp=candles.local_index,
        y_timestamp=candles.future(horizon).tz_convert(candles.zone),
        **options,
    )


def test_quantiles_are_the_weighted_means_of_the_members_in_log_returns():
    candles = make_candles()
    parts = [make_forecast(candles, seed=seed, n_paths=101) for seed in (1, 2)]
    weights = np.tile([0.3, 0.7], (6, 1))
    paths = combine(parts, weights)
    mixed = np.quantile(np.log(paths[..., 3]), LEVELS, axis=0)
    each = [np.log(part.quantile(LEVELS)) for part in parts]
    np.testing.assert_allclose(mixed, 0.3 * each[0] + 0.7 * each[1], atol=1e-12)
    order = np.argsort(parts[0].column("close"), axis=0)
    assert (np.diff(np.take_along_axis(paths[..., 3], order, axis=0), axis=0) >= 0).all()
    factor = paths[..., 3] / parts[0].column("close")
    np.testing.assert_allclose(paths[..., 0], parts[0].column("open") * factor)


def test_a_member_alone_is_itself():
    candles = make_candles()
    parts = [make_forecast(candles, seed=seed) for seed in (1, 2)]
    alone = combine(parts, np.tile([1.0, 0.0], (6, 1)))
    np.testing.assert_allclose(alone, parts[0].paths, rtol=1e-12)


def test_fans_of_different_origins_are_not_combined():
    candles = make_candles()
    parts = [make_forecast(candles, position) for position in (60, 61)]
    with pytest.raises(InvalidRequest, match="one origin"):
        combine(parts, np.full((6, 2), 0.5))


def test_it_answers_like_a_model_and_names_its_members():
    candles = make_candles()
    predictor = of_baselines()
    found = predictor.forecast(
        candles.frame, **asked(candles), sample_count=40, seed=3, market=market_of(candles)
    )
    assert (found.model_name, found.model_revision) == ("ensemble", predictor.revision)
    assert found.paths.shape == (40, 5, 6)
    assert set(found.weights) == set(NAMES)
    assert all(weights == pytest.approx([1 / 3] * 5) for weights in found.weights.values())
    assert [part.model_name for part in found.members] == list(NAMES)
    alone = baseline("ewma").forecast(candles.frame, **asked(candles), sample_count=40, seed=3)
    np.testing.assert_array_equal(found.members[0].paths, alone.paths)
    again = predictor.forecast(candles.frame, **asked(candles), sample_count=40, seed=3)
    np.testing.assert_array_equal(again.paths, found.paths)


def test_what_a_member_refuses_is_refused():
    candles = make_candles()
    with pytest.raises(InvalidRequest, match="T must be 1"):
        of_baselines().forecast(candles.frame, **asked(candles), T=0.5)


def test_members_are_stored_with_it_under_their_own_names(tmp_path):
    candles = make_candles()
    found = of_baselines().forecast(candles.frame, **asked(candles), sample_count=20)
    with Store(str(tmp_path / "store.sqlite3")) as store:
        assert store.save(found, candles).is_new
        assert not store.save(found, candles).is_new
        names = {prediction.model_name for prediction in store.predictions()}
    assert names == {"ensemble", *NAMES}


def test_files_keep_the_weights(tmp_path):
    candles = make_candles()
    found = of_baselines().forecast(candles.frame, **asked(candles), sample_count=20)
    save_forecast(found, tmp_path / "found")
    assert load_forecast(tmp_path / "found").weights == found.weights
    assert found.metadata()["weights"].keys() == set(NAMES)


def test_the_engine_draws_the_bundled_model_as_a_member():
    candles = load_sample("BTCUSD_30m").slice(-300)
    loaded = []

    def load(name, progress):
        loaded.append(load_ensemble(device="cpu"))
        return loaded[0]

    future = candles.future(3).tz_convert(candles.zone)
    sampling = SamplingParameters(sample_count=10, seed=1)
    with closing(LocalService(load)) as service:
        facts = service.facts("ensemble")
        request = ForecastRequest.of_candles(candles, facts, horizon=3, sampling=sampling)
        found = service.run(request)
    assert facts == loaded[0].facts
    assert next(iter(found.weights)) == "bundled"
    first = found.members[0]
    order = np.argsort(first.column("close"), axis=0, kind="stable")
    assert (np.diff(np.take_along_axis(found.column("close"), order, axis=0), axis=0) >= 0).all()
    assert found.context_hash != first.context_hash  # a baseline reads more bars
    lone = loaded[0].forecast(
        candles.frame, x_timestamp=candles.local_index, y_timestamp=future,
        sample_count=10, seed=1, lookback=found.n_context, market=market_of(candles),
    )  # fmt: skip
    np.testing.assert_allclose(lone.paths, found.paths, rtol=1e-5)
