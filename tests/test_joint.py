"""Joint futures: what moves together, and that no fan changes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast, SamplingParameters
from kronos.joint import JointForecast, Member, join, match

Pair = tuple[dict[str, Candles], dict[str, Forecast]]


def candles_of(closes: np.ndarray, name: str, **options: str) -> Candles:
    index = pd.date_range("2022-01-03", periods=len(closes), freq="D", tz="UTC")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes), index)
    facts = {"interval": "1d", "calendar": "24/7", "zone": "UTC"} | options
    return Candles.from_frame(frame, symbol=name, **facts)


def fan_of(candles: Candles, rng: np.random.Generator, horizon: int, n_paths: int) -> Forecast:
    last = float(candles.frame["close"].iloc[-1])
    closes = last * np.exp(rng.normal(0, 0.01, (n_paths, horizon)).cumsum(axis=1))
    return Forecast(
        paths=np.repeat(closes[:, :, None], 6, axis=2),
        timestamps=candles.future(horizon),
        origin=candles.frame.index[-1],
        last_close=last,
        parameters=SamplingParameters(sample_count=n_paths),
        model_name="m",
        model_revision="r",
        context_hash="c",
        n_context=len(candles),
    )


@pytest.fixture
def correlated() -> Callable[..., Pair]:
    """Bars of instruments that move together, and fans that know nothing of each other."""

    def make(correlation: float = 0.8, *, n: int = 2, horizon: int = 8, n_paths: int = 400) -> Pair:
        rng = np.random.default_rng(3)
        common = np.full((n, n), correlation) + (1 - correlation) * np.eye(n)
        moves = rng.multivariate_normal(np.zeros(n), common, 800) * 0.01
        closes = 100 * np.exp(moves.cumsum(axis=0))
        names = "ABCDEF"[:n]
        candles = {name: candles_of(closes[:, i], name) for i, name in enumerate(names)}
        fans = {name: fan_of(each, rng, horizon, n_paths) for name, each in candles.items()}
        return candles, fans

    return make


def join_forecasts(
    candles: dict[str, Candles], fans: dict[str, Forecast], **options: Any
) -> JointForecast:
    return join({name: Member.of(candles[name], fans[name]) for name in fans}, **options)


def final_correlation(growth: np.ndarray, step: int = -1) -> float:
    return float(np.corrcoef(np.log(growth[:, step, 0]), np.log(growth[:, step, 1]))[0, 1])


def test_the_paths_move_together_as_the_bars_did(correlated: Callable[..., Pair]) -> None:
    for correlation in (0.8, 0.0, -0.6):
        candles, fans = correlated(correlation)
        joint = join_forecasts(candles, fans)
        assert final_correlation(joint.growth) == pytest.approx(correlation, abs=0.12)
        assert joint.correlation.loc["A", "B"] == pytest.approx(correlation, abs=0.12)
    candles, fans = correlated(0.8)
    growth = join_forecasts(candles, fans).growth
    assert final_correlation(growth, 0) > 0.6
    assert final_correlation(growth, 3) > 0.4


def test_no_marginal_changes(correlated: Callable[..., Pair]) -> None:
    candles, fans = correlated(n=3)
    joint = join_forecasts(candles, fans)
    for name, fan in fans.items():
        moved = joint.moved(name, fan)
        before = {path.tobytes() for path in fan.paths}
        assert {path.tobytes() for path in moved.paths} == before
        assert np.array_equal(moved.quantile(), fan.quantile())
        assert moved.timestamps.equals(fan.timestamps)
    assert join_forecasts(candles, fans).growth.tobytes() == joint.growth.tobytes()
    assert join_forecasts(candles, fans, seed=1).growth.tobytes() != joint.growth.tobytes()


def test_without_weights_the_fans_are_independent(correlated: Callable[..., Pair]) -> None:
    """Paths of one seed come in one order, which is no dependence to be kept."""
    candles, fans = correlated()
    same = dict.fromkeys(fans, fans["A"])
    joint = join_forecasts(candles, same, weights={})
    assert abs(final_correlation(joint.growth)) < 0.15


def test_nothing_after_the_origin_is_read(correlated: Callable[..., Pair]) -> None:
    candles, fans = correlated()
    longer = {
        name: candles_of(np.append(each.frame["close"].to_numpy(), [1e4, 1e-4]), name)
        for name, each in candles.items()
    }
    first, second = join_forecasts(candles, fans), join_forecasts(longer, fans)
    assert first.growth.tobytes() == second.growth.tobytes()
    assert first.n_common == second.n_common


def test_one_step_is_the_schaake_shuffle() -> None:
    rng = np.random.default_rng(0)
    paths, futures = rng.normal(size=(50, 1)), rng.normal(size=(50, 1))
    order = match(paths, futures, rng)
    assert np.array_equal(paths[order].argsort(axis=0), futures.argsort(axis=0))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1100), st.integers(1, 30), st.integers(0, 99))
def test_every_path_is_matched_once(n: int, horizon: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    paths = np.round(rng.normal(size=(n, horizon)), 1)  # with ties
    assert sorted(match(paths, rng.normal(size=(n, horizon)), rng)) == list(range(n))


def test_a_portfolio_of_joint_paths_has_the_volatility_of_its_members(
    correlated: Callable[..., Pair],
) -> None:
    candles, fans = correlated(0.8)
    joint = join_forecasts(candles, fans)
    long = joint.portfolio({"A": 0.5, "B": 0.5})
    spread = joint.portfolio({"A": 1.0, "B": -1.0})
    a, b = joint.growth[:, -1].std(axis=0)
    wanted = np.sqrt(a**2 / 4 + b**2 / 4 + 0.8 * a * b / 2)
    assert long.growth[:, -1].std() == pytest.approx(wanted, rel=0.04)
    wanted = np.sqrt(a**2 + b**2 - 2 * 0.8 * a * b)
    assert spread.growth[:, -1].std() == pytest.approx(wanted, rel=0.2)
    alone = joint.portfolio({"A": 1.0})
    assert np.allclose(alone.growth, joint.growth[:, :, 0])
    assert np.allclose(alone.quantile([0.5])[0], np.median(alone.growth, axis=0) - 1)


def test_markets_with_different_days_share_those_that_both_have() -> None:
    rng = np.random.default_rng(0)
    closes = 100 * np.exp(rng.normal(0, 0.01, (500, 2)).cumsum(axis=0))
    crypto = candles_of(closes[:, 0], "C")
    days = crypto.frame.index[crypto.frame.index.day_of_week < 5].tz_localize(None)
    frame = pd.DataFrame(
        {side: closes[: len(days), 1] for side in ("open", "high", "low", "close")}, days
    )
    stock = Candles.from_frame(
        frame, symbol="S", interval="1d", calendar="weekdays", zone="America/New_York"
    )
    candles = {"C": crypto, "S": stock}
    fans = {name: fan_of(each, rng, 14, 50) for name, each in candles.items()}
    joint = join_forecasts(candles, fans)
    assert len(joint.times) == 10
    assert (joint.times.day_of_week < 5).all()
    for name, fan in fans.items():
        dates = fan.timestamps.tz_convert(candles[name].zone).tz_localize(None).normalize()
        paths = fan.column("close")[joint.order[name]][:, dates.isin(joint.times)]
        k = joint.names.index(name)
        assert np.allclose(joint.growth[:, :, k], paths / fan.last_close)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, f: ({"A": c["A"]}, {"A": f["A"]}), "2 instruments or more, found 1"),
        (lambda c, f: ({n: e.slice(-50) for n, e in c.items()}, f), "in common, found 50"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    correlated: Callable[..., Pair], change: Callable[..., Pair], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        join_forecasts(*change(*correlated()))


def test_refusals_name_what_differs(correlated: Callable[..., Pair]) -> None:
    candles, fans = correlated()
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidRequest, match=r"same number of paths, found \[30, 400\]"):
        join_forecasts(candles, fans | {"B": fan_of(candles["B"], rng, 8, 30)})
    late = candles_of(candles["B"].frame["close"].to_numpy(), "B").slice(None, 500)
    with pytest.raises(InvalidRequest, match="no time in common: A from"):
        join_forecasts(candles | {"B": late}, fans | {"B": fan_of(late, rng, 8, 400)})
    joint = join_forecasts(candles, fans)
    with pytest.raises(InvalidRequest, match="No forecast of Z"):
        joint.portfolio({"Z": 1.0})
    for weights in ({}, {"A": 0.0}, {"A": float("nan")}):
        with pytest.raises(InvalidRequest, match="finite and not all 0"):
            joint.portfolio(weights)
