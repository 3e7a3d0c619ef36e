"""How far outcomes were from what was expected, on one scale for all events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kronos.events.event import Event

__all__ = ["N_BEFORE", "hawkish_scores", "surprise_scores"]

N_BEFORE = 20
"""Surprises before an event from which its sigma is taken."""

_MOST_SIGMAS = 3.0
_MOST_STEPS = 2.0
_STEP = 0.25  # percentage points of a usual change of rates


def surprise_scores(events: Sequence[Event]) -> np.ndarray:
    """Surprises in units of sigma.

    Sigma is the sample standard deviation (divisor 19) of the 20 surprises before, never of this
    one or of later ones. With fewer before, or where they were all alike, there is no scale and
    the score is 0; so it is without an actual or a consensus.

    Args:
        events: K releases of one kind and region, by time.

    Returns:
        (K,) scores within -3 and 3.
    """
    scores = np.zeros(len(events))
    before: list[float] = []
    for i, event in enumerate(events):
        surprise = event.surprise
        if surprise is None:
            continue
        if len(before) >= N_BEFORE:
            sigma = float(np.std(before[-N_BEFORE:], ddof=1))
            if sigma > 1e-12:
                scores[i] = np.clip(surprise / sigma, -_MOST_SIGMAS, _MOST_SIGMAS)
        before.append(surprise)
    return scores


def hawkish_scores(events: Sequence[Event]) -> np.ndarray:
    """Changes of the policy rate in steps of 25 basis points: a proxy of how hawkish they were.

    Args:
        events: K decisions; actual and previous are the rate in percent.

    Returns:
        (K,) scores within -2 and 2; 0 where either figure is missing.
    """
    return np.array(
        [
            0.0
            if event.actual is None or event.previous is None
            else np.clip((event.actual - event.previous) / _STEP, -_MOST_STEPS, _MOST_STEPS)
            for event in events
        ],
        float,
    )
