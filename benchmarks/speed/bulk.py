"""Times a walk of many windows, end to end, against the operations that its windows need.

    python -m benchmarks.speed.bulk [--model NAME] [--windows 100] [--paths 32 100]

Forecasts, scores and stores windows of the bundled samples as `kronos walk-forward` does, in a
store that is thrown away, after a first walk that is not timed. The time of a window is split into
what the decoder, the context, the candles and all the rest take. The floor is what the operations
of products and attention take at the best rate of products measured in the same process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.limits import Limits
from benchmarks.speed.memory import MemoryGrowth
from benchmarks.speed.process import take_turns
from benchmarks.speed.report import environment, table
from benchmarks.speed.workload import Checkpoint, Workload
from data_sources.samples import SAMPLES, SampleBars, load_sample
from kronos import models
from kronos.decoding import TILE
from kronos.forecast import SamplingParameters
from kronos.forecasters.kronos import KronosPredictor
from kronos.models.loading import load_kronos
from kronos.nn.config import ModelConfig, TokenizerConfig
from kronos.serving.service import LocalService
from kronos.store.store import Store
from kronos.walk_forward import Series, WalkPlan, walk_forward

DECODE, CONTEXT, CANDLES, REST = "decode", "context", "candles", "everything else"
PHASES = (DECODE, CONTEXT, CANDLES, REST)


@dataclass(frozen=True, slots=True)
class Walked:
    """One walk, per window.

    Attributes:
        seconds: By phase; processor time with one thread, elapsed time with more.
        operations: Of products and attention; a multiplication and an addition are two.
        rate: Best rate of products that was measured, operations per second.
    """

    seconds: dict[str, float]
    operations: float
    rate: float

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def floor(self) -> float:
        """Seconds that the operations take at the measured rate."""
        return self.operations / self.rate

    @staticmethod
    def best(walks: Sequence[Walked]) -> Walked:
        """The fastest walk against the best rate: noise only ever slows a machine down."""
        fastest = min(walks, key=lambda walk: walk.total)
        return Walked(fastest.seconds, fastest.operations, max(walk.rate for walk in walks))


def window_operations(
    model: ModelConfig, tokenizer: TokenizerConfig, *, context: int, horizon: int, paths: int
) -> float:
    """Operations of products and attention that one window needs.

    The context is read once for all paths, by the model, the tokenizer's encoder and its decoder.
    The last pair of a path is drawn and decoded, but not read by the model.
    """
    D, T, N, H = model.d_model, context, paths, horizon
    block = 4 * D * D + 3 * D * model.ff_dim
    read = 2 * D * D + model.n_layers * block + 2 * D * D  # fusion, blocks, keys and values of s2
    drawn = ((1 << model.s1_bits) + (1 << model.s2_bits)) * D + 2 * D * D
    products = (T + N * (H - 1)) * read + N * H * drawn
    # A position sees itself and all before it; the query of s2 sees what was read.
    in_context, in_paths = T * (T + 1) / 2, N * sum(T + j for j in range(1, H))
    s2_queries = N * sum(T + j for j in range(H))
    attended = (model.n_layers * (in_context + in_paths) + s2_queries) * D

    d, bits = tokenizer.d_model, tokenizer.s1_bits + tokenizer.s2_bits
    tokenizer_block = 4 * d * d + 3 * d * tokenizer.ff_dim
    encoder, decoder = tokenizer.n_enc_layers - 1, tokenizer.n_dec_layers - 1
    ends = (tokenizer.d_in + bits) * d
    products += T * (ends + encoder * tokenizer_block)
    products += (T + N * H) * (ends + decoder * tokenizer_block)
    decoded = in_context + N * sum(T + j for j in range(1, H + 1))
    attended += (encoder * in_context + decoder * decoded) * d
    return 2.0 * products + 4.0 * attended


class Phases:
    """Time by phase, without the phases that are called inside."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Args:
        clock: Seconds; those of the calling thread, or of everything.
        """
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self._local = threading.local()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        outer: list[float] = getattr(self._local, "inside", [])
        started, self._local.inside = self.clock(), (inside := [0.0])
        try:
            yield
        finally:
            spent = self.clock() - started
            self._local.inside = outer
            self.seconds[name] += spent - inside[0]
            if outer:
                outer[0] += spent

    @contextmanager
    def of(self, places: Sequence[tuple[type, str, str]]) -> Iterator[None]:
        """Counts the time of methods, each a class, its name and the phase, while this is open."""
        before = [(owner, method, owner.__dict__[method]) for owner, method, _ in places]
        try:
            for owner, method, name in places:
                setattr(owner, method, self._counted(owner.__dict__[method], name))
            yield
        finally:
            for owner, method, plain in before:
                setattr(owner, method, plain)

    def _counted(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(method)
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return method(*args, **kwargs)

        return counted


def places(decoder: type) -> list[tuple[type, str, str]]:
    """The methods that do the work of each phase."""
    found: list[tuple[type, str, str]] = [
        (KronosPredictor, "_sequence", CONTEXT),
        (KronosPredictor, "_candles", CANDLES),
    ]
    for method, phase in (("step", DECODE), ("read_context", CONTEXT)):
        found += [(owner, method, phase) for owner in decoder.__mro__ if method in vars(owner)]
    return found


class BulkEngine:
    """Walks with one model, one number of paths and one number of threads."""

    def __init__(
        self, model: str, windows: int, horizon: int, paths: int, threads: int, quick: bool
    ) -> None:
        torch.set_num_threads(threads)
        self.memory = MemoryGrowth("cpu")
        self.model, self.threads, self.quick = model, threads, quick
        self.series = [Series(load_sample(key), SampleBars.name) for key in SAMPLES]
        self.plan = WalkPlan(
            models=(model,),
            n_origins=-(-windows // len(self.series)),
            horizon=horizon,
            sampling=SamplingParameters(sample_count=paths),
        )
        predictor = load_kronos(model, device="cpu")
        self.places = places(type(predictor.decoder))
        context = predictor.context_length(self.plan.history, horizon)
        configs = predictor.model.config, predictor.tokenizer.config
        self.operations = window_operations(*configs, context=context, horizon=horizon, paths=paths)
        folders = models.checkpoint_pair(model)
        checkpoint = Checkpoint(model, "", *folders, predictor.max_context)
        rows = {TILE, paths, 8 * TILE}
        self.limits = [Limits(Workload(checkpoint, context, n, horizon), quick) for n in rows]
        self.service = LocalService(device="cpu")
        torch.set_num_threads(threads)
        self._walk()

    def run(self) -> Walked:
        # A thread that waits for its part of a product spins, which is no work: with more threads
        # than one the time that passed counts.
        alone = self.threads == 1
        phases = Phases(time.thread_time if alone else time.perf_counter)
        clock = time.process_time if alone else time.perf_counter
        with phases.of(self.places):
            started = clock()
            n_windows = self._walk()
            total = clock() - started
        seconds = {name: phases.seconds[name] / n_windows for name in PHASES}
        seconds[REST] = total / n_windows - sum(seconds.values())
        rate = max(limits.run().best_products for limits in self.limits)
        return Walked(seconds, self.operations, rate)

    def _walk(self) -> int:
        """Windows stored, in a new store."""
        with tempfile.TemporaryDirectory() as folder, Store(str(Path(folder, "s.db"))) as store:
            return walk_forward(self.service, store, self.series, self.plan).n_stored


def report(options: argparse.Namespace) -> str:
    """Measures all numbers of paths and threads, as Markdown."""
    load = os.getloadavg()[0]
    measured = {}
    for threads in options.threads:
        for paths in options.paths:
            print(f"{paths} paths, {threads} threads ...", file=sys.stderr, flush=True)
            given = options.model, options.windows, options.horizon, paths, threads, options.quick
            runs = take_turns(
                {"bulk": (BulkEngine, *given)}, {"bulk": options.repetitions}, {"bulk": 0}
            )["bulk"][1]
            measured[paths, threads] = Walked.best(runs)
    header = (
        "paths", "threads", *(f"{name} (ms)" for name in PHASES), "window (ms)", "GFLOP",
        "GFLOP/s", "floor (ms)", "times the floor",
    )  # fmt: skip
    rows = [
        (
            str(paths),
            str(threads),
            *(f"{1e3 * walk.seconds[name]:.1f}" for name in PHASES),
            f"{1e3 * walk.total:.1f}",
            f"{walk.operations / 1e9:.2f}",
            f"{walk.rate / 1e9:.1f}",
            f"{1e3 * walk.floor:.1f}",
            f"{walk.total / walk.floor:.2f}",
        )
        for (paths, threads), walk in measured.items()
    ]
    notes = [
        f"Model {options.model}, {options.windows} windows of the bundled samples, "
        f"{options.horizon} steps, the best of {options.repetitions} walks after a first one.",
        "Per window: processor time with one thread, elapsed time with more. The context is the "
        "tokens and the reading of it; everything else is requests, events, scores and store.",
        "Floor: products and attention of context, paths and tokenizer at the best rate of "
        "products measured in the same process.",
        environment("cpu", load),
    ]
    return "\n\n".join([table(header, rows), "\n".join(f"- {note}" for note in notes)]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.bulk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--model", default="bundled", help="a name or a checkpoint folder (default: bundled)")
    add("--windows", type=int, default=100, help="windows of a walk (default: 100)")
    add("--horizon", type=int, default=24, help="steps (default: 24)")
    add("--paths", type=int, nargs="+", default=[32, 100], help="paths (default: 32 100)")
    add("--threads", type=int, nargs="+", default=[1, 2], help="of a product (default: 1 2)")
    add("--repetitions", type=int, default=3, help="walks that are timed (default: 3)")
    add("--quick", action="store_true", help="one walk and a rough rate: for a trial")
    add("--out", type=Path, metavar="FILE.md", help="write the report here as well")
    options = made.parse_args(arguments)
    numbers = [options.windows, options.horizon, options.repetitions]
    if min([*numbers, *options.paths, *options.threads]) < 1:
        made.error("Every number must be at least 1.")
    if options.quick:
        options.repetitions = 1
    text = report(options)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
