"""KronosPredictor: candles in, a forecast out.

`predict` and `predict_batch` take upstream's arguments and return upstream's frame (the mean
of the paths). `forecast` returns every path.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from kronos.decoding.cuda import StaticDecoder
from kronos.decoding.decoder import Decoder, generate
from kronos.decoding.detokenize import decode_paths
from kronos.decoding.drawing import Drawing
from kronos.decoding.sequence import TokenContext, TokenSequence
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast, Progress, SamplingParameters, whole_number
from kronos.forecasters.base import Placement
from kronos.forecasters.event_rows import event_rows, rows_sha256
from kronos.forecasters.inputs import (
    CLOSE,
    PRICES,
    Context,
    Stamps,
    calendar_fields,
    read_question,
)
from kronos.forecasters.paths import anchor_factor, make_valid
from kronos.forecasters.upstream import UpstreamCalls
from kronos.nn.model import Kronos
from kronos.nn.tokenizer import KronosTokenizer

COMPILED_FROM = 3_000_000
"""Parameters from which decoding on a processor is compiled. The compiler takes most of a second
to import: a smaller model has answered by then. The choice depends on the model alone, because two
decoders round differently, and a seed gives the same paths on every run."""


class KronosPredictor(UpstreamCalls):
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
        dtype: torch.dtype | None = None,
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
        dtype: What the model computes in; None leaves it as it is. The tokenizer, whose ids must
            be exact, stays in float32.

        Raises:
            InvalidRequest: Model and tokenizer do not belong together, or there is no such
                device.
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
        self.device = best_device() if device is None else usable_device(device)
        self.model = model.to(self.device, dtype).eval()
        self.tokenizer = tokenizer.to(self.device).eval()
        self.decoder = _decoder(self.model)
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
        events: np.ndarray | None = None,
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
            events: (len(df) + H, 20) event channels, as from `kronos.events.event_channels`: a
                row for each bar of `df`, read or not, then for each time to forecast. For models
                with an event embedding only (`reads_events`); None tells nothing of events.
            progress: Called after every step; may raise ForecastCancelled.

        Raises:
            InvalidCandles: The candles or times cannot be used.
            InvalidRequest: A parameter is out of range.
        """
        drawing = self.begin(
            df,
            y_timestamp=y_timestamp,
            x_timestamp=x_timestamp,
            sampling=SamplingParameters(T, top_p, top_k, sample_count, seed),
            lookback=lookback,
            anchor=anchor,
            events=events,
        )
        generate(self.decoder, drawing.series, progress)
        return drawing.finish()

    def begin(
        self,
        df: pd.DataFrame,
        *,
        y_timestamp: Stamps,
        x_timestamp: Stamps | None = None,
        sampling: SamplingParameters,
        lookback: int | None = None,
        anchor: bool = True,
        events: np.ndarray | None = None,
    ) -> Drawing:
        """The first part of `forecast`: what is asked, checked, and the context as tokens.

        Returns:
            One series to draw, and a finish that returns the `Forecast`.
        """
        started = time.perf_counter()
        asked = read_question(
            df,
            x_timestamp=x_timestamp,
            y_timestamp=y_timestamp,
            context_length=partial(self.context_length, lookback=lookback),
        )
        context, fields = asked.context, calendar_fields(asked.future)
        told = self._told(events, len(df), context, len(fields))
        continuation = self._continuation(context, fields, sampling, told)

        def finish() -> Forecast:
            values, last = self._candles(context, continuation)
            last_close = float(context.values[-1, CLOSE])
            factor = anchor_factor(last_close, float(last[CLOSE])) if anchor else 1.0
            values[..., PRICES] *= factor
            return Forecast(
                paths=make_valid(values, context),
                timestamps=asked.future,
                origin=asked.origin,
                last_close=last_close,
                parameters=sampling,
                model_name=self.name,
                model_revision=self.revision,
                context_hash=context.sha256(),
                n_context=len(context.values),
                anchor_factor=factor,
                seconds=time.perf_counter() - started,
                events_hash=None if told is None else rows_sha256(told),
            )

        return Drawing([continuation], finish)

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Number of bars `forecast` reads of `n_bars`, for a horizon and an optional wish.

        Raises:
            InvalidRequest: The wish is no whole number from 2 to max_context.
        """
        if lookback is None:
            room = max(2, self.max_context - horizon)
            lookback = min(self.lookback or room, room)
        lookback = whole_number(lookback, "lookback")
        if not 2 <= lookback <= self.max_context:
            raise InvalidRequest(
                f"lookback must be from 2 to {self.max_context} bars for {self.name}, "
                f"found {lookback}."
            )
        return min(lookback, n_bars)

    def sample(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        progress: Progress | None = None,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Samples many series in one batch, neither anchored nor repaired.

        Args:
            contexts: B contexts, of any lengths up to max_context.
            futures: B arrays (H, 5) of calendar fields, with one H.
            sampling: The same for all; every series draws from the same noise.
            progress: Called after every step.
            events: B arrays (T + H, 20) of event channels, T being the length of the context;
                None in place of one, or of all, tells nothing of events.

        Returns:
            Paths (B, N, H, 6) and the reconstructed last context candles (B, 6), float64 in
            the units of the data.

        Raises:
            InvalidRequest: A context is longer than max_context, or events cannot be used.
        """
        drawing = self.begin_samples(contexts, futures, sampling, events=events)
        generate(self.decoder, drawing.series, progress)
        return drawing.finish()

    def begin_samples(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> Drawing:
        """The first part of `sample`: series to draw, and a finish that returns its answer."""
        given = [None] * len(contexts) if events is None else events
        series = []
        for context, fields, rows in zip(contexts, futures, given, strict=True):
            told = self._told(rows, len(context.values), context, len(fields))
            series.append(self._continuation(context, fields, sampling, told))

        def finish() -> tuple[np.ndarray, np.ndarray]:
            candles = [self._candles(*pair) for pair in zip(contexts, series, strict=True)]
            return np.stack([p for p, _ in candles]), np.stack([last for _, last in candles])

        return Drawing(series, finish)

    @property
    def reads_events(self) -> bool:
        """Whether the model has an event embedding, so that it can be told of events."""
        return self.model.event_emb is not None

    @property
    def n_bytes(self) -> int:
        """Memory of the weights of model and tokenizer."""
        parameters = (*self.model.parameters(), *self.tokenizer.parameters())
        return sum(p.numel() * p.element_size() for p in parameters)

    @property
    def placement(self) -> Placement:
        """Where and how the model computes."""
        is_cuda = self.device.type == "cuda"
        return Placement(
            device=str(self.device),
            hardware=torch.cuda.get_device_name(self.device) if is_cuda else "",
            dtype=str(self.model.norm.weight.dtype).removeprefix("torch."),
            n_threads=torch.get_num_threads(),
        )

    def _told(
        self, events: np.ndarray | None, n_bars: int, context: Context, horizon: int
    ) -> np.ndarray | None:
        """Event channels (T + H, 20) of the context and the horizon; None where none are given."""
        if events is None:
            return None
        if not self.reads_events:
            raise InvalidRequest(
                f"{self.name} was never trained with events and cannot be told of any. Leave "
                "events out, or load a model that was fine-tuned with them."
            )
        return event_rows(events, n_bars=n_bars, n_read=len(context.values), horizon=horizon)

    @torch.inference_mode()
    def _continuation(
        self,
        context: Context,
        future: np.ndarray,
        sampling: SamplingParameters,
        told: np.ndarray | None,
    ) -> TokenSequence:
        if len(context.values) > self.max_context:
            raise InvalidRequest(
                f"A context of {len(context.values)} bars was given, but {self.name} reads at "
                f"most {self.max_context}. Cut it to the last {self.max_context}."
            )
        z = np.clip((context.values - context.mean) / context.scale, -self.clip, self.clip)
        x = torch.from_numpy(z).to(self.device, self.tokenizer.head.weight.dtype)
        s1, s2 = self.tokenizer.encode(x[None])
        stamp, future_stamp = (
            torch.from_numpy(np.ascontiguousarray(fields)).to(self.device)
            for fields in (context.fields, future)
        )
        events = None if told is None else torch.from_numpy(told).to(self.device)
        tokens = TokenContext(s1[0], s2[0], stamp, future_stamp, events)
        return TokenSequence(tokens, sampling, max_context=self.max_context)

    def _candles(
        self, context: Context, continuation: TokenSequence
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paths (N, H, 6) and the reconstructed last candle (6,), in the units of the data."""
        z, z_last = decode_paths(
            self.tokenizer,
            continuation.context,
            continuation.s1,
            continuation.s2,
            max_context=self.max_context,
        )
        paths, last = (part.double().cpu().numpy() for part in (z, z_last))
        return paths * context.scale + context.mean, last * context.scale + context.mean


def _decoder(model: Kronos) -> Decoder:
    """The decoder that suits a model where it is."""
    weight = model.norm.weight
    if weight.is_cuda:
        return StaticDecoder(model)
    is_plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    if is_plain and model.n_base_parameters >= COMPILED_FROM:
        from kronos.decoding.cpu import TileDecoder

        return TileDecoder(model)
    return Decoder(model)


def usable_device(device: str | torch.device) -> torch.device:
    """The device of a name.

    Raises:
        InvalidRequest: There is none on this machine that this PyTorch could use.
    """
    try:
        wanted = torch.device(device)
    except RuntimeError as exc:
        raise InvalidRequest(
            f'There is no device {str(device)!r}; give "cpu", "cuda", "cuda:1" or "mps".'
        ) from exc
    n_found = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }.get(wanted.type, 0)
    if (wanted.index or 0) >= n_found:
        raise InvalidRequest(
            f"The device {str(device)!r} was asked for, but PyTorch {torch.__version__} finds "
            f"{n_found} of that kind on this machine. Leave the device out to take the best one; "
            "a GPU needs its driver and a PyTorch that was built for it."
        )
    return wanted


def best_device() -> torch.device:
    """A CUDA or Apple GPU when there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
