"""Kronos as a forecaster of sktime.

from kronos.sktime import KronosForecaster

forecaster = KronosForecaster(sample_count=200)
forecaster.fit(close, fh=[1, 2, 3])
forecaster.predict_quantiles(alpha=[0.1, 0.5, 0.9])
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from kronos.extras import require
from kronos.models import load

if TYPE_CHECKING:
    from kronos.forecasters.base import Forecaster

__all__ = ["KronosForecaster"]

require("sktime", "sktime", "KronosForecaster")
_base = import_module("sktime.forecasting.base")
_FIRST_DAY = pd.Timestamp("2000-01-03")
"""The day of the index 0 where an index counts bars."""


class KronosForecaster(_base.BaseForecaster):  # type: ignore[name-defined]
    """Forecasts of a close, as quantiles of sampled paths; `predict` is their median.

    `y` is the close. `X`, where `fit` or `update` gets it, may have columns open, high, low and
    volume of the same bars; other columns, and all of `X` in `predict`, are not read. Without
    prices, a bar opens at the close before it, and its high and low are the larger and the
    smaller of both. An index of times is taken as that of the exchange's clock, an index of
    numbers as days.

    Args:
        model: As for `kronos.load`.
        sample_count: Number of paths.
        temperature: Temperature of sampling.
        top_p: Nucleus mass kept.
        top_k: Most likely tokens kept; 0 keeps all.
        seed: The same seed gives the same paths.
        lookback: Bars read; None takes what suits the model.

    Raises:
        MissingExtra: sktime is not installed.

    Examples:
        >>> from sktime.datasets import load_airline
        >>> from kronos.sktime import KronosForecaster
        >>> forecaster = KronosForecaster(sample_count=50)
        >>> forecaster.fit(load_airline(), fh=[1, 2, 3])
        KronosForecaster(sample_count=50)
        >>> bool((forecaster.predict_interval(coverage=0.8) > 0).all(axis=None))
        True
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["Kronos Fan"],
        "python_dependencies": ["torch"],
        "scitype:y": "univariate",
        "y_inner_mtype": "pd.DataFrame",
        "X_inner_mtype": "pd.DataFrame",
        "capability:exogenous": True,
        "capability:multivariate": False,
        "capability:missing_values": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:insample": False,
        "capability:update": True,
        "requires-fh-in-fit": False,
        "X-y-must-have-same-index": True,
    }

    def __init__(
        self,
        model: str = "bundled",
        *,
        sample_count: int = 100,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        lookback: int | None = None,
    ) -> None:
        self.model = model
        self.sample_count = sample_count
        self.temperature = temperature
        self.top_p = top_p
        self.top_k = top_k
        self.seed = seed
        self.lookback = lookback
        super().__init__()

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> KronosForecaster:
        self._bars, self._columns = _bars(y, X), y.columns
        return self

    def _update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True
    ) -> KronosForecaster:  # fmt: skip
        fresh = _bars(y, X)
        both = pd.concat([self._bars, fresh])
        self._bars = both[~both.index.duplicated(keep="last")].sort_index()
        return self

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
        return pd.DataFrame(
            self._quantiles(fh, [0.5]),
            index=fh.to_absolute_index(self.cutoff),
            columns=self._columns,
        )

    def _predict_quantiles(
        self, fh: Any, X: pd.DataFrame | None, alpha: list[float]
    ) -> pd.DataFrame:  # fmt: skip
        return pd.DataFrame(
            self._quantiles(fh, alpha),
            index=fh.to_absolute_index(self.cutoff),
            columns=pd.MultiIndex.from_product([self._get_varnames(), alpha]),
        )

    def _quantiles(self, fh: Any, levels: list[float]) -> np.ndarray:
        """(steps of the horizon, levels) quantiles of the close."""
        steps = np.asarray(fh.to_relative(self.cutoff).to_numpy(), dtype=int)
        horizon = _base.ForecastingHorizon(np.arange(1, steps.max() + 1), is_relative=True)
        forecast = _load(self.model).forecast(
            self._bars,
            x_timestamp=_times(self._bars.index),
            y_timestamp=_times(horizon.to_absolute_index(self.cutoff)),
            T=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            sample_count=self.sample_count,
            seed=self.seed,
            lookback=self.lookback,
        )
        closes = forecast.column("close")[:, steps - 1]
        return np.quantile(closes, levels, axis=0).T

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings for sktime's own tests; see `BaseForecaster.get_test_params`."""
        return [{"sample_count": 8}, {"sample_count": 5, "seed": 3, "lookback": 16}]


@lru_cache(maxsize=2)
def _load(model: str) -> Forecaster:
    return load(model)


def _bars(y: pd.DataFrame, more: pd.DataFrame | None) -> pd.DataFrame:
    """Candles of a close and of what else is known of the same bars."""
    close = y.iloc[:, 0].astype(float)
    opened = close.shift(1).fillna(close)
    bars = pd.DataFrame({"open": opened, "close": close})
    known = {} if more is None else {str(name).strip().lower(): name for name in more.columns}
    for name in ("open", "high", "low", "volume"):
        if more is not None and name in known:
            bars[name] = more[known[name]].astype(float).to_numpy()
    prices = bars[["open", "close"]]
    if "high" not in bars:
        bars["high"] = prices.max(axis=1)
    if "low" not in bars:
        bars["low"] = prices.min(axis=1)
    return bars


def _times(index: pd.Index) -> pd.DatetimeIndex:
    if isinstance(index, pd.PeriodIndex):
        return index.to_timestamp()
    if isinstance(index, pd.DatetimeIndex):
        return index
    return _FIRST_DAY + pd.to_timedelta(index.to_numpy(), unit="D")
