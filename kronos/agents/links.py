"""Addresses of views on the pages.

The names are those of the controls of the Forecast and Compare pages, a test opens what they lead
to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import pandas as pd

from kronos.calendars.intervals import is_intraday
from kronos.candles import Candles
from kronos.forecast import SamplingParameters

__all__ = ["compare_link", "forecast_link"]

_SLOTS = "abcd"


def forecast_link(
    base: str,
    instrument: Mapping[str, str] | None,
    known: Candles,
    sampling: SamplingParameters,
    *,
    model: str,
    horizon: int,
    lookback: int | None,
) -> str | None:
    """Address of a forecast; None for bars that no address can name.

    Args:
        base: Address of the application.
        instrument: Parameters that name the bars; see `Feeds.page`.
        known: The bars up to the origin.
        sampling: How futures are drawn.
        model: Title of the model.
        horizon: Bars to forecast.
        lookback: Bars that are read; None for what suits the model.
    """
    if instrument is None:
        return None
    query = _of(instrument, known, sampling, horizon) | {
        "model": model, "T": f"{sampling.T:g}", "top_p": f"{sampling.top_p:g}",
        "top_k": str(sampling.top_k),
    }  # fmt: skip
    if lookback is not None:
        query["lookback"] = str(lookback)
    return f"{base}/forecast?{urlencode(query)}"


def compare_link(
    base: str,
    instrument: Mapping[str, str] | None,
    known: Candles,
    sampling: SamplingParameters,
    *,
    models: Sequence[str],
    horizon: int,
) -> str | None:
    """Address of a comparison of up to four models by their titles; see `forecast_link`."""
    if instrument is None:
        return None
    query = _of(instrument, known, sampling, horizon) | {"models": str(len(models))}
    for slot, title in zip(_SLOTS, models, strict=False):
        query |= {slot: title, f"T{slot}": f"{sampling.T:g}", f"p{slot}": f"{sampling.top_p:g}"}
    return f"{base}/compare?{urlencode(query)}"


def _of(
    instrument: Mapping[str, str], known: Candles, sampling: SamplingParameters, horizon: int
) -> dict[str, str]:
    origin = pd.Timestamp(known.local_index[-1])
    query = dict(instrument) | {
        "horizon": str(horizon), "paths": str(sampling.sample_count), "seed": str(sampling.seed),
        "origin": f"{origin:%Y-%m-%d}",
    }  # fmt: skip
    if is_intraday(known.interval):
        query["origin_time"] = f"{origin:%H:%M}"
    return query
