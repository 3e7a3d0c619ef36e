"""The ways to sample that are compared: ours, ours without a cache, and the published code."""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.speed.memory import MemoryGrowth
from benchmarks.speed.workload import Workload
from kronos.context import Context, as_times, calendar_fields, read_context
from kronos.decoding.decoder import Decoder, generate
from kronos.decoding.sequence import TokenContext, TokenSequence
from kronos.forecast import Progress, SamplingParameters
from kronos.forecasters.kronos import KronosPredictor
from kronos.nn.checkpoint import load_model, load_tokenizer
from kronos.nn.config import CONFIG_NAME, WEIGHTS_NAME


@dataclass(frozen=True, slots=True)
class Run:
    """Times of one forecast, in seconds.

    Attributes:
        steps: Time per step, measured once or more often.
        first: From the call to the end of the first step.
        total: Of the whole horizon.
    """

    steps: tuple[float, ...]
    first: float
    total: float


class Clock:
    """Times at which steps were done, with all work on the device finished by then."""

    def __init__(self, device: str, n_steps: int, every_step: bool = True) -> None:
        """Args:
        device: Where the work is done.
        n_steps: Steps of the horizon, however finely progress is reported.
        every_step: Whether to wait for the device at every step, or at the first and last.
        """
        self._n_steps = n_steps
        self._on_gpu = torch.device(device).type == "cuda"
        self._every_step = every_step
        self.marks: list[tuple[float, float]] = []
        self.started = self.now()

    def now(self) -> float:
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def progress(self, done: int, total: int) -> None:
        # Waiting for the device at every step would hold back an engine that runs ahead of it.
        if self._every_step or not self.marks or done == total:
            self.marks.append((done / total * self._n_steps, self.now()))

    def steps(self) -> tuple[float, ...]:
        """Mean time per step between one mark and the next."""
        return tuple(
            (later - earlier) / (n_later - n_earlier)
            for (n_earlier, earlier), (n_later, later) in zip(
                self.marks, self.marks[1:], strict=False
            )
        )


