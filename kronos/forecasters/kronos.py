"""KronosPredictor: candles in, a forecast out.

`predict` and `predict_batch` take upstream's arguments and return upstream's frame (the mean
of the paths). `forecast` returns every path.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from kronos.context import CLOSE, PRICES, Context, calendar_fields
from kronos.decoding.cuda import StaticDecoder
from kronos.decoding.decoder import Decoder
from kronos.decoding.detokenize import decode_paths
from kronos.decoding.sequence import TokenContext, TokenSequence
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast, Progress, SamplingParameters
from kronos.forecasters.base import Forecaster, Pending, Placement, Samples
from kronos.forecasters.paths import anchor_factor, make_valid
from kronos.forecasters.reconstruction import CodeUse, Reconstruction
from kronos.forecasters.upstream import UpstreamCalls
from kronos.nn.model import Kronos
from kronos.nn.tokenizer import KronosTokenizer
from kronos.normalisation import ReturnScale, WindowScale, normalised
from kronos.request import ForecastRequest, ModelFacts

COMPILED_FROM = 3_000_000
"""Parameters from which decoding on a processor is compiled. The compiler takes most of a second
to import, longer than a forecast of a smaller model. The choice depends on the model alone: two
decoders round differently, and a seed gives the same paths on every run."""


class KronosPredictor(Forecaster, UpstreamCalls):
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
        lookback: Recommended context length; None for the whole window.
        dtype: Number format of the model's computation; None for that of its weights. The
            tokenizer, whose ids must be exact, stays in float32.

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

    @property
    def facts(self) -> ModelFacts:
        """See `Forecaster.facts`; context and horizon share the window."""
        return ModelFacts(
            model=self.name,
            name=self.name,
            revision=self.revision,
            least=2,
            most=self.max_context,
            advised=self.lookback,
            shares_window=True,
            reads_events=self.reads_events,
            event_alignment=self.model.config.event_alignment,
        )

    def prepare(self, request: ForecastRequest) -> Pending[Forecast]:
        """See `Forecaster.prepare`; there is one sequence to draw."""
        started = time.perf_counter()
        context, rows = self._read(request)
        fields = calendar_fields(request.future)
        scaled = self._normalised(context)
        sequence = self._sequence(scaled, context, fields, request.sampling, rows)

        def result() -> Forecast:
            values, last = self._candles(scaled, sequence)
            last_close = float(context.values[-1, CLOSE])
            factor = anchor_factor(last_close, float(last[CLOSE])) if request.anchor else 1.0
            values[..., PRICES] *= factor
            return self._forecast(
                request,
                context,
                make_valid(values, context),
                time.perf_counter() - started,
                anchor_factor=factor,
            )

        return Pending([sequence], result)

    def sample(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        progress: Progress | None = None,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample many series in one batch, neither anchored nor made valid.

        Args:
            contexts: B contexts, of any lengths up to max_context.
            futures: B arrays (H, 5) of calendar fields, with one H.
            sampling: The same for all; every series draws from the same noise.
            progress: Called after every step.
            events: B arrays (T + H, 20) of event channels, T being the length of the context;
                None in place of one, or of all, for no event rows.

        Returns:
            Paths (B, N, H, 6) and the reconstructed last context candles (B, 6), float64 in
            the units of the data.

        Raises:
            InvalidRequest: A context is longer than max_context, or events cannot be used.
        """
        pending = self.prepare_samples(contexts, futures, sampling, events=events)
        return self._draw(pending, progress)

    def prepare_samples(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> Pending[Samples]:
        """See `Forecaster.prepare_samples`; the last candles are as decoded."""
        given = [None] * len(contexts) if events is None else events
        drawn = []
        for context, fields, rows in zip(contexts, futures, given, strict=True):
            read = self._event_rows(rows, context, len(fields))
            scaled = self._normalised(context)
            drawn.append((scaled, self._sequence(scaled, context, fields, sampling, read)))

        def result() -> Samples:
            candles = [self._candles(*pair) for pair in drawn]
            return np.stack([p for p, _ in candles]), np.stack([last for _, last in candles])

        return Pending([sequence for _, sequence in drawn], result)

    @torch.inference_mode()
    def reconstruct(self, context: Context) -> Reconstruction:
        """See `Forecaster.reconstruct`."""
        self._require_window(context)
        scaled, tokenizer = self._normalised(context), self.tokenizer
        x = torch.from_numpy(scaled.z)[None].to(self.device, tokenizer.head.weight.dtype)
        s1, s2 = tokenizer.encode(x)
        made = tokenizer(x)
        coarse, full = (
            make_valid(scaled.decoded(part[0].double().cpu().numpy())[None], context)[0]
            for part in (made.coarse, made.full)
        )
        config = tokenizer.config
        return Reconstruction(
            context.values,
            coarse,
            full,
            CodeUse.of(s1.cpu().numpy(), 1 << config.s1_bits),
            CodeUse.of(s2.cpu().numpy(), 1 << config.s2_bits),
        )

    @property
    def reads_events(self) -> bool:
        """Whether the model has an event embedding."""
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

    @torch.inference_mode()
    def _normalised(self, context: Context) -> WindowScale | ReturnScale:
        return normalised(context, self.tokenizer.config.normalisation, self.clip)

    def _require_window(self, context: Context) -> None:
        if len(context.values) > self.max_context:
            raise InvalidRequest(
                f"A context of {len(context.values)} bars was given, but {self.name} reads at "
                f"most {self.max_context}. Cut it to the last {self.max_context}."
            )

    def _sequence(
        self,
        scaled: WindowScale | ReturnScale,
        context: Context,
        future: np.ndarray,
        sampling: SamplingParameters,
        rows: np.ndarray | None,
    ) -> TokenSequence:
        self._require_window(context)
        x = torch.from_numpy(scaled.z)[None]
        s1, s2 = self.tokenizer.encode(x.to(self.device, self.tokenizer.head.weight.dtype))
        stamp, future_stamp = (
            torch.from_numpy(np.ascontiguousarray(fields)).to(self.device)
            for fields in (context.fields, future)
        )
        events = None if rows is None else torch.tensor(rows, device=self.device)
        tokens = TokenContext(s1[0], s2[0], stamp, future_stamp, events)
        return TokenSequence(tokens, sampling, max_context=self.max_context)

    def _candles(
        self, scaled: WindowScale | ReturnScale, sequence: TokenSequence
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paths (N, H, 6) and the reconstructed last candle (6,), in the units of the data."""
        z, z_last = decode_paths(
            self.tokenizer,
            sequence.context,
            sequence.s1,
            sequence.s2,
            max_context=self.max_context,
        )
        paths, last = (part.double().cpu().numpy() for part in (z, z_last))
        return scaled.candles(paths, last)


def _decoder(model: Kronos) -> Decoder:
    """The decoder for a model, its size, number format and device."""
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
        InvalidRequest: This machine has none that this PyTorch can use.
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
            f"The device {str(device)!r} was requested, but PyTorch {torch.__version__} finds "
            f"{n_found} of that kind on this machine. Leave the device out to take the best one; "
            "a GPU needs its driver and a PyTorch that was built for it."
        )
    return wanted


def best_device() -> torch.device:
    """A CUDA or Apple GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
