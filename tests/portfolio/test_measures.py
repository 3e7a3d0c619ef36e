"""Measures against values published or worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kronos.errors import InvalidRequest
from kronos.portfolio import Costs, Market, Rules, simulate
from kronos.portfolio.measures import (
    break_even_cost,
    deflated_sharpe,
    drawdown,
    expected_maximum,
    forward_returns,
    newey_west_t,
    performance,
    probability_above,
    rank_ic,
)
from tests.portfolio.universe import made, untraded


def test_the_published_example_of_the_deflated_sharpe_ratio():
    """Bailey and López de Prado (2014): 5 years of days, 100 trials whose ratios vary by 1/2."""
    threshold = expected_maximum(0.5 / 250, 100)
    assert threshold == pytest.approx(0.1132, abs=5e-5)
    ratio = 2.5 / math.sqrt(250)
    found = probability_above(ratio, threshold, n=1250, skewness=-3.0, kurtosis=10.0)
    assert found == pytest.approx(0.9004, abs=5e-5)
    fewer = expected_maximum(0.5 / 250, 46)
    found = probability_above(ratio, fewer, n=1250, skewness=-3.0, kurtosis=10.0)
    assert found == pytest.approx(0.9505, abs=5e-5)


def test_more_trials_deflate_more():
    rng = np.random.default_rng(0)
    returns, tried = rng.normal(0.001, 0.01, 500), rng.normal(0.0, 0.05, 6)
    found = [deflated_sharpe(returns, tried, n).probability for n in (6, 60, 600)]
    assert found == sorted(found, reverse=True)
    with pytest.raises(InvalidRequest, match="count the 6 signals"):
        deflated_sharpe(returns, tried, 5)


def test_drawdown_is_measured_from_the_highest_value_so_far():
    np.testing.assert_allclose(
        drawdown(np.array([1.0, 2.0, 1.5, 3.0, 0.75])), [0, 0, -0.25, 0, -0.75]
    )


def test_the_numbers_of_a_run_that_holds_one_instrument():
    market = Market.of(made(1, 366 + 6))
    dates = np.array([5])
    book = simulate(market, dates, np.ones((1, 1)), Rules(1, 1), Costs(0.01, 0.0), capital=10.0)
    found = performance(book)
    bought = 10.0 / 1.01 / market.opens[6, 0]
    assert found.total_return == pytest.approx(bought * market.closes[-1, 0] / 10.0 - 1.0)
    assert found.annual_return == pytest.approx((1 + found.total_return) ** (365.25 / 366) - 1.0)
    returns = book.equity[1:] / book.equity[:-1] - 1.0
    assert found.annual_volatility == pytest.approx(returns.std(ddof=1) * math.sqrt(365.25))
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365.25))
    assert found.costs == pytest.approx(10.0 / 1.01 * 0.01 / 10.0)
    assert found.n_trades == 1


def test_at_the_break_even_cost_a_strategy_ends_where_its_benchmark_does():
    market = Market.of(made(6))
    dates = np.arange(5, 119, 2)
    ahead = market.closes[np.minimum(dates + 3, 119)] / market.opens[dates + 1]

    def wealth(cost):
        return float(simulate(market, dates, ahead, Rules(2, 2), Costs(cost, cost)).equity[-1])

    needed = 1.1
    cost = break_even_cost(wealth, needed)
    assert 0.0 < cost < 0.05
    assert wealth(cost) == pytest.approx(needed, rel=1e-3)
    assert math.isnan(break_even_cost(wealth, 1e9))
    assert math.isinf(break_even_cost(wealth, 0.0))


def test_forward_returns_are_those_of_what_could_be_bought():
    bars = made(2, 30)
    bars["S1"] = untraded(bars["S1"], slice(11, 12))
    market = Market.of(bars)
    earned = forward_returns(market, np.array([10, 28]), 5)
    expected = np.log(bars["S0"].frame["close"].iloc[15] / bars["S0"].frame["open"].iloc[11])
    assert earned[0, 0] == pytest.approx(expected)
    assert np.isnan(earned[0, 1]), "no volume at the open"
    assert np.isnan(earned[1]).all(), "the calendar ends before"


def test_scores_that_know_the_outcome_have_a_rank_ic_of_one():
    earned = np.random.default_rng(0).normal(size=(20, 7))
    assert rank_ic(np.exp(earned), earned).mean == pytest.approx(1.0)
    assert rank_ic(-earned, earned).mean == pytest.approx(-1.0)
    noise = rank_ic(np.random.default_rng(1).normal(size=(400, 7)), np.tile(earned, (20, 1)))
    assert abs(noise.t) < 2.5
    assert np.isnan(rank_ic(np.zeros((20, 7)), earned).mean), "equal scores rank nothing"


def test_newey_west_by_hand():
    values = np.array([1.0, 2.0, 4.0, 3.0])
    apart = values - 2.5
    # Bartlett weights of two lags, which are 2/3 and 1/3.
    long_run = apart @ apart + 2 * (
        2 / 3 * (apart[1:] @ apart[:-1]) + 1 / 3 * (apart[2:] @ apart[:-2])
    )
    assert newey_west_t(values, lags=2) == pytest.approx(2.5 / (math.sqrt(long_run) / 4))
    assert math.isnan(newey_west_t(values[:2], lags=1))
