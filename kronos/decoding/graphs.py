"""Which series share memory of fixed shape, and when: decoding on a CUDA device."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch

from kronos.decoding.batch import MAX_ROWS, TILE
from kronos.decoding.cuda import Shape, StaticBatch, n_lanes
from kronos.decoding.decoder import Decoder
from kronos.decoding.rows import RowStep
from kronos.decoding.sequence import Continuation
from kronos.nn.model import Kronos

MAX_LANES = MAX_ROWS // TILE
KEPT_BATCHES = 4
"""Shapes whose memory and graphs are kept for the next forecast."""


class StaticDecoder(Decoder):
    """A decoder that draws in memory of fixed shape; on CUDA by captured graphs."""

    gathers = True

    def __init__(self, model: Kronos) -> None:
        super().__init__(model)
        self.rows = RowStep(self.weights)
        self._batches: OrderedDict[Shape, list[StaticBatch]] = OrderedDict()
        self._captures = model.norm.weight.is_cuda
        self._lock = threading.Lock()

    @torch.inference_mode()
    def step(self, continuations: Sequence[Continuation]) -> None:
        """Draws the next pair of every path of these unfinished series.

        Series that were begun together step together, also those of them that are not named.
        """
        with self._lock:
            fresh = []
            for c in continuations:
                if c.slides:
                    self._reread(c)
                elif c.batch is None:
                    fresh.append(c)
            self._place(fresh)
            batches = {id(c.batch): c.batch for c in continuations if c.batch is not None}
            for batch in batches.values():
                members = batch.live_members()
                batch.step()
                for c in members:
                    self._count(c, batch)

    def _place(self, fresh: list[Continuation]) -> None:
        while fresh:
            together = [fresh.pop(0)]
            while fresh and sum(map(n_lanes, [*together, fresh[0]])) <= MAX_LANES:
                together.append(fresh.pop(0))
            batch = self._free_batch(Shape.holding(together))
            batch.place_rows([(c, self._read(c)[1]) for c in together])

    def _free_batch(self, shape: Shape) -> StaticBatch:
        of_shape = self._batches.setdefault(shape, [])
        self._batches.move_to_end(shape)
        for batch in of_shape:
            if batch.is_free:
                return batch
        for other in list(self._batches):
            free = [batch for batch in self._batches[other] if batch.is_free]
            if other != shape and len(self._batches) > KEPT_BATCHES and free:
                del self._batches[other]
        batch = StaticBatch(self.rows, shape)
        if self._captures:
            batch.capture()
        of_shape.append(batch)
        return batch

    def _count(self, c: Continuation, batch: StaticBatch) -> None:
        n = c.n_drawn + 1
        if n == c.n_cached:
            rows = slice(c.first_row, c.first_row + c.n_rows)
            c.s1[c.rows, :n] = batch.s1[rows, :n]
            c.s2[c.rows, :n] = batch.s2[rows, :n]
            c.batch = None
        c.count_step()
