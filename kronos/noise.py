"""Noise that belongs to a path."""

from __future__ import annotations

import numpy as np


def path_uniforms(seed: int, n_paths: int, horizon: int) -> np.ndarray:
    """The noise of every path: (n_paths, horizon, 2) float64 in [0, 1), two numbers a step.

    Path i draws from its own counter-based stream keyed by (seed, i). So a path does not
    change with the number of paths, with the horizon, or with what else is in the batch.
    """
    streams = (
        np.random.Generator(np.random.Philox(key=np.array([seed, i], dtype=np.uint64)))
        for i in range(n_paths)
    )
    return np.stack([stream.random((horizon, 2)) for stream in streams])
