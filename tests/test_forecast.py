"""What a `Forecast` refuses to hold."""

from dataclasses import replace

import numpy as np
import pytest

from kronos.errors import InvalidCandles, InvalidRequest
from tests.store.made import make_candles, make_forecast

FORECAST = make_forecast(make_candles(), 60)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e101])
def test_a_path_that_leaves_what_numbers_hold_is_refused(value):
    paths = FORECAST.paths.copy()
    paths[0, 0, 0] = value
    with pytest.raises(InvalidCandles, match=r"is none or beyond 1e\+100"):
        replace(FORECAST, paths=paths)


def test_paths_of_another_shape_are_refused():
    with pytest.raises(InvalidRequest, match=r"must be \(N, H, 6\)"):
        replace(FORECAST, paths=FORECAST.paths[..., :5])
    with pytest.raises(InvalidRequest, match="forecast bars but"):
        replace(FORECAST, paths=FORECAST.paths[:, :-1])
