"""Risk from paths, against closed forms and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from kronos import risk
from kronos.errors import InvalidRequest

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(0.001, 0.02, 200_000)


def walks(n: int, horizon: int, sigma: float = 0.01, seed: int = 1) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(0, sigma, (n, horizon))
    return 100 * np.exp(steps.cumsum(axis=1))


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_value_at_risk_and_shortfall_of_normal_returns_have_their_closed_forms(level):
    z = norm.ppf(level)
    for side, drift in (("long", -0.001), ("short", 0.001)):
        found = risk.value_at_risk(NORMAL, level, side)
        assert found.value == pytest.approx(drift + 0.02 * z, rel=0.02)
        shortfall = risk.expected_shortfall(NORMAL, level, side)
        assert shortfall.value == pytest.approx(drift + 0.02 * norm.pdf(z) / (1 - level), rel=0.02)
        assert shortfall.value > found.value


def test_errors_are_the_spread_over_samples():
    """Of 400 samples of 300 paths: the error given is, on average, the spread that is seen."""
    samples = np.random.default_rng(3).normal(0, 0.02, (400, 300))
    for measure in (
        lambda x: risk.value_at_risk(x, 0.95),
        lambda x: risk.expected_shortfall(x, 0.95),
        lambda x: risk.quantile_of(x, 0.3),
        lambda x: risk.share_of(x > 0.01),
    ):
        found = [measure(each) for each in samples]
        seen = np.std([each.value for each in found])
        assert np.mean([each.error for each in found]) == pytest.approx(seen, rel=0.2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60),
    st.floats(0.01, 0.98),
    st.floats(0.1, 10.0),
)
def test_laws_of_value_at_risk(values, level, scale):
    returns = np.array(values)
    for side in ("long", "short"):
        var, es = (
            measure(returns, level, side)
            for measure in (risk.value_at_risk, risk.expected_shortfall)
        )
        assert es.value >= var.value - 1e-9
        assert es.value <= np.abs(returns).max() + 1e-12
        assert risk.value_at_risk(returns, min(level + 0.01, 0.99), side).value >= var.value - 1e-12
        assert risk.value_at_risk(scale * returns, level, side).value == pytest.approx(
            scale * var.value, abs=1e-9
        )
        assert var.error >= 0
        assert not es.error < 0
    mirrored = risk.value_at_risk(-returns, level, "short")
    assert mirrored == risk.value_at_risk(returns, level, "long")


def test_drawdown_counts_what_surely_came_before():
    opens, highs, lows = (
        np.array([row]) for row in ([100, 104, 99], [110, 105, 100], [99, 90, 95])
    )
    # From the high of the first bar, 110, to the low of the second, 90.
    assert risk.drawdowns(opens, highs, lows, 100.0)[0] == pytest.approx(1 - 90 / 110)
    # One bar alone: its high of 110 need not come before its low of 99.
    one = [each[:, :1] for each in (opens, highs, lows)]
    assert risk.drawdowns(*one, 100.0)[0] == pytest.approx(0.01)
    # A rise from 90 to 100, after a low of 99 before.
    assert risk.drawdowns(opens, highs, lows, 100.0, "short")[0] == pytest.approx(100 / 90 - 1)
    rising = np.array([[101.0, 102.0]])
    assert risk.drawdowns(rising, rising, rising, 100.0)[0] == 0.0


def test_stop_and_target_of_a_walk_are_as_likely_as_their_distances_say():
    """Of a driftless walk the stop at 1 - a and the target at 1 + b are hit as b to a."""
    closes = walks(4000, 800, sigma=0.004)
    found = risk.first_touch(closes, closes, 100.0, 98.0, 104.0)
    shares = found.stop.value + found.target.value + found.neither.value
    assert shares == pytest.approx(1.0)
    assert found.neither.value < 0.02
    assert found.stop.value == pytest.approx(2 / 3, abs=0.03)
    assert found.both.value == 0.0
    assert found.bars_to_stop.value < found.bars_to_target.value
    mirrored = risk.first_touch(closes, closes, 100.0, 104.0, 98.0)
    assert mirrored.target.value == found.stop.value


def test_a_bar_that_reaches_both_counts_as_the_stop():
    highs, lows = np.array([[106.0], [106.0]]), np.array([[94.0], [99.0]])
    found = risk.first_touch(highs, lows, 100.0, 95.0, 105.0)
    assert (found.stop.value, found.target.value, found.both.value) == (0.5, 0.5, 0.5)
    assert (found.bars_to_stop.value, found.bars_to_target.value) == (1.0, 1.0)
    never = risk.first_touch(highs, lows, 100.0, 50.0, 200.0)
    assert never.neither.value == 1.0
    assert np.isnan(never.bars_to_stop.value)


def test_a_corridor_holds_whole_paths_that_it_has_not_seen():
    for n, share in ((30, 0.8), (100, 0.8), (300, 0.8), (1000, 0.5)):
        held = []
        for seed in range(12):
            low, high = risk.corridor(walks(n, 24, seed=seed), share)
            fresh = walks(2000, 24, seed=seed + 100)
            held.append(((fresh >= low) & (fresh <= high)).all(axis=1).mean())
        assert np.mean(held) == pytest.approx(share, abs=0.03 if n >= 100 else 0.05), (n, share)
    closes = walks(300, 24)
    low, high = risk.corridor(closes)
    assert (low <= np.quantile(closes, 0.1, axis=0)).all()
    assert (high >= np.quantile(closes, 0.9, axis=0)).all()
    assert np.allclose(risk.corridor(7 * closes), 7 * risk.corridor(closes))


def test_a_position_loses_its_budget_at_the_stop():
    assert risk.position_size(100.0, 98.5, 0.01) * 0.015 == pytest.approx(0.01)
    assert risk.implied_scale(0.2, [1 / 252, 1.0])[1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: risk.first_touch(np.ones((2, 2)), np.ones((2, 2)), 1.0, 1.1, 1.2), "between stop"),
        (lambda: risk.position_size(100.0, 100.0, 0.01), "must differ"),
        (lambda: risk.position_size(100.0, 90.0, 1.5), "between 0 and 1, found 1.5"),
        (lambda: risk.value_at_risk(NORMAL, 95), "between 0 and 1, found 95"),
        (lambda: risk.implied_scale(62, [1.0]), "at most 1,000%, found 62"),
        (lambda: risk.corridor(np.ones((3, 2)), 1.0), "between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(InvalidRequest, match=message):
        call()


def test_a_bar_has_its_share_of_a_year():
    assert risk.years_of(1.0, bars_a_day=1, is_open_always=False) == pytest.approx(1 / 252)
    assert risk.years_of(1.0, bars_a_day=1, is_open_always=True) == pytest.approx(1 / 365)
    assert risk.years_of(1 / 24, bars_a_day=7, is_open_always=False) == pytest.approx(1 / 252 / 7)
    assert risk.years_of(1 / 24, bars_a_day=24, is_open_always=True) == pytest.approx(1 / 8760)
    assert risk.years_of(7.0, bars_a_day=1, is_open_always=False) == pytest.approx(7 / 365)


def test_a_forecast_has_all_of_it(simulate):
    _, forecast = simulate(n_paths=200)
    final = forecast.column("close")[:, -1]
    last = forecast.last_close
    assert forecast.value_at_risk(0.95).value == pytest.approx(1 - np.quantile(final, 0.05) / last)
    assert forecast.expected_shortfall(0.99).value > forecast.value_at_risk(0.99).value
    assert forecast.value_at_risk(0.95, "short").value > 0
    low, high = np.quantile(final, (0.3, 0.6))
    assert forecast.probability_between(low, high).value == pytest.approx(0.3, abs=0.02)
    fall = 1 - forecast.column("low").min(axis=1) / last
    assert (forecast.drawdowns() >= fall - 1e-12).all()
    touch = forecast.first_touch(last * 0.99, last * 1.01)
    assert touch.stop.value <= forecast.probability_touch(last * 0.99)
    assert forecast.corridor().shape == (2, forecast.horizon)
    with pytest.raises(InvalidRequest, match="lower price must be below"):
        forecast.probability_between(high, low)


def test_what_no_path_does_is_not_impossible():
    never = risk.share_of(np.zeros(100, bool))
    assert never.value == 0.0
    assert 0.005 < never.error < 0.02
    assert risk.share_of(np.ones(100, bool)).error == pytest.approx(never.error)
    assert np.isnan(risk.expected_shortfall(NORMAL[:100], 0.99).error)
    with pytest.raises(InvalidRequest, match="3 paths or more, found 1"):
        risk.corridor(np.ones((1, 4)))


def test_an_implied_cone_is_log_normal_and_has_the_start_as_its_mean():
    years = np.array([0.1, 1.0])
    levels = (np.arange(20_000) + 0.5) / 20_000
    cone = risk.implied_cone(50.0, 0.4, years, levels)
    assert cone.mean(axis=0) == pytest.approx([50.0, 50.0], rel=1e-3)
    assert np.log(cone).std(axis=0) == pytest.approx(0.4 * np.sqrt(years), rel=1e-2)
    for volatility in (0.0, 11.0, float("nan")):
        with pytest.raises(InvalidRequest, match="implied volatility must be above 0"):
            risk.implied_cone(50.0, volatility, years)
    with pytest.raises(InvalidRequest, match="level must be between 0 and 1"):
        risk.implied_cone(50.0, 0.4, years, (0.0,))


def test_fan_and_implied_cone_are_each_beyond_the_other_as_often_as_normals_are():
    scale = 0.5 * np.sqrt(0.25)
    noise = np.random.default_rng(5).normal(size=20_000)
    same = 80.0 * np.exp(-(scale**2) / 2 + scale * noise)
    seen = risk.implied_view(same, 80.0, 0.5, 0.25)
    assert seen.own == pytest.approx(0.5, rel=0.02)
    for each in (seen.beyond_implied, seen.beyond_fan):
        assert abs(each.value - 0.2) < 4 * each.error < 0.03
    half = risk.implied_view(80.0 * np.exp(scale / 2 * noise), 80.0, 0.5, 0.25)
    assert half.beyond_implied.value == pytest.approx(2 * norm.sf(2 * norm.ppf(0.9)), abs=0.01)
    assert half.beyond_fan.value == pytest.approx(2 * norm.sf(norm.ppf(0.9) / 2), abs=0.03)


def test_the_error_of_the_implied_probability_is_the_spread_over_samples():
    samples = np.exp(np.random.default_rng(6).normal(0, 0.1, (300, 400)))
    found = [risk.implied_view(each, 1.0, 0.1, 1.0).beyond_fan for each in samples]
    seen = np.std([each.value for each in found])
    assert np.mean([each.error for each in found]) == pytest.approx(seen, rel=0.25)
