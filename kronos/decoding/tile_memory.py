"""The memory of compiled decoding: of the paths in a tile, and what all tiles use in turn.

Axes: D width, R = TILE columns, S steps, H heads, E width of a head, T context positions, V tokens.
"""

from __future__ import annotations

import threading

import numpy as np
import torch

from kronos.decoding.batch import TILE
from kronos.decoding.sequence import Continuation


class Plane:
    """One piece of float32 memory, for torch and for the kernels."""

    __slots__ = ("array", "tensor")

    def __init__(self, *shape: int) -> None:
        self.array: np.ndarray = np.empty(shape, np.float32)
        self.tensor = torch.from_numpy(self.array)


class Tile:
    """Up to `TILE` paths of one series: where they stand, and what they generated.

    Attributes:
        rows: The paths.
        x: (D, R) the residual stream of a step.
        hidden: (D, R) normalised hidden states after the last pair drawn.
        s1: (R,) the coarse ids drawn last; 0 in columns without a path.
        s2: (R,) the fine ids drawn last.
        own: Of every layer, keys and values of the generated positions: two (S, D, R).
    """

    def __init__(self, rows: slice, n_layers: int, n_steps: int, width: int) -> None:
        self.rows = rows
        self.x, self.hidden = Plane(width, TILE), Plane(width, TILE)
        self.s1, self.s2 = np.zeros(TILE, np.int64), np.zeros(TILE, np.int64)
        # In one piece: the system then gives it out in large pages, and in time to be written.
        own = np.empty((n_layers, 2, n_steps, width, TILE), np.float32)
        self.own: list[tuple[np.ndarray, np.ndarray]] = [(k, v) for k, v in own]

    @property
    def n_rows(self) -> int:
        return self.rows.stop - self.rows.start

    def recall(self, c: Continuation) -> None:
        """Takes the pair drawn last from what is kept: a step that failed drew another one."""
        n, step = self.n_rows, c.n_drawn - 1
        self.s1[:n] = c.s1.numpy()[self.rows, step]
        self.s2[:n] = c.s2.numpy()[self.rows, step]

    def record(self, c: Continuation) -> None:
        """Keeps the pair drawn as that of the step."""
        n, step = self.n_rows, c.n_drawn
        c.s1.numpy()[self.rows, step] = self.s1[:n]
        c.s2.numpy()[self.rows, step] = self.s2[:n]


class Attending:
    """Memory of one attention: H heads of E channels, T context and S generated positions."""

    __slots__ = ("largest", "mixed", "own", "scores", "seen", "total")

    def __init__(self, H: int, E: int, T: int, S: int) -> None:
        self.scores, self.mixed = Plane(H, TILE, T), Plane(H, TILE, E)
        self.own, self.seen = Plane(H, S, TILE), Plane(H * E, TILE)
        self.largest, self.total = Plane(H, TILE), Plane(H, TILE)


class Choosing:
    """Memory of drawing one of V tokens."""

    __slots__ = ("cumulative", "least", "logits", "rows")

    def __init__(self, V: int) -> None:
        self.logits, self.rows = Plane(V, TILE), Plane(TILE, V)
        self.cumulative = np.empty((V, TILE))
        self.least = np.empty(TILE, np.float32)


class Workspace(threading.local):
    """Memory that all tiles use in turn; every thread has its own."""

    def __init__(self, width: int, n_hidden: int, vocabularies: tuple[int, ...]) -> None:
        """Args:
        width: D of the model.
        n_hidden: Width of the feed-forward's hidden layer.
        vocabularies: Sizes V of the heads.
        """
        self.normed, self.mixed = Plane(width, TILE), Plane(width, TILE)
        self.kv, self.qkv = Plane(2 * width, TILE), Plane(3 * width, TILE)
        self.q = self.qkv.tensor[:width]
        self.gate_up, self.gated = Plane(2 * n_hidden, TILE), Plane(n_hidden, TILE)
        self.choosing = {V: Choosing(V) for V in vocabularies}
        self._attending: dict[tuple[int, ...], Attending] = {}

    def attending(self, *shape: int) -> Attending:
        """Memory of an attention of this shape: see `Attending`."""
        found = self._attending.get(shape)
        if found is None:
            if len(self._attending) >= 16:  # contexts of ever new lengths
                self._attending.clear()
            found = self._attending[shape] = Attending(*shape)
        return found
