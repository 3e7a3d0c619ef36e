"""The forecasters that a model has to beat.

    registry.py     the list: names, titles, descriptions
    predictor.py    candles in, a Forecast out, by any of the methods
    history.py      bars as moves from the close before, and moves back to candles
    random_walk.py  normal steps: with drift, and with an EWMA volatility
    bootstrap.py    past bars in blocks
    garch.py        GARCH(1,1) with Student t shocks, and filtered historical simulation

Importing this package imports neither scipy nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kronos.forecasters.baselines.registry import (
    BASELINES,
    Description,
    baseline_facts,
    find,
    revision,
)

if TYPE_CHECKING:
    from kronos.forecasters.baselines.predictor import BaselineForecaster

__all__ = ["BASELINES", "Description", "baseline", "baseline_facts", "find", "revision"]


def baseline(name: str) -> BaselineForecaster:
    """A baseline, ready to forecast.

    Args:
        name: A key of `BASELINES`, in any case.

    Raises:
        InvalidRequest: There is no such baseline.
    """
    from kronos.forecasters.baselines.predictor import (
        BaselineForecaster,  # scipy takes a while to import
    )

    return BaselineForecaster(name)
