"""KronosPredictor: candles in, a forecast out.

`predict` and `predict_batch` take upstream's arguments and return upstream's frame (the mean
of the paths). `forecast` returns every path.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import COLUMNS, Forecast, Progress, SamplingParameters
from kronos.inference.generate import TokenContext, decode_paths, generate
from kronos.inference.sampling import path_uniforms
from kronos.nn.model import Kronos
from kronos.nn.tokenizer import KronosTokenizer

PRICES = slice(0, 4)
CLOSE, VOLUME = 3, 4
STD_FLOOR = 1e-5
PRICE_FLOOR = 1e-3
"""Lowest price a forecast may show, as a share of the last close."""

Stamps = pd.Index | pd.Series
"""Times, as an index or a column."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What the model reads of one series.

    Attributes:
        values: (T, 6) float64 candles in the units of the data.
        fields: (T, 5) calendar fields of the bars, as from `calendar_fields`.
    """

    values: np.ndarray
    fields: np.ndarray

    @property
    def has_volume(self) -> bool:
        return bool(self.values[:, VOLUME].any())

    @property
    def mean(self) -> np.ndarray:
        return self.values.mean(axis=0)

    @property
    def scale(self) -> np.ndarray:
        return self.values.std(axis=0) + STD_FLOOR

    def sha256(self) -> str:
        """Digest of the exact bytes the model reads."""
        digest = hashlib.sha256(np.ascontiguousarray(self.values, dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(self.fields, dtype="<i8").tobytes())
        return digest.hexdigest()


def calendar_fields(stamps: pd.DatetimeIndex) -> np.ndarray:
    """Minute, hour, weekday, day and month of each stamp's wall clock: (T, 5) int64."""
    fields = (stamps.minute, stamps.hour, stamps.day_of_week, stamps.day, stamps.month)
    return np.stack([np.asarray(field, dtype=np.int64) for field in fields], axis=1)


def _as_index(stamps: Stamps, what: str) -> pd.DatetimeIndex:
    try:
        index = pd.DatetimeIndex(stamps)
    except (TypeError, ValueError) as exc:
        raise InvalidCandles(f"{what} must hold times, found {stamps!r:.80}: {exc}.") from exc
    if index.hasnans:
        row = int(np.flatnonzero(index.isna())[0])
        raise InvalidCandles(f"{what} has no time in row {row}; remove or fill the row.")
    return index


def read_context(df: pd.DataFrame, stamps: Stamps | None, lookback: int | None = None) -> Context:
    """Takes the last `lookback` bars of a frame as the model's context.

    Without volume, volume and amount are 0; without amount, it is volume times the mean of
    open, high, low and close. A frame with amount but no volume keeps its amount unread, as
    upstream does.

    Raises:
        InvalidCandles: A column is missing, a value is not a finite number, or the times do
            not match the rows.
    """
    if not isinstance(df, pd.DataFrame):
        raise InvalidCandles(f"Candles must be a pandas DataFrame, found {type(df).__name__}.")
    missing = [name for name in COLUMNS[PRICES] if name not in df.columns]
    if missing:
        raise InvalidCandles(
            f"Price columns {missing} not found; the frame has {list(map(str, df.columns))[:12]}."
        )
    index = _as_index(df.index if stamps is None else stamps, "x_timestamp")
    if len(index) != len(df):
        raise InvalidCandles(f"{len(df)} candles but {len(index)} times in x_timestamp.")
    if lookback is not None:
        df, index = df.iloc[-lookback:], index[-lookback:]
    if len(df) < 2:
        raise InvalidCandles(f"A context needs at least 2 candles, found {len(df)}.")
    values = np.zeros((len(df), len(COLUMNS)))
    present = list(COLUMNS[: VOLUME + 1]) if "volume" in df.columns else list(COLUMNS[PRICES])
    if "volume" in df.columns and "amount" in df.columns:
        present = list(COLUMNS)
    for name in present:
        try:
            values[:, COLUMNS.index(name)] = df[name].to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as exc:
            raise InvalidCandles(f"Column {name!r} holds something not a number: {exc}.") from exc
    if "volume" in present and "amount" not in present:
        values[:, 5] = values[:, VOLUME] * values[:, PRICES].mean(axis=1)
    _require_finite(values)
    return Context(values, calendar_fields(index))


def _require_finite(values: np.ndarray) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise InvalidCandles(
            f"Input DataFrame contains NaN or infinite values: row {row} of column "
            f"{COLUMNS[column]!r} is {values[row, column]}. Drop or fill such rows."
        )