class OurEngine:
    """The library as its users call it."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.predictor, self.memory = _predictor(workload)

    def run(self) -> Run:
        w = self.workload
        clock = Clock(w.device, w.horizon, every_step=False)
        if w.n_series == 1:
            (bars,) = w.series()
            s = w.sampling
            self.predictor.forecast(
                bars,
                y_timestamp=w.future(bars),
                T=s.T,
                top_p=s.top_p,
                top_k=s.top_k,
                sample_count=s.sample_count,
                seed=s.seed,
                lookback=w.context,
                progress=clock.progress,
            )
        else:
            self.predictor.sample(*_read(w, w.horizon), w.sampling, clock.progress)
        total = clock.now() - clock.started
        first = clock.marks[0][1] - clock.started
        return Run(clock.steps() or (first,), first, total)


class OneByOneEngine(OurEngine):
    """The library, called for one series after the other. Its first step is a whole forecast."""

    def run(self) -> Run:
        w = self.workload
        clock = Clock(w.device, w.n_series)
        clock.progress(0, w.n_series)
        for i, (context, future) in enumerate(zip(*_read(w, w.horizon), strict=True)):
            self.predictor.sample([context], [future], w.sampling)
            clock.progress(i + 1, w.n_series)
        forecasts = clock.steps()
        steps = tuple(seconds / w.horizon for seconds in forecasts)
        return Run(steps, forecasts[0], clock.now() - clock.started)


class RecomputingEngine:
    """The same network, reading the whole window of every path anew at every step."""

    def __init__(self, workload: Workload, n_steps: int) -> None:
        self.workload = workload
        self.n_steps = min(n_steps, workload.horizon)
        self.predictor, self.memory = _predictor(workload)

    def run(self) -> Run:
        w = self.workload
        (context,), (future,) = _read(w, self.n_steps)
        clock = Clock(w.device, self.n_steps)
        clock.progress(0, self.n_steps)
        _recompute(self.predictor, context, future, w.sampling, clock.progress)
        steps = clock.steps()
        return Run(steps, steps[0], w.horizon * statistics.median(steps))


class UpstreamEngine:
    """The published code itself, with the same weights."""

    def __init__(self, workload: Workload, checkout: Path, n_steps: int) -> None:
        self.workload = workload
        self.n_steps = min(n_steps, workload.horizon)
        upstream = _import_upstream(checkout)
        model = _load_strictly(upstream.Kronos, workload.checkpoint.model)
        tokenizer = _load_strictly(upstream.KronosTokenizer, workload.checkpoint.tokenizer)
        model, tokenizer = model.to(workload.device), tokenizer.to(workload.device)
        self.memory = MemoryGrowth(workload.device)
        self.predictor = upstream.KronosPredictor(
            model,
            tokenizer,
            device=workload.device,
            max_context=workload.checkpoint.max_context,
        )
        # What a step begins with, and what follows the last one, tell the steps apart.
        self._clock = Clock(workload.device, self.n_steps)
        model.decode_s1 = self._marking(model.decode_s1)
        tokenizer.decode = self._marking(tokenizer.decode)

    def _marking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def marked(*args: Any, **keywords: Any) -> Any:
            self._clock.progress(len(self._clock.marks), self.n_steps)
            return method(*args, **keywords)

        return marked

    def run(self) -> Run:
        w, s = self.workload, self.workload.sampling
        (bars,) = w.series()
        # Upstream reads calendar fields off a Series, not off an index.
        x_times, y_times = bars.index.to_series(), w.future(bars, self.n_steps).to_series()
        clock = self._clock = Clock(w.device, self.n_steps)
        self.predictor.predict(
            bars,
            x_times,
            y_times,
            self.n_steps,
            T=s.T,
            top_k=s.top_k,
            top_p=s.top_p,
            sample_count=s.sample_count,
            verbose=False,
        )
        elapsed = clock.now() - clock.started
        steps = clock.steps()
        around = elapsed - sum(steps)
        return Run(
            steps,
            clock.marks[1][1] - clock.started,
            around + w.horizon * statistics.median(steps),
        )


def _predictor(workload: Workload) -> tuple[KronosPredictor, MemoryGrowth]:
    """The predictor, and memory from the moment its weights were there."""
    checkpoint = workload.checkpoint
    model = load_model(checkpoint.model).to(workload.device, getattr(torch, workload.dtype))
    tokenizer = load_tokenizer(checkpoint.tokenizer).to(workload.device)
    memory = MemoryGrowth(workload.device)
    predictor = KronosPredictor(
        model, tokenizer, device=workload.device, max_context=checkpoint.max_context
    )
    return predictor, memory


def _read(workload: Workload, n_steps: int) -> tuple[list[Context], list[np.ndarray]]:
    """Contexts and calendar fields (n_steps, 5) of every series."""
    series = workload.series()
    contexts = [read_context(bars, as_times(bars.index, "index"), len(bars)) for bars in series]
    return contexts, [calendar_fields(workload.future(bars, n_steps)) for bars in series]


def _recompute(
    predictor: KronosPredictor,
    context: Context,
    future: np.ndarray,
    sampling: SamplingParameters,
    progress: Progress,
) -> None:
    """Samples the paths of one series without a cache."""
    device = predictor.device
    z = np.clip((context.values - context.mean) / context.scale, -predictor.clip, predictor.clip)
    with torch.inference_mode():
        s1, s2 = predictor.tokenizer.encode(torch.from_numpy(z[None]).float().to(device))
    stamp, future_stamp = (
        torch.from_numpy(fields).to(device) for fields in (context.fields, future)
    )
    paths = TokenSequence(
        TokenContext(s1[0], s2[0], stamp, future_stamp),
        sampling,
        max_context=predictor.max_context,
        use_cache=False,
    )
    generate(Decoder(predictor.model), [paths], progress)


def _import_upstream(checkout: Path) -> Any:
    """The `model` package of a checkout of the published code.

    Raises:
        ImportError: It is not there, or something it needs is not installed.
    """
    sys.path.insert(0, str(checkout))
    try:
        return importlib.import_module("model")
    except ImportError as exc:
        raise ImportError(
            f"The published code in {checkout} cannot be imported: {exc}. Give --upstream the "
            "folder that holds model/kronos.py, and install what its requirements.txt names, or "
            "put it on PYTHONPATH."
        ) from exc


def _load_strictly(kind: type, folder: Path) -> Any:
    """An upstream module with the weights of a checkpoint folder, in evaluation mode."""
    module = kind(**json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8")))
    module.load_state_dict(load_file(folder / WEIGHTS_NAME), strict=True)
    return module.eval()
