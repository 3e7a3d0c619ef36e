"""Forecaster: what turns requests into forecasts, whatever the method behind it.

Kronos, the baselines, Chronos-2 and the ensemble are forecasters. One that draws step by step
prepares token sequences, which an engine steps together with those of other requests; the others
compute their result at the end.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from kronos.context import Context, Stamps, event_rows, require_positive_prices, rows_sha256
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast, Progress, SamplingParameters
from kronos.frames import Table
from kronos.request import ForecastRequest, Market, ModelFacts

if TYPE_CHECKING:
    from kronos.decoding.decoder import Decoder
    from kronos.decoding.sequence import TokenSequence
    from kronos.forecasters.reconstruction import Reconstruction

__all__ = ["DirectForecaster", "Forecaster", "Pending", "Placement", "Samples"]

Samples = tuple[np.ndarray, np.ndarray]
"""Paths (B, N, H, 6) of B series, and their last context candles (B, 6)."""
Answer = TypeVar("Answer", covariant=True)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a model computes.

    Attributes:
        device: Name PyTorch knows it by: "cpu", "cuda", "mps".
        hardware: The maker's name of a GPU; empty for a processor.
        dtype: Number format of the weights, such as "float32".
        n_threads: Threads of a product on a processor.
    """

    device: str
    hardware: str
    dtype: str
    n_threads: int


@dataclass(frozen=True, slots=True)
class Pending(Generic[Answer]):
    """A request that a forecaster has read, with its result to come.

    Attributes:
        sequences: Token sequences to draw; none where nothing is drawn step by step.
        result: Computes the result; called once, when all sequences are done.
    """

    sequences: list[TokenSequence]
    result: Callable[[], Answer]


