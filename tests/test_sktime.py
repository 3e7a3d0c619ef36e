"""Kronos as a forecaster of sktime, in an environment that has sktime.

    SKTIME_PYTHON=path/to/python make test PYTEST_ARGS='-m sktime'

sktime takes no pandas as new as the tested one, so that it has an environment of its own:
pip install 'kronos-fan[sktime]' pytest.
"""

import os
import subprocess

import pytest

from tests.source_tree import ROOT

pytestmark = [pytest.mark.sktime, pytest.mark.timeout(1800)]

CHECK = """
from sktime.utils.estimator_checks import check_estimator
from kronos.sktime import KronosForecaster
found = check_estimator(KronosForecaster, raise_exceptions=False, verbose=False)
failed = {name: what for name, what in found.items() if what != "PASSED"}
print(len(found), "checks")
assert not failed, failed
"""
USE = """
import numpy as np, pandas as pd
import kronos
from data_sources.samples import load_sample
from kronos.sktime import KronosForecaster
from sktime.performance_metrics.forecasting.probabilistic import PinballLoss
bars = load_sample("GOOG_1d").frame.tz_localize(None)[-300:]
close = bars["close"].set_axis(pd.period_range("2020-01-01", periods=300, freq="B"))
more = bars[["open", "high", "low", "volume"]].set_axis(close.index)
known, ahead = close[:-5], close[-5:]
forecaster = KronosForecaster(sample_count=50, seed=1).fit(known, X=more[:-5], fh=[1, 2, 5])
fan = forecaster.predict_quantiles(alpha=[0.1, 0.5, 0.9])
assert list(fan.index) == list(ahead.index[[0, 1, 4]])
times = known.index.to_timestamp()
direct = kronos.load("bundled").forecast(
    bars[:-5].drop(columns="amount"), x_timestamp=times, y_timestamp=ahead.index.to_timestamp(),
    sample_count=50, seed=1)
wanted = np.quantile(direct.column("close")[:, [0, 1, 4]], [0.1, 0.5, 0.9], axis=0).T
assert np.array_equal(fan.to_numpy(), wanted)
assert np.array_equal(forecaster.predict().to_numpy().ravel(), wanted[:, 1])
assert PinballLoss()(ahead.iloc[[0, 1, 4]], fan) > 0
alone = KronosForecaster(sample_count=50, seed=1).fit(known, fh=[1]).predict()
assert alone.iloc[0] != wanted[0, 1], "without the other prices it is another forecast"
forecaster.update(ahead, X=more[-5:])
assert forecaster.predict(fh=[1]).index[0] == ahead.index[-1] + 1
print("used")
"""


@pytest.fixture(scope="module")
def python():
    path = os.environ.get("SKTIME_PYTHON")
    if not path:
        pytest.fail("Set SKTIME_PYTHON to a Python that can import sktime and kronos.")
    return path


@pytest.mark.parametrize(("script", "said"), [(CHECK, "checks"), (USE, "used")])
def test_sktime_takes_it_for_one_of_its_own(python, script, said):
    done = subprocess.run(
        [python, "-c", script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=1700, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert said in done.stdout
