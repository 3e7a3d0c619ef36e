"""What a forecast's files are called."""

from __future__ import annotations

import re

from kronos.candles import Candles
from kronos.forecast import Forecast


def file_stem(candles: Candles, forecast: Forecast) -> str:
    """A file name that is harmless everywhere, without its ending."""
    symbol = re.sub(r"[^A-Za-z0-9]+", "-", candles.symbol).strip("-")[:40] or "candles"
    return f"{symbol}_{candles.interval}_{forecast.origin:%Y%m%dT%H%M}_{forecast.horizon}bars"
