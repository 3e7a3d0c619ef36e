"""The memory of compiled decoding: of the paths in a tile, and what all tiles use in turn.

Axes: D width, R = TILE columns, S steps.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch

from kronos.inference.batch import TILE
from kronos.inference.continuation import Continuation


class Plane:
    """One piece of float32 memory, for torch and for the kernels."""

    __slots__ = ("array", "tensor")

    def __init__(self, *shape: int) -> None:
        self.array = np.empty(shape, np.float32)
        self.tensor = torch.from_numpy(self.array)


class Tile:
    """Up to `TILE` paths of one series: where they stand, and what they generated.

    Attributes:
        rows: The paths.
        x: (D, R) the residual stream of a step.
        hidden: (D, R) normalised hidden states after the last pair drawn.
        s1: (R,) the coarse ids drawn last; 0 in columns without a path.
        s2: (R,) the fine ids drawn last.
    """

    def __init__(self, rows: slice, n_layers: int, n_steps: int, width: int) -> None:
        self.rows = rows
        self.x, self.hidden = Plane(width, TILE), Plane(width, TILE)
        self.s1, self.s2 = np.zeros(TILE, np.int64), np.zeros(TILE, np.int64)
        # In one piece: the system then gives it out in large pages, and in time to be written.
        self._own = np.empty((n_layers, 2, n_steps, width, TILE), np.float32)

    @property
    def n_rows(self) -> int:
        return self.rows.stop - self.rows.start

    def recall(self, c: Continuation) -> None:
        """Takes the pair drawn last from what is kept: a step that failed drew another one."""
        s1, s2 = c.last_pair()
        rows = slice(self.rows.start - c.rows.start, self.rows.stop - c.rows.start)
        self.s1[: self.n_rows], self.s2[: self.n_rows] = s1[rows].numpy(), s2[rows].numpy()

    def own(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and values of the generated positions of a layer: two (S, D, R)."""
        return self._own[layer, 0], self._own[layer, 1]


class Scratch(threading.local):
    """Memory that all tiles use in turn; every thread has its own."""

    def __init__(self) -> None:
        self._planes: dict[tuple[Any, ...], Plane] = {}

    def __call__(self, name: str, *shape: int) -> Plane:
        if (name, shape) not in self._planes:
            if len(self._planes) >= 64:  # contexts of ever new lengths
                self._planes.clear()
            self._planes[name, shape] = Plane(*shape)
        return self._planes[name, shape]
