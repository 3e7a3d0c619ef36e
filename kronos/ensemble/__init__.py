"""Several models as one: fans averaged level by level, with weights learned from their record.

    table.py      what every member said of the same outcomes
    features.py   what the weights may depend on
    objective.py  the loss of the combined fan
    learning.py   weights from the record, and whether they are worth using
    weights.py    the weights in use, as files
    fan.py        one fan out of several
    market.py     what the weights must know of an instrument
    predictor.py  the ensemble as something the engine answers

Why it is built this way is told in docs/adr/0017-ensemble.md. Importing this package imports
neither LightGBM nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kronos.ensemble.market import Market, market_of

if TYPE_CHECKING:
    import torch

    from kronos.ensemble.predictor import EnsemblePredictor
    from kronos.models.hub import Progress

__all__ = ["Market", "load_ensemble", "market_of"]


def load_ensemble(
    *, device: str | torch.device | None = None, progress: Progress | None = None
) -> EnsemblePredictor:
    """The ensemble of this machine: its members, loaded, and the weights in use.

    Args:
        device: Where members that have weights compute; None takes a GPU when there is one.
        progress: Called as progress(done_bytes, total_bytes) while downloading.

    Raises:
        InvalidRequest: The learned weights are there and cannot be read.
        CheckpointError: A member cannot be used.
    """
    from kronos import models
    from kronos.ensemble.predictor import EnsemblePredictor
    from kronos.ensemble.weights import load_weights
    from kronos.forecasters import baselines

    weights = load_weights()
    predictors = [
        baselines.baseline(name)
        if baselines.find(name) is not None
        else models.load(name, device=device, dtype="fastest", progress=progress)
        for name in weights.members
    ]
    return EnsemblePredictor(weights, predictors)