class KronosPredictor:
    """A model, its tokenizer and a device, ready to forecast candles."""

    def __init__(
        self,
        model: Kronos,
        tokenizer: KronosTokenizer,
        device: str | torch.device | None = None,
        max_context: int = 512,
        clip: float = 5,
        *,
        name: str = "local",
        revision: str = "",
        lookback: int | None = None,
    ) -> None:
        """Args:
        model: The autoregressive model.
        tokenizer: The tokenizer it was trained with.
        device: Where to compute; a CUDA or Apple GPU when there is one, else the CPU.
        max_context: Most tokens the model reads at once.
        clip: Normalised inputs are clipped to +-clip.
        name: Name shown with forecasts.
        revision: Hub commit or weights digest shown with forecasts.
        lookback: Context length recommended for this checkpoint; None for all that fits.
        """
        bits = (model.config.s1_bits, model.config.s2_bits)
        wanted = (tokenizer.config.s1_bits, tokenizer.config.s2_bits)
        if bits != wanted:
            raise InvalidRequest(
                f"The model reads tokens of {bits} bits, the tokenizer writes {wanted}. "
                "Load the tokenizer that belongs to the model."
            )
        if max_context < 2:
            raise InvalidRequest(f"max_context must be at least 2, found {max_context}.")
        self.device = torch.device(device) if device is not None else _best_device()
        self.model = model.to(self.device).eval()
        self.tokenizer = tokenizer.to(self.device).eval()
        self.max_context = max_context
        self.clip = clip
        self.name = name
        self.revision = revision
        self.lookback = lookback

    def forecast(
        self,
        df: pd.DataFrame,
        *,
        y_timestamp: Stamps,
        x_timestamp: Stamps | None = None,
        T: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        sample_count: int = 100,
        seed: int = 0,
        lookback: int | None = None,
        anchor: bool = True,
        progress: Progress | None = None,
    ) -> Forecast:
        """Samples futures and returns every path.

        Tokens are coarse: the last candle itself decodes to a close a little off. With
        `anchor`, all prices of all paths are multiplied by last close / decoded last close, so
        that the fan starts where the market is. `predict` never anchors.

        Candles are made valid where sampling left them invalid: high becomes the largest and
        low the smallest of the four prices, prices have a floor of 0.1% of the last close,
        negative volume and amount become 0, and data without volume gets none. Values that
        are valid are left as decoded.

        Args:
            df: Bars with open, high, low, close and, if there are, volume and amount.
            y_timestamp: (H,) times of the bars to forecast. Calendar fields are read off the
                wall clock: pass times in the exchange's own zone.
            x_timestamp: Times of the bars; the index of `df` when None.
            T: Temperature; 0 is greedy.
            top_p: Nucleus mass kept.
            top_k: Most likely tokens kept; 0 keeps all.
            sample_count: Number of paths N.
            seed: The same seed gives the same paths.
            lookback: Bars read. None takes the checkpoint's recommendation, or all that leave
                room for the horizon within max_context.
            anchor: Whether to anchor.
            progress: Called after every step; may raise ForecastCancelled.

        Raises:
            InvalidCandles: The candles or times cannot be used.
            InvalidRequest: A parameter is out of range.
        """
        started = time.perf_counter()
        sampling = SamplingParameters(T, top_p, top_k, sample_count, seed)
        future = _as_index(y_timestamp, "y_timestamp")
        bars = self.context_length(len(df), len(future), lookback)
        context = read_context(df, x_timestamp, bars)
        origin = _as_index(df.index if x_timestamp is None else x_timestamp, "x_timestamp")[-1]
        if not (context.values[:, PRICES] > 0).all():
            row, column = np.argwhere(context.values[:, PRICES] <= 0)[0]
            raise InvalidCandles(
                f"Prices must be above 0: row {row} of column {COLUMNS[column]!r} is "
                f"{context.values[row, column]}. Remove the row."
            )
        paths, last = self.sample([context], [calendar_fields(future)], sampling, progress)
        values = paths[0]
        last_close = float(context.values[-1, CLOSE])
        if anchor:
            values[..., PRICES] *= anchor_factor(last_close, float(last[0, CLOSE]))
        return Forecast(
            paths=_valid_candles(values, last_close, context.has_volume),
            timestamps=future,
            origin=origin,
            last_close=last_close,
            parameters=sampling,
            model_name=self.name,
            model_revision=self.revision,
            context_hash=context.sha256(),
            n_context=len(context.values),
            anchored=anchor,
            seconds=time.perf_counter() - started,
        )

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Number of bars `forecast` reads of `n_bars`, for a horizon and an optional wish."""
        if horizon < 1:
            raise InvalidRequest("y_timestamp is empty: give the times of the bars to forecast.")
        if lookback is None:
            room = max(2, self.max_context - horizon)
            lookback = min(self.lookback or room, room)
        if not 2 <= lookback <= self.max_context:
            raise InvalidRequest(
                f"lookback must be from 2 to {self.max_context} bars for {self.name}, "
                f"found {lookback}."
            )
        return min(lookback, n_bars)

    def predict(
        self,
        df: pd.DataFrame,
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

        The values are upstream's, neither anchored nor repaired. Bars older than max_context
        are not read at all. `verbose` shows a progress bar on stderr; `seed` makes the draws
        repeatable (None takes a new one).
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
        df_list: Sequence[pd.DataFrame],
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
        """Upstream's `predict_batch`; series may have different lengths."""
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
            contexts.append(read_context(df, x_stamps, self.max_context))
            future = _as_index(y_stamps, "y_timestamp")
            if len(future) != pred_len:
                raise InvalidRequest(f"pred_len is {pred_len} but y_timestamp has {len(future)}.")
            futures.append(calendar_fields(future))
        with _ProgressBar(pred_len, visible=verbose) as bar:
            paths, _ = self.sample(contexts, futures, sampling, bar.update)
        return [
            pd.DataFrame(series.mean(axis=0), columns=list(COLUMNS), index=y_stamps)
            for series, y_stamps in zip(paths, y_timestamp_list, strict=True)
        ]

    def sample(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Samples many series in one batch, neither anchored nor repaired.

        Args:
            contexts: B contexts, of any lengths up to max_context.
            futures: B arrays (H, 5) of calendar fields, with one H.
            sampling: The same for all; every series draws from the same noise.
            progress: Called after every step.

        Returns:
            Paths (B, N, H, 6) and the reconstructed last context candles (B, 6), float64 in
            the units of the data.
        """
        tokens = self._tokenize(contexts, futures)
        noise = path_uniforms(sampling.seed, sampling.sample_count, tokens.horizon)
        s1, s2 = generate(
            self.model,
            tokens,
            sampling,
            noise,
            max_context=self.max_context,
            progress=progress,
        )
        z, z_last = decode_paths(self.tokenizer, tokens, s1, s2, max_context=self.max_context)
        mean = np.stack([context.mean for context in contexts])
        scale = np.stack([context.scale for context in contexts])
        paths = z.double().cpu().numpy() * scale[:, None, None] + mean[:, None, None]
        return paths, z_last.double().cpu().numpy() * scale + mean

    @torch.inference_mode()
    def _tokenize(self, contexts: Sequence[Context], futures: Sequence[np.ndarray]) -> TokenContext:
        lengths = torch.tensor([len(context.values) for context in contexts])
        B, T = len(contexts), int(lengths.max())
        x = torch.zeros(B, T, len(COLUMNS))
        stamp = torch.zeros(B, T, 5, dtype=torch.long)
        for b, context in enumerate(contexts):
            z = (context.values - context.mean) / context.scale
            n = len(z)
            x[b, :n] = torch.from_numpy(np.clip(z, -self.clip, self.clip))
            stamp[b, :n] = torch.from_numpy(context.fields)
        future = torch.from_numpy(np.stack(futures))
        s1, s2 = self.tokenizer.encode(x.to(self.device))
        return TokenContext(s1, s2, stamp.to(self.device), future.to(self.device), lengths)


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def anchor_factor(last_close: float, decoded: float) -> float:
    """What prices are multiplied by so that the decoded last close becomes the true one."""
    # A decoded close far off says that the tokenizer failed on this bar; moving the whole fan
    # by that error would only spread it.
    factor = last_close / decoded if decoded > 0 else 1.0
    return factor if 0.5 < factor < 2.0 else 1.0


def _valid_candles(paths: np.ndarray, last_close: float, has_volume: bool) -> np.ndarray:
    """Repairs candles in place where needed: (N, H, 6); see `KronosPredictor.forecast`."""
    prices: np.ndarray = paths[..., PRICES]
    np.maximum(prices, PRICE_FLOOR * last_close, out=prices)
    high, low = prices.max(axis=-1), prices.min(axis=-1)
    paths[..., 1], paths[..., 2] = high, low
    if has_volume:
        np.maximum(paths[..., VOLUME:], 0.0, out=paths[..., VOLUME:])
    else:
        paths[..., VOLUME:] = 0.0
    return paths


class _ProgressBar:
    """Upstream's `verbose` bar."""

    def __init__(self, total: int, visible: bool) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, disable=not visible)

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)
