"""Candles that never were: series continued by a model, and how real they look.

    generate.py   many bars behind a context, by way of the engine
    realism.py    returns, their memory and their volume, against the source's own
    export.py     series and report as text

Importing this package imports neither torch nor scipy.
"""

from __future__ import annotations

from kronos.synthetic.generate import (
    MAX_BARS,
    MAX_SERIES,
    SyntheticPlan,
    made_series,
    series_request,
)
from kronos.synthetic.realism import Realism, realism

__all__ = [
    "MAX_BARS",
    "MAX_SERIES",
    "Realism",
    "SyntheticPlan",
    "made_series",
    "realism",
    "series_request",
]
