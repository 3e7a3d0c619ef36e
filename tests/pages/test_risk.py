"""The risk panel's numbers, without a page."""

import numpy as np
import pytest

from kronos.errors import InvalidRequest
from pages.ui.fan.risk import Position, losses_table, position_readouts


def test_losses_of_both_sides_stand_beside_their_errors(simulate):
    _, forecast = simulate(n_paths=400)
    table = losses_table(forecast).set_index("Measure")
    wanted = forecast.value_at_risk(0.95)
    shown = f"{wanted.value:.2%} ± {100 * wanted.error:.2f}"
    assert table.loc["Value at risk 95%", "Long"] == shown
    wanted = forecast.expected_shortfall(0.99, "short")
    shown = f"{wanted.value:.2%} ± {100 * wanted.error:.2f}"
    assert table.loc["Expected shortfall 99%", "Short"] == shown
    falls = [float(table.loc[name, "Long"].split("%")[0]) for name in
             ("Drawdown, median", "Drawdown, 1 in 20")]  # fmt: skip
    assert 0 < falls[0] < falls[1]


def test_a_fan_of_the_implied_volatility_is_beyond_its_cone_in_a_fifth_of_paths(simulate):
    candles, forecast = simulate(n_paths=2000)
    years = candles.bar_years * forecast.horizon
    assert years == pytest.approx(24 / 48 / 365)
    own = float(forecast.log_returns()[:, -1].std() / np.sqrt(years))
    last = forecast.last_close
    position = Position(last * 0.98, last * 1.03, 0.01, own)
    found = {each.label: each for each in position_readouts(candles, forecast, position)}
    # Steps of a Student t: a little fewer than a fifth.
    assert 16 <= float(found["P(beyond it)"].value.split("%")[0]) <= 21
    assert found["Fan, annualised"].value == f"{own:.0%}"
    assert found["Long position"].value == "50%"
    shares = [float(found[name].value.split("%")[0]) for name in
              ("Stop first", "Target first", "Neither")]  # fmt: skip
    assert sum(shares) == pytest.approx(100, abs=1.5)


def test_weekday_bars_count_their_sessions(simulate):
    candles, _ = simulate(n_bars=300, freq="1D", interval="1d")
    assert 365 * candles.bar_years == pytest.approx(1.0)


def test_a_stop_on_the_wrong_side_is_refused(simulate):
    candles, forecast = simulate()
    position = Position(forecast.last_close * 1.1, forecast.last_close * 1.2, 0.01, None)
    with pytest.raises(InvalidRequest, match="must be between stop and target"):
        position_readouts(candles, forecast, position)
