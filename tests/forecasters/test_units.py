"""The unit of a price and of a volume does not matter: the fan in log-returns is the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import kronos
from data_sources.samples import load_sample
from kronos.calibration import calibrate, load_state
from kronos.candles import Candles
from kronos.context import Context, calendar_fields, column_scale, read_context
from kronos.ensemble.predictor import EnsembleForecaster
from kronos.ensemble.weights import equal
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecasters.base import Forecaster
from kronos.forecasters.baselines import BASELINES, baseline
from kronos.forecasters.chronos import ChronosForecaster
from kronos.forecasters.kronos import KronosPredictor
from kronos.request import market_of
from tests.forecasters.chronos.tiny import write_tiny

KEYS = ("GOOG_1d", "EURUSD_1h", "BTCUSD_30m")
PRICES = ["open", "high", "low", "close"]
exponents = st.integers(-9, 6)


@pytest.fixture(scope="module")
def bundled() -> KronosPredictor:
    return kronos.load("bundled", device="cpu")


@pytest.fixture(scope="module")
def forecasters(bundled, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Forecaster]:
    tiny = write_tiny(tmp_path_factory.mktemp("chronos") / "tiny-chronos")
    names = ("ewma", "bootstrap", "random-walk")
    return {
        "bundled": bundled,
        "ensemble": EnsembleForecaster(
            equal(("bundled", *names)), [bundled, *map(baseline, names)]
        ),
        "chronos": ChronosForecaster.from_folder(tiny, device="cpu", name="tiny", revision="r"),
        **{name: baseline(name) for name in BASELINES},
    }


def in_units(candles: Candles, price: float, volume: float, amount: float) -> Candles:
    """The same bars, counted in other units."""
    frame = candles.frame.copy()
    frame[PRICES] *= price
    frame["volume"] *= volume
    frame["amount"] *= amount
    return replace(candles, frame=frame)


def fan(forecaster: Forecaster, candles: Candles, **options) -> Forecast:
    return forecaster.forecast(
        candles.frame,
        x_timestamp=candles.local_index,
        y_timestamp=candles.future(5).tz_convert(candles.zone),
        sample_count=12,
        market=market_of(candles),
        **options,
    )


def unit_free(forecast: Forecast, candles: Candles) -> np.ndarray:
    """Prices over the last close, volume and amount over their mean: (N, H, 6)."""
    means = candles.frame[["volume", "amount"]].mean().to_numpy()
    units = np.array([forecast.last_close] * 4 + [mean or 1.0 for mean in means])
    return forecast.paths / units


def assert_same_fan(forecaster, candles, price, volume, amount, rtol, **options):
    other = in_units(candles, 10.0**price, 10.0**volume, 10.0**amount)
    expected = unit_free(fan(forecaster, candles, **options), candles)
    found = unit_free(fan(forecaster, other, **options), other)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


@settings(max_examples=25)
@given(key=st.sampled_from(KEYS), price=exponents, volume=exponents, amount=exponents)
@example(key="BTCUSD_30m", price=-9, volume=-9, amount=-9)
@example(key="GOOG_1d", price=-7, volume=0, amount=0)
@example(key="EURUSD_1h", price=6, volume=0, amount=0)
def test_the_fan_of_the_bundled_model_is_the_same_in_any_unit(bundled, key, price, volume, amount):
    candles = load_sample(key).slice(-100)
    assert_same_fan(bundled, candles, price, volume, amount, 1e-9)


@settings(max_examples=12)
@given(key=st.sampled_from(KEYS), price=exponents, volume=exponents, amount=exponents)
@pytest.mark.parametrize("name", ["ensemble", "chronos", *BASELINES])
def test_every_other_forecaster_is_the_same_in_any_unit(
    forecasters, name, key, price, volume, amount
):
    rtol = 1e-4 if name == "chronos" else 1e-9  # Chronos-2 computes in float32
    candles = load_sample(key).slice(-160)
    assert_same_fan(forecasters[name], candles, price, volume, amount, rtol)


@pytest.mark.parametrize("price", [-9, 6])
def test_a_calibrated_fan_is_the_same_in_any_unit(bundled, price):
    candles = load_sample("GOOG_1d").slice(-160)
    other = in_units(candles, 10.0**price, 1.0, 1.0)
    state = load_state()
    one, two = (calibrate(fan(bundled, each), each, state) for each in (candles, other))
    np.testing.assert_allclose(unit_free(two, other), unit_free(one, candles), rtol=1e-9)


@pytest.mark.parametrize("price", [-9, -3, 6])
def test_samples_that_an_evaluation_scores_are_the_same_in_any_unit(bundled, price):
    candles = load_sample("EURUSD_1h").slice(-80)
    fields = calendar_fields(candles.future(4).tz_convert(candles.zone))
    relative = []
    for unit in (1.0, 10.0**price):
        frame = in_units(candles, unit, 1.0, 1.0).frame
        context = read_context(frame, candles.local_index, 80)
        asked = bundled.prepare_samples([context], [fields], SamplingParameters(sample_count=6))
        paths, _ = bundled._draw(asked)
        relative.append(paths[..., :4] / frame["close"].iloc[-1])
    np.testing.assert_allclose(*relative, rtol=1e-9)


def test_predict_keeps_the_published_normalisation():
    """Upstream adds 1e-5 whatever the unit, and `predict` is upstream's to the last digit."""
    windowed = kronos.load("bundled-0d13194d", device="cpu")
    candles = in_units(load_sample("BTCUSD_30m").slice(-80), 1e-9, 1.0, 1.0)
    times = pd.Series(candles.local_index.tz_localize(None))
    later = pd.Series(candles.future(3).tz_convert(candles.zone).tz_localize(None))
    context = read_context(candles.frame, candles.local_index, 80)
    published = replace(context, is_published=True)
    assert np.array_equal(published.scale, context.values.std(axis=0) + 1e-5)
    options = {"T": 1.0, "top_p": 0.9, "sample_count": 2, "seed": 1}
    frame = candles.frame.reset_index(drop=True)
    found = windowed.predict(frame, times, later, 3, verbose=False, **options)
    fields = calendar_fields(pd.DatetimeIndex(later))
    expected, other = (
        windowed.sample([each], [fields], SamplingParameters(**options))[0][0].mean(axis=0)
        for each in (published, context)
    )
    assert np.array_equal(found.to_numpy(), expected)
    assert not np.allclose(other, expected, rtol=1e-3)


