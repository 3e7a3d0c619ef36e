"""The interface of the published code: `predict` and `predict_batch`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from kronos.context import Context, Stamps, as_times, calendar_fields, read_context
from kronos.errors import InvalidRequest
from kronos.forecast import COLUMNS, Progress, SamplingParameters
from kronos.frames import Table, as_column


class UpstreamCalls(ABC):
    """Upstream's methods, with upstream's arguments and frames, for classes that can sample."""

    max_context: int

    @abstractmethod
    def sample(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paths (B, N, H, 6), and the reconstructed last context candles (B, 6)."""

    def predict(
        self,
        df: Table,
        x_timestamp: Stamps,
        y_timestamp: Stamps,
        pred_len: int,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
        *,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Upstream's `predict`: the mean of the paths as one frame indexed by y_timestamp.

        The values are upstream's, neither anchored nor made valid, for up to max_context bars.
        Older bars are not read; upstream includes them in the normalisation. An amount column
        without a volume column is read. Prices are in the units of the data. `verbose` shows a
        progress bar on stderr; `seed` makes the draws repeatable (None takes a new one).
        """
        return self.predict_batch(
            [df],
            [x_timestamp],
            [y_timestamp],
            pred_len,
            T,
            top_k,
            top_p,
            sample_count,
            verbose,
            seed=seed,
        )[0]

    def predict_batch(
        self,
        df_list: Sequence[Table],
        x_timestamp_list: Sequence[Stamps],
        y_timestamp_list: Sequence[Stamps],
        pred_len: int,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
        *,
        seed: int | None = None,
    ) -> list[pd.DataFrame]:
        """Upstream's `predict_batch`: B frames in, B frames (pred_len, 6) out.

        Series may have different lengths. See `predict` for the arguments.

        Raises:
            InvalidCandles: Candles or times cannot be used.
            InvalidRequest: A parameter is out of range, or the lists differ in length.
        """
        if not len(df_list) == len(x_timestamp_list) == len(y_timestamp_list):
            raise InvalidRequest(
                f"df_list, x_timestamp_list and y_timestamp_list must have one length, found "
                f"{len(df_list)}, {len(x_timestamp_list)} and {len(y_timestamp_list)}."
            )
        if not len(df_list):
            return []
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        sampling = SamplingParameters(T, top_p, top_k, sample_count, seed)
        contexts, futures = [], []
        for df, x_stamps, y_stamps in zip(df_list, x_timestamp_list, y_timestamp_list, strict=True):
            times = as_times(x_stamps, "x_timestamp")
            context = read_context(df, times, self.max_context)
            contexts.append(replace(context, is_published=True))
            future = as_times(y_stamps, "y_timestamp")
            if len(future) != pred_len:
                raise InvalidRequest(f"pred_len is {pred_len} but y_timestamp has {len(future)}.")
            futures.append(calendar_fields(future))
        with _ProgressBar(pred_len, visible=verbose) as bar:
            paths, _ = self.sample(contexts, futures, sampling, bar.update)
        return [
            pd.DataFrame(series.mean(axis=0), columns=list(COLUMNS), index=as_column(y_stamps))
            for series, y_stamps in zip(paths, y_timestamp_list, strict=True)
        ]


class _ProgressBar:
    """Upstream's `verbose` bar."""

    def __init__(self, total: int, visible: bool) -> None:
        self._bar: Any = None
        if visible:
            from tqdm import tqdm

            self._bar = tqdm(total=total)

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
