"""The forecast of a self-test, and the closes stored for the bundled model."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from kronos import models
from kronos.candles import Candles
from kronos.errors import CheckpointInvalid
from kronos.forecast import Forecast, SamplingParameters
from kronos.request import ForecastRequest, ModelFacts
from kronos.serving.service import LocalService
from kronos.system import asset_path

__all__ = [
    "GREEDY",
    "HORIZON",
    "TOLERANCE",
    "Expected",
    "known_bars",
    "known_request",
    "store_expected",
]

HORIZON = 12
TOLERANCE = 1e-4
"""Largest relative difference from a stored close."""
GREEDY = SamplingParameters(T=0.0, sample_count=1)
_SAMPLE = "BTCUSD_30m"
_N_BARS = 128
_FILE = ("bundled", "expected.json")


@dataclass(frozen=True, slots=True)
class Expected:
    """The stored outcome of the greedy forecast.

    Attributes:
        revision: Revision of the weights that made it.
        closes: (H,) closes.
    """

    revision: str
    closes: np.ndarray

    @classmethod
    def read(cls) -> Expected:
        """Read the file that ships with the project.

        Raises:
            CheckpointInvalid: It is missing or unreadable.
        """
        path = asset_path(*_FILE)
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(facts["revision"]), np.asarray(facts["closes"], dtype=float))
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise CheckpointInvalid(
                f"The stored closes in {path} cannot be read: {exc}. Install the application again."
            ) from exc


@cache
def known_bars() -> tuple[pd.DataFrame, pd.DatetimeIndex]:
    """The last bars of a bundled sample, and the HORIZON times that follow."""
    table = pd.read_csv(asset_path("samples", f"{_SAMPLE}.csv")).tail(_N_BARS)
    candles = Candles.from_frame(table, symbol="BTCUSD", calendar="24/7", zone="UTC")
    return candles.frame, candles.future(HORIZON)


def known_request(facts: ModelFacts, sampling: SamplingParameters) -> ForecastRequest:
    """The request for a forecast of the bars."""
    bars, future = known_bars()
    return ForecastRequest.of_frame(bars, facts, y_timestamp=future, sampling=sampling)


def store_expected() -> None:
    """Store the closes that the bundled model forecasts on this machine's processor."""
    (entry,) = (e for e in models.available() if e.name == models.BUNDLED)
    with closing(LocalService(device="cpu")) as service:
        request = known_request(service.facts(models.BUNDLED), GREEDY)
        found: Forecast = service.run(request)
    closes = found.column("close")[0].round(4).tolist()
    text = json.dumps({"revision": entry.revision, "closes": closes}, indent=2)
    asset_path(*_FILE).write_text(text + "\n", encoding="utf-8")
