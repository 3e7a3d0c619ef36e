"""Forecasts of OHLCV candles as an honest fan of possible futures.

    import kronos

    predictor = kronos.load("bundled")
    forecast = predictor.forecast(df, y_timestamp=future)
    forecast.to_frame()

Importing this package imports no torch; the names below are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kronos.forecast import Forecast
    from kronos.forecasters.kronos import KronosPredictor
    from kronos.models import load
    from kronos.models.pretrained import Kronos, KronosTokenizer
    from kronos.serving.client import Client

__all__ = ["Client", "Forecast", "Kronos", "KronosPredictor", "KronosTokenizer", "load"]
__version__ = "0.1.0"

_HOMES = {
    "Client": "kronos.serving.client",
    "Forecast": "kronos.forecast",
    "Kronos": "kronos.models.pretrained",
    "KronosPredictor": "kronos.forecasters.kronos",
    "KronosTokenizer": "kronos.models.pretrained",
    "load": "kronos.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kronos' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