def test_bars_with_one_move_keep_their_order_in_any_unit():
    """Ticks of one cent on 10, 20 or 40 cents: many moves are equal but for rounding."""
    steps = np.tile([0.1, 0.11, 0.1, 0.2, 0.22, 0.2, 0.4, 0.44, 0.4, 0.2], 16)
    times = pd.date_range("2024-01-01", periods=len(steps), freq="1h", tz="UTC")
    volume = 1.0 + np.arange(len(steps))
    columns = {"open": steps, "high": steps, "low": steps, "close": steps}
    frame = pd.DataFrame({**columns, "volume": volume, "amount": volume}, times)
    coin = replace(load_sample("BTCUSD_30m"), frame=frame)
    for price in (-9, -4, 3):
        assert_same_fan(baseline("ewma"), coin, price, 0, 0, 1e-9)


@settings(max_examples=50)
@given(
    values=st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=30),
    unit=st.floats(1e-12, 1e12),
)
def test_the_scale_of_a_column_grows_with_its_unit(values, unit):
    column = np.array(values)[:, None]
    np.testing.assert_allclose(column_scale(column * unit), column_scale(column) * unit, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-12, 1e-5, 1.0, 0.1, 1e6])
def test_rounding_is_no_movement(unit):
    constant = np.full((200, 1), 0.1 * unit)  # its computed deviation is some 1e-17 of it, not 0
    scale = float(column_scale(constant)[0])
    assert scale == pytest.approx(1e-7 * constant[0, 0], rel=1e-9)
    assert np.abs((constant - constant.mean()) / scale).max() < 1e-6


def test_columns_of_zeros_have_the_published_scale():
    values = np.zeros((20, 6))
    values[:, :4] = 5.0
    context = Context(values, np.zeros((20, 5), dtype=np.int64))
    assert context.scale.tolist() == pytest.approx([5e-7] * 4 + [1e-5] * 2)


def test_a_flat_series_stays_flat_in_any_unit(bundled):
    flat = load_sample("GOOG_1d").slice(-80)
    frame = flat.frame.copy()
    frame[PRICES] = 3.0
    for unit in (1e-9, 1.0, 1e6):
        candles = in_units(replace(flat, frame=frame), unit, 1.0, 1.0)
        np.testing.assert_allclose(unit_free(fan(bundled, candles), candles)[..., :4], 1, atol=1e-5)


def test_windows_of_training_are_the_same_in_any_unit(tmp_path: Path):
    from kronos.training.corpus import load_corpus
    from kronos.training.windows import WindowPlan, WindowSampler

    sample = load_sample("BTCUSD_30m").slice(-400)
    drawn = []
    for i, unit in enumerate((1.0, 1e-9, 1e6)):
        folder = tmp_path / str(i)
        folder.mkdir()
        frame = in_units(sample, unit, unit, unit).frame.rename_axis("timestamp").reset_index()
        frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None)).to_csv(
            folder / "COIN.csv", index=False
        )
        plan = WindowPlan(contexts=(64,), future=16, bars_per_batch=800, drop_volume=0.3)
        drawn.append(WindowSampler(load_corpus(folder), plan, seed=3).batch(0))
    for other in drawn[1:]:
        # The corpus holds float32, whose rounding differs from unit to unit.
        np.testing.assert_allclose(other.x, drawn[0].x, atol=2e-3)
        assert (other.inside == drawn[0].inside).float().mean() > 0.99
