"""Several models as one: fans averaged level by level, with weights learned from their record.

    weights.py    the weights in use: their features, their files
    predictor.py  the ensemble as a forecaster: one fan from several
    record.py     the forecasts of all members for the same outcomes, from the store
    learning.py   weights learned from that record, and a trial of them

The first two forecast, and know nothing of the store. The reasons are in
docs/adr/0017-ensemble.md. Importing this package imports neither LightGBM nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kronos.request import Market, market_of

if TYPE_CHECKING:
    import torch

    from kronos.ensemble.predictor import EnsembleForecaster
    from kronos.models.hub import Progress

__all__ = ["Market", "load_ensemble", "market_of"]


def load_ensemble(
    *, device: str | torch.device | None = None, progress: Progress | None = None
) -> EnsembleForecaster:
    """The ensemble of this machine: its members, loaded, and the weights in use.

    Args:
        device: Where members that have weights compute; None takes a GPU when there is one.
        progress: Called as progress(done_bytes, total_bytes) while downloading.

    Raises:
        InvalidRequest: The learned weights exist and cannot be read.
        CheckpointError: A member cannot be used.
    """
    from kronos import models
    from kronos.ensemble.predictor import EnsembleForecaster
    from kronos.ensemble.weights import load_weights
    from kronos.forecasters import baselines

    weights = load_weights()
    predictors = [
        baselines.baseline(name)
        if models.kind_of(name) == "baseline"
        else models.load(name, device=device, dtype="fastest", progress=progress)
        for name in weights.members
    ]
    return EnsembleForecaster(weights, predictors)