class Forecaster(ABC):
    """Candles in, a forecast out.

    Attributes:
        name: Name shown with forecasts.
        revision: Revision of the weights, or of the method.
        decoder: Takes the steps of the sequences; None where nothing is drawn step by step.
        n_bytes: Memory of the weights.
        placement: Where it computes; None where there are no weights.
    """

    name: str
    revision: str
    decoder: Decoder | None = None

    @property
    def n_bytes(self) -> int:
        return 0

    @property
    def placement(self) -> Placement | None:
        return None

    @property
    @abstractmethod
    def facts(self) -> ModelFacts:
        """What a request needs to know of it."""

    @property
    def reads_events(self) -> bool:
        """Whether it reads event rows."""
        return self.facts.reads_events

    @abstractmethod
    def prepare(self, request: ForecastRequest) -> Pending[Forecast]:
        """Check a request and read its context.

        Raises:
            InvalidCandles: The candles cannot be used, or are too few.
            InvalidRequest: A parameter is out of range.
        """

    @abstractmethod
    def prepare_samples(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> Pending[Samples]:
        """Check and read many contexts; the samples are neither anchored nor made valid.

        Args:
            contexts: B contexts.
            futures: B arrays (H, 5) of calendar fields, with one H.
            sampling: The same for all; every series draws from the same noise.
            events: B arrays (T + H, 20) of event rows, T being the length of the context; None in
                place of one, or of all, for no event rows.

        Raises:
            InvalidRequest: A context is too long, or events cannot be used.
        """

    def forecast(
        self,
        df: Table,
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
        market: Market | None = None,
        progress: Progress | None = None,
    ) -> Forecast:
        """Sample futures and return every path.

        Tokens are coarse: the last candle itself decodes to a close a little off. With
        `anchor`, all prices of all paths are multiplied by last close / decoded last close, so
        that the fan starts where the market is. Forecasters without tokens start there anyway.

        Candles are made valid where sampling left them invalid: high becomes the largest and
        low the smallest of the four prices, prices have a floor of 0.1% of the last close,
        negative volume and amount become 0, and data without volume gets none. Values that
        are valid are left as decoded.

        Args:
            df: A table of pandas, polars or Arrow with open, high, low, close and, where known,
                volume and amount.
            y_timestamp: (H,) times of the bars to forecast. Calendar fields are those of the wall
                clock: pass times in the exchange's own zone.
            x_timestamp: Times of the bars; the index of `df` when None.
            T: Temperature; 0 is greedy. Forecasters without tokens take 1 alone, and leave
                `top_p` and `top_k` as they are.
            top_p: Nucleus mass kept.
            top_k: Most likely tokens kept; 0 keeps all.
            sample_count: Number of paths N.
            seed: The same seed gives the same paths.
            lookback: Bars read. None takes what suits the model.
            anchor: Whether to anchor.
            events: (len(df) + H, 20) event channels, as from `kronos.events.event_channels`: a
                row for each bar of `df`, read or not, then for each time to forecast. For models
                that read events only; None for no event rows.
            market: What the bars are of, on which the weights of an ensemble depend.
            progress: Called after every step; may raise ForecastCancelled.

        Raises:
            InvalidCandles: The candles or times cannot be used, or are too few.
            InvalidRequest: A parameter is out of range.
        """
        request = ForecastRequest.of_frame(
            df,
            self.facts,
            y_timestamp=y_timestamp,
            x_timestamp=x_timestamp,
            sampling=SamplingParameters(T, top_p, top_k, sample_count, seed),
            lookback=lookback,
            anchor=anchor,
            events=events,
            market=market,
        )
        return self._draw(self.prepare(request), progress)

    def reconstruct(self, context: Context) -> Reconstruction:
        """What the model's tokenizer keeps of bars.

        Raises:
            InvalidRequest: The model has no tokenizer, or does not read so many bars.
        """
        raise InvalidRequest(
            f"{self.name} has no tokenizer, so there is nothing to reconstruct. Choose a "
            "Kronos model."
        )

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Bars read of `n_bars`; see `ModelFacts.context_length`."""
        return self.facts.context_length(n_bars, horizon, lookback)

    def _draw(self, pending: Pending[Answer], progress: Progress | None = None) -> Answer:
        """Step all sequences to their end, without an engine."""
        if self.decoder is not None:
            from kronos.decoding.decoder import generate

            generate(self.decoder, pending.sequences, progress)
        return pending.result()

    def _read(self, request: ForecastRequest) -> tuple[Context, np.ndarray | None]:
        """The context (T, 6) that is read of a request, and its event rows (T + H, 20)."""
        if request.events is not None and not self.facts.reads_events:
            raise self.facts.no_events()
        context = request.context(self.facts)
        return context, request.context_events(len(context.values))

    def _event_rows(self, rows: Any, context: Context, horizon: int) -> np.ndarray | None:
        """The event rows of a context and its horizon, checked."""
        if rows is None:
            return None
        if not self.facts.reads_events:
            raise self.facts.no_events()
        n = len(context.values)
        return event_rows(rows, n_bars=n, n_read=n, horizon=horizon)

    def _forecast(
        self,
        request: ForecastRequest,
        context: Context,
        paths: np.ndarray,
        seconds: float,
        *,
        anchor_factor: float = 1.0,
    ) -> Forecast:
        """The forecast of a request, from valid paths (N, H, 6)."""
        rows = request.context_events(len(context.values))
        return Forecast(
            paths=paths,
            timestamps=request.future,
            origin=request.origin,
            last_close=float(context.values[-1, 3]),
            parameters=request.sampling,
            model_name=self.name,
            model_revision=self.revision,
            context_hash=context.sha256(),
            n_context=len(context.values),
            anchor_factor=anchor_factor,
            seconds=seconds,
            events_hash=None if rows is None else rows_sha256(rows),
            leaders=request.leaders_in(len(context.values)),
            request_hash=request.digest,
        )


class DirectForecaster(Forecaster):
    """A forecaster that draws no tokens: it computes its paths in one go.

    Attributes:
        no_tokens: Why temperature, top-p and top-k have nothing to act on, as half a sentence.
    """

    no_tokens = ""

    def prepare(self, request: ForecastRequest) -> Pending[Forecast]:
        """See `Forecaster.prepare`; nothing is drawn, `result` computes the paths."""
        started = time.perf_counter()
        request.sampling.require_plain(self.name, self.no_tokens)
        context, rows = self._read(request)
        self._check(context, request.horizon)
        checked = time.perf_counter() - started

        def result() -> Forecast:
            # Not from the start of the request: an engine may have done other work in between.
            resumed = time.perf_counter()
            paths = self._paths(context, request.horizon, request.sampling, rows)
            return self._forecast(request, context, paths, checked + time.perf_counter() - resumed)

        return Pending([], result)

    def prepare_samples(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> Pending[Samples]:
        """See `Forecaster.prepare_samples`; the last candles are the contexts' own."""
        sampling.require_plain(self.name, self.no_tokens)
        given = [None] * len(contexts) if events is None else events
        checked = []
        for context, fields, rows in zip(contexts, futures, given, strict=True):
            read = self._event_rows(rows, context, len(fields))
            require_positive_prices(context.values)
            self._check(context, len(fields))
            checked.append((context, len(fields), sampling, read))

        def result() -> Samples:
            paths = [self._paths(*each) for each in checked]
            return np.stack(paths), np.stack([context.values[-1] for context in contexts])

        return Pending([], result)

    @abstractmethod
    def _check(self, context: Context, horizon: int) -> None:
        """Raise for contexts that are too short and horizons that are too long."""

    @abstractmethod
    def _paths(
        self,
        context: Context,
        horizon: int,
        sampling: SamplingParameters,
        rows: np.ndarray | None,
    ) -> np.ndarray:
        """Valid paths (N, H, 6), given the event rows (T + H, 20) or None."""
