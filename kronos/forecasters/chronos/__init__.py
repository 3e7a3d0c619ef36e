"""Chronos-2, a general model of time series, asked like Kronos.

    package.py    whether chronos-forecasting is installed
    series.py     candles as series in logarithms, and quantiles of them
    ranks.py      paths out of marginals, by the ranks of a reference
    predictor.py  candles in, a Forecast out

Importing this package imports neither torch nor chronos-forecasting.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kronos.forecasters.chronos.package import require_package

if TYPE_CHECKING:
    from kronos.forecasters.chronos.predictor import ChronosPredictor

__all__ = ["load_chronos", "require_package"]


def load_chronos(
    folder: Path, *, device: str, name: str, revision: str, max_context: int | None = None
) -> ChronosPredictor:
    """A checkpoint of Chronos-2, ready to forecast.

    Args:
        folder: Holds config.json and model.safetensors.
        device: Where to compute.
        name: Name shown with forecasts.
        revision: Hub commit or weights digest shown with forecasts.
        max_context: Most bars to read at once; None for what the checkpoint was trained for.

    Raises:
        CheckpointUnavailable: chronos-forecasting is not installed.
        CheckpointInvalid: The folder holds no checkpoint of Chronos-2.
    """
    require_package()
    from kronos.forecasters.chronos.predictor import (
        ChronosPredictor,  # torch takes seconds to import
    )

    return ChronosPredictor.from_folder(
        folder, device=device, name=name, revision=revision, max_context=max_context
    )
