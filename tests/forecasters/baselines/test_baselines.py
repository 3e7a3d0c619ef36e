"""Laws of the baselines, on simulated series whose truth is known and on a real one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import load_sample
from kronos.context import calendar_fields, read_context
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.evaluation.cone import ewma_volatility
from kronos.forecast import SamplingParameters
from kronos.forecasters.baselines import BASELINES, baseline, garch
from kronos.forecasters.baselines.garch import fit_garch

NAMES = list(BASELINES)


def bars_of(returns: np.ndarray, rng: np.random.Generator, *, start: float = 100.0) -> pd.DataFrame:
    """Hourly candles whose closes have these log-returns."""
    closes = start * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    opens = np.concatenate([[start], closes[:-1]])
    wick = np.abs(rng.normal(0, 0.002, (2, len(closes))))
    volume = rng.lognormal(4, 0.5, len(closes))
    return pd.DataFrame(
        {
            "open": opens,
            "high": np.maximum(opens, closes) * np.exp(wick[0]),
            "low": np.minimum(opens, closes) * np.exp(-wick[1]),
            "close": closes,
            "volume": volume,
            "amount": volume * closes,
        },
        index=pd.date_range("2024-01-01", periods=len(closes), freq="1h", tz="UTC"),
    )


def simulated_garch(
    omega: float, alpha: float, beta: float, nu: float, n: int, seed: int
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(nu, n) * np.sqrt((nu - 2) / nu)
    variance, returns = omega / (1 - alpha - beta), np.empty(n)
    for t, shock in enumerate(shocks):
        returns[t] = np.sqrt(variance) * shock
        variance = omega + alpha * returns[t] ** 2 + beta * variance
    return returns


def forecast(name: str, bars: pd.DataFrame, horizon: int = 12, **options):
    future = pd.date_range(bars.index[-1], periods=horizon + 1, freq="1h")[1:]
    return baseline(name).forecast(bars, y_timestamp=future, **options)


@pytest.fixture(scope="module")
def steady() -> pd.DataFrame:
    """600 bars of independent normal returns, 1% a bar, without drift."""
    rng = np.random.default_rng(1)
    returns = rng.normal(0, 0.01, 600)
    return bars_of(returns - returns.mean(), rng)


@pytest.fixture(scope="module")
def sample():
    return load_sample("GOOG_1d").slice(-700)


@pytest.mark.parametrize("name", NAMES)
def test_real_candles_give_valid_candles_on_every_path(name, sample):
    future = sample.future(20).tz_convert(sample.zone)
    made = baseline(name).forecast(
        sample.frame, x_timestamp=sample.local_index, y_timestamp=future, sample_count=200, seed=3
    )
    assert made.paths.shape == (200, 20, 6)
    assert np.isfinite(made.paths).all()
    opens, high, low, close, volume, amount = np.moveaxis(made.paths, -1, 0)
    assert (high >= np.maximum(opens, close)).all()
    assert (low <= np.minimum(opens, close)).all()
    assert (low > 0).all()
    assert set(np.unique(volume)) <= set(sample.frame["volume"])
    known = sample.frame["amount"] / (
        sample.frame["volume"] * sample.frame.iloc[:, :4].mean(axis=1)
    )
    implied = amount / (volume * made.paths[..., :4].mean(-1))
    assert known.min() * 0.999 <= implied.min() <= implied.max() <= known.max() * 1.001
    assert (made.model_name, made.n_context) == (name, 700)
    assert made.timestamps.equals(future)
    assert made.last_close == sample.frame["close"].iloc[-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_depends_on_its_seed_and_number_alone(name, steady):
    few = forecast(name, steady, horizon=5, sample_count=3, seed=8)
    many = forecast(name, steady, horizon=9, sample_count=20, seed=8)
    other = forecast(name, steady, horizon=5, sample_count=3, seed=9)
    assert np.array_equal(few.paths, many.paths[:3, :5])
    assert not np.array_equal(few.paths, other.paths)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_after_the_origin_or_before_the_lookback_is_read(name, sample):
    frame = sample.frame.copy()
    frame.iloc[500:] *= 7.0
    frame.iloc[:100] *= 3.0
    paths = []
    for bars in (sample.frame, frame):
        future = bars.index[500:510]
        made = baseline(name).forecast(bars.iloc[:500], y_timestamp=future, lookback=400)
        paths.append(made.paths)
    assert np.array_equal(*paths)


def test_the_ewma_cone_widens_as_the_square_root_of_time(steady):
    made = forecast("ewma", steady, horizon=64, sample_count=8000, seed=5)
    spread = made.log_returns().std(axis=0)
    sigma = ewma_volatility(steady["close"].to_numpy())
    steps = np.arange(1, 65)
    np.testing.assert_allclose(spread, sigma * np.sqrt(steps), rtol=0.03)
    means = made.log_returns().mean(axis=0)
    assert (np.abs(means) < 4 * sigma * np.sqrt(steps / 8000)).all()


def test_the_random_walk_drifts_as_the_past_did():
    rng = np.random.default_rng(2)
    returns = rng.normal(0.004, 0.01, 500)
    made = forecast("random-walk", bars_of(returns, rng), horizon=30, sample_count=8000)
    steps = np.arange(1, 31)
    error = returns.std() * np.sqrt(steps / 8000)
    assert (np.abs(made.log_returns().mean(axis=0) - steps * returns.mean()) < 4 * error).all()
    np.testing.assert_allclose(
        made.log_returns().std(axis=0), returns.std() * np.sqrt(steps), rtol=0.04
    )


@pytest.mark.parametrize("name", ["bootstrap", "fhs", "garch"])
def test_steady_volatility_is_reproduced(name, steady):
    made = forecast(name, steady, horizon=40, sample_count=2000, seed=4)
    closes = np.column_stack([np.full(2000, made.last_close), made.column("close")])
    simulated = np.diff(np.log(closes), axis=1)
    known = np.diff(np.log(steady["close"]))
    assert simulated.std() == pytest.approx(known.std(), rel=0.06)


@pytest.mark.parametrize("name", ["garch", "fhs"])
def test_volatility_returns_to_its_level_after_a_storm(name):
    returns = simulated_garch(2e-6, 0.10, 0.85, 6.0, 1500, seed=11)
    returns[-5:] = np.array([3, -4, 4, -3, 4]) * returns.std()
    made = forecast(
        name, bars_of(returns, np.random.default_rng(0)), horizon=150, sample_count=1500,
        lookback=1501,
    )  # fmt: skip
    steps = np.diff(np.log(made.column("close")), axis=1).std(axis=0)
    usual = returns[:-5].std()
    assert steps[:3].mean() > 1.8 * usual
    assert steps[-30:].mean() < 1.4 * usual


def test_blocks_keep_what_follows_what():
    """Returns that alternate in sign stay so within blocks, which single draws would lose."""
    rng = np.random.default_rng(6)
    returns = np.abs(rng.normal(0.01, 0.002, 400)) * np.where(np.arange(400) % 2, 1.0, -1.0)
    made = forecast("bootstrap", bars_of(returns, rng), horizon=50, sample_count=400)
    signs = np.sign(np.diff(np.log(made.column("close")), axis=1))
    alternates = (signs[:, 1:] != signs[:, :-1]).mean()
    assert pytest.approx(alternates, abs=0.02) == 1 - 1 / (2 * 400 ** (1 / 3))


def test_garch_recovers_what_made_the_series():
    returns = simulated_garch(4e-6, 0.10, 0.86, 6.0, 6000, seed=3)
    fit = fit_garch(returns)
    assert fit.alpha == pytest.approx(0.10, abs=0.03)
    assert fit.beta == pytest.approx(0.86, abs=0.04)
    assert fit.freedom == pytest.approx(6.0, abs=1.5)
    assert fit.omega / (1 - fit.alpha - fit.beta) == pytest.approx(1e-4, rel=0.25)
    assert len(fit.variances) == 6001


@pytest.mark.parametrize("name", NAMES)
def test_too_few_bars_are_refused_with_words(name, steady):
    needed = BASELINES[name].n_needed
    assert forecast(name, steady.iloc[:needed], horizon=3, sample_count=5).n_context == needed
    with pytest.raises(InvalidCandles, match=rf"at least {needed} bars .* found {needed - 1}\."):
        forecast(name, steady.iloc[: needed - 1], horizon=3)


@pytest.mark.parametrize("setting", [{"T": 0.5}, {"T": 0.0}, {"top_p": 0.9}, {"top_k": 5}])
def test_settings_that_would_do_nothing_are_refused(setting, steady):
    (name,) = setting
    with pytest.raises(InvalidRequest, match=f"{name} must be . for ewma"):
        forecast("ewma", steady, **setting)


def test_events_are_refused_in_words(steady):
    rows = np.zeros((612, 20), np.float32)
    with pytest.raises(InvalidRequest, match="ewma was never trained with events"):
        forecast("ewma", steady, events=rows)
    context = read_context(steady, steady.index, 600)
    asked = [context], [np.zeros((12, 5), np.int64)], SamplingParameters(sample_count=2)
    with pytest.raises(InvalidRequest, match="ewma was never trained with events"):
        baseline("ewma").prepare_samples(*asked, events=[rows])
    assert baseline("ewma").prepare_samples(*asked, events=[None]).result()[0].shape == (
        1,
        2,
        12,
        6,
    )
    assert not baseline("ewma").reads_events


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_series_stays_flat_or_is_refused(name):
    flat = bars_of(np.zeros(150), np.random.default_rng(0))
    if name in ("garch", "fhs"):
        with pytest.raises(InvalidCandles, match="no volatility"):
            forecast(name, flat)
    else:
        assert (forecast(name, flat).column("close") == 100.0).all()


@pytest.mark.parametrize("name", NAMES)
def test_data_without_volume_gets_none(name, steady):
    made = forecast(name, steady[["open", "high", "low", "close"]], sample_count=5)
    assert not made.paths[..., 4:].any()


def test_samples_of_many_series_are_those_of_each(steady):
    frames = steady.iloc[:300], steady.iloc[100:500]
    contexts = [read_context(frame, frame.index, 300) for frame in frames]
    fields = calendar_fields(pd.date_range("2025-01-01", periods=6, freq="1h"))
    sampling = SamplingParameters(sample_count=7, seed=2)
    paths, last = baseline("fhs").prepare_samples(contexts, [fields, fields], sampling).result()
    assert paths.shape == (2, 7, 6, 6)
    for frame, made, candle in zip(frames, paths, last, strict=True):
        alone = forecast("fhs", frame, horizon=6, sample_count=7, seed=2, lookback=300)
        assert np.array_equal(made, alone.paths)
        assert candle[3] == frame["close"].iloc[-1]


def test_bars_lent_to_larger_moves_are_larger_themselves(sample):
    """Volume and move belong together in stocks; the candles made keep that."""
    made = baseline("ewma").forecast(
        sample.frame, y_timestamp=sample.future(5), sample_count=1000, seed=1
    )
    moves = np.abs(np.diff(np.log(made.column("close")), axis=1))
    large = moves > np.quantile(moves, 0.9)
    volume = made.column("volume")[:, 1:]
    assert volume[large].mean() > 1.3 * volume[~large].mean()


def test_an_unknown_name_is_told():
    with pytest.raises(InvalidRequest, match=r"no baseline 'prophet'.*ewma"):
        baseline("prophet")
    assert baseline(" EWMA ").name == "ewma"


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
def test_variances_run_block_by_block_as_they_would_one_by_one(n):
    squares = np.random.default_rng(n).normal(size=n) ** 2
    one_by_one = [1.0]
    for square in squares:
        one_by_one.append(0.1 + 0.2 * square + 0.7 * one_by_one[-1])
    np.testing.assert_allclose(garch._variances(squares, 0.1, 0.2, 0.7), one_by_one)
