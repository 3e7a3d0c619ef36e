"""The revision of the baselines belongs to what they draw: neither changes without the other."""

import numpy as np
import pandas as pd
import pytest

from kronos.forecasters.baselines import BASELINES, baseline, revision

DRAWN = {
    "random-walk": (
        109.56995760879097, 109.16951870916506, 108.84801067492651, 109.22261493385776,
        109.39133530700282, 108.81734530796268, 1066.3473805445, 116078.51512848453,
    ),
    "bootstrap": (
        109.35625090648733, 110.15524438208861, 110.7808246047434, 110.13056555274575,
        110.85412771942914, 110.11122094222189, 811.0336017176638, 89846.9711804378,
    ),
    "ewma": (
        109.60503486384756, 109.01120384846246, 108.51933109028428, 109.07899881660587,
        109.29448735090077, 108.48024228542734, 1066.3473805445, 115837.39489308592,
    ),
    "garch": (
        109.60944603657795, 109.03249522105781, 108.56393936198403, 109.09168884338449,
        109.2798067040012, 108.5298003771705, 1066.3473805445, 115861.91960297483,
    ),
    "fhs": (
        110.12180376529764, 110.44045615135471, 109.64799393456208, 110.53302074060429,
        110.62321615278827, 109.45752419292717, 1104.9854106869986, 121374.37973584031,
    ),
}  # fmt: skip
"""Path 0 of two, three bars ahead: closes; open, high, low, volume and amount of the last bar."""
TOLERANCES = {"garch": 1e-5, "fhs": 1e-5}
"""Processors round differently, and a search for the best fit stops at another point."""


def bars() -> pd.DataFrame:
    """150 hourly candles without randomness: calm at first, restless at the end."""
    step = np.arange(150.0)
    returns = (0.004 + 0.006 * step / 150) * np.sin(1.7 * step + 0.02 * step**2)
    close = 100.0 * np.exp(np.cumsum(returns))
    open_ = np.concatenate([[100.0], close[:-1]]) * (1 + 0.0005 * np.cos(step))
    volume = 1000.0 + 300.0 * np.sin(0.9 * step)
    return pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) * (1 + 0.001 * (1 + np.sin(2.3 * step))),
            "low": np.minimum(open_, close) * (1 - 0.001 * (1 + np.cos(3.1 * step))),
            "close": close,
            "volume": volume,
            "amount": volume * close,
        },
        index=pd.date_range("2024-01-01", periods=150, freq="1h", tz="UTC"),
    )


@pytest.mark.parametrize("name", BASELINES)
def test_what_a_baseline_draws_is_what_its_revision_drew(name):
    known = bars()
    future = pd.date_range(known.index[-1], periods=4, freq="1h")[1:]
    made = baseline(name).forecast(known, y_timestamp=future, sample_count=2, seed=5)
    found = [*made.column("close")[0], *np.delete(made.paths[0, -1], 3)]
    np.testing.assert_allclose(found, DRAWN[name], rtol=TOLERANCES.get(name, 1e-9), atol=0.0)


def test_the_revision_is_the_one_that_stored_records_name():
    """Another value orphans stored forecasts of baselines, calibrations and ensemble weights."""
    assert revision() == "6d6ad9aac2acdfa5"
