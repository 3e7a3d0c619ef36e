"""Synthetic candles: series continued by a model, and their realism.

    generate.py   the request for many bars after a context, and its paths as series
    realism.py    returns, their autocorrelation and volume against the source's; the report as text

Importing this package imports neither torch nor scipy.
"""

from __future__ import annotations

from kronos.synthetic.generate import (
    MAX_BARS,
    MAX_SERIES,
    SyntheticPlan,
    series_request,
    synthetic_series,
)
from kronos.synthetic.realism import Realism, realism

__all__ = [
    "MAX_BARS",
    "MAX_SERIES",
    "Realism",
    "SyntheticPlan",
    "realism",
    "series_request",
    "synthetic_series",
]
