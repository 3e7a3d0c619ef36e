"""Every decoder against the plain network, and captured graphs against single operations.

Two decoders round differently, and where a draw falls next to the boundary of two tokens, paths
part for good. So tokens are not compared. Each drawn token is looked up in the distribution that
the plain network gives for its path when it reads the whole window anew: its noise must lie within
the token's interval of cumulative probability, or beside it by no more than rounding moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.recorded import recorded_halves
from benchmarks.gpu.results import Found, Work
from benchmarks.speed.workload import prepare
from kronos.decoding.cuda import StaticDecoder
from kronos.decoding.decoder import Decoder, generate
from kronos.decoding.sampling import RowFilters
from kronos.decoding.sequence import TokenSequence, continued
from kronos.forecast import SamplingParameters
from kronos.nn.checkpoint import load_model
from kronos.nn.model import Kronos, S2Attention
from kronos.system import asset_path
from tests.golden_vectors import GOLDEN
from tests.token_sequences import MIXED, copied_to, make

MOST_MEAN = {"float32": 1e-5, "bfloat16": 5e-3}
"""Largest mean distance of the noise from its token's interval, in cumulative probability."""
MOST = {"float32": 1e-2, "bfloat16": 0.5}
"""Largest single one: a token at the edge of top-p or top-k is in on one side and out on the other,
which moves all boundaries by its probability."""
SLIDES = ({"length": 22, "horizon": 9, "n_paths": 35, "max_context": 24},)
WIDE = ({"length": 300, "horizon": 8, "n_paths": 70, "max_context": 512},)
"""More paths than a lane holds, after a context of an ordinary length."""


@dataclass(frozen=True, slots=True)
class Case:
    """A decoder and what it draws.

    Attributes:
        decoder: "plain", "static" (memory of fixed shape), "graphs", or "compiled".
        model: "golden", "bundled", or a published size.
        dtype: Number format of the weights.
        series: Settings of the sequences.
        what: What is special about them, in words.
    """

    decoder: str
    model: str
    dtype: str = "float32"
    series: Sequence[dict] = MIXED
    what: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.decoder, self.model, self.dtype, self.what)))


def decoder_cases(is_dry: bool) -> list[Case]:
    """What the part "decoders" checks."""
    cases = [
        Case("plain", "golden"),
        Case("plain", "golden", "bfloat16"),
        Case("static", "golden"),
        Case("graphs", "golden"),
        Case("graphs", "golden", "bfloat16"),
        Case("graphs", "golden", series=SLIDES, what="sliding window"),
        Case("compiled", "golden"),
        Case("graphs", "bundled"),
    ]
    if not is_dry:
        cases += [
            Case("graphs", "bundled", "bfloat16"),
            Case("graphs", "bundled", series=WIDE, what="70 paths"),
            Case("graphs", "base", "bfloat16", WIDE, "70 paths"),
        ]
    return cases


def graph_cases(is_dry: bool) -> list[Case]:
    """What the part "graphs" checks."""
    cases = [Case("graphs", "golden"), Case("graphs", "golden", "bfloat16")]
    if not is_dry:
        cases += [
            Case("graphs", "bundled"),
            Case("graphs", "base", "bfloat16", WIDE, "70 paths"),
        ]
    return cases


def check_decoders(work: Work) -> None:
    """Looks for every unit of `decoder_cases`."""
    for case in decoder_cases(work.is_dry):
        work.look(str(case), lambda case=case: _against_the_network(case, work))  # type: ignore[misc]


def check_graphs(work: Work) -> None:
    """Looks for every unit of `graph_cases`."""
    for case in graph_cases(work.is_dry):
        work.look(str(case), lambda case=case: _against_operations(case, work))  # type: ignore[misc]


def _against_the_network(case: Case, work: Work) -> Found:
    model = load(case.model, work.scratch)
    device = "cpu" if case.decoder == "compiled" else work.device
    decoder = _decoder(case, model.to(device, getattr(torch, case.dtype)))
    # A greedy choice between two almost equal logits says nothing in a format of 8 bits.
    series = [s for s in case.series if s.get("T") != 0.0 or case.dtype == "float32"]
    twice = []
    for settings in (series, series[::-1]):  # the second time in memory that the first one used
        sequences = [copied_to(device, make(**each)) for each in settings]
        generate(decoder, sequences)
        twice += sequences
    exact = model.to(torch.float32)
    gaps = torch.cat([draw_gaps(exact, seq).flatten().cpu() for seq in twice])
    mean, worst = float(gaps.mean()), float(gaps.max())
    figures = {"draws": len(gaps), "mean": mean, "worst": worst}
    is_right = mean <= MOST_MEAN[case.dtype] and worst <= MOST[case.dtype]
    limits = "" if is_right else f"; {MOST_MEAN[case.dtype]:g} and {MOST[case.dtype]:g} are allowed"
    text = (
        f"{len(gaps):,} draws: noise is beside the interval of its token by {mean:.1e} in the "
        f"mean, {worst:.1e} at most{limits}"
    )
    return Found(is_right, text, figures)


def _against_operations(case: Case, work: Work) -> Found:
    model = load(case.model, work.scratch).to(work.device, getattr(torch, case.dtype))
    captured, single = _decoder(case, model), StaticDecoder(model)
    single.capture = None
    n_pairs = n_other = 0
    first = None
    for series in (case.series, case.series[::-1], case.series):
        drawn = []
        for decoder in (captured, single):
            sequences = [copied_to(work.device, make(**each)) for each in series]
            generate(decoder, sequences)
            drawn.append(sequences)
        for a, b in zip(*drawn, strict=True):
            other = ((a.s1 != b.s1) | (a.s2 != b.s2)).cpu()
            n_pairs, n_other = n_pairs + other.numel(), n_other + int(other.sum())
            if first is None and other.any():
                path, step = (int(i) for i in other.nonzero()[0])
                first = f"first at step {step} of path {path}, context {len(a.context)}"
    figures = {"pairs": n_pairs, "different": n_other}
    if n_other:
        return Found(False, f"{n_other:,} of {n_pairs:,} pairs of tokens differ, {first}", figures)
    return Found(True, f"{n_pairs:,} pairs of tokens are the same", figures)


def _decoder(case: Case, model: Kronos) -> Decoder:
    if case.decoder == "plain":
        return Decoder(model)
    if case.decoder == "compiled":
        from kronos.decoding.cpu import TileDecoder

        return TileDecoder(model)
    decoder = StaticDecoder(model)
    if case.decoder == "static":
        decoder.capture = None
    elif not model.norm.weight.is_cuda:
        decoder.capture = recorded_halves
    return decoder


def load(name: str, scratch: Path) -> Kronos:
    """The golden model, the bundled one, or one of a published size, perhaps of random weights."""
    if name == "golden":
        return load_model(GOLDEN / "model")
    if name == "bundled":
        return load_model(asset_path("bundled", "model"))
    return load_model(prepare(name, scratch).model)


@torch.no_grad()
def draw_gaps(model: Kronos, seq: TokenSequence) -> Tensor:
    """How far the noise of every draw lies beside the interval of its token.

    Args:
        model: In float32, on the device of the sequence.
        seq: Finished.

    Returns:
        (N, H, 2) cumulative probability, for s1 and s2; 0 where the noise lies within.
    """
    n_cached, parts = seq.n_cached, []
    if n_cached:
        context, n_read = seq.context, len(seq.context) + n_cached - 1
        s1, s2 = (
            continued(past, drawn[:, :n_cached])
            for past, drawn in ((context.s1, seq.s1), (context.s2, seq.s2))
        )
        stamp, events = context.bars(slice(0, n_read))
        logits = model(
            s1[:, :-1],
            s2[:, :-1],
            stamp.expand(len(s1), -1, -1),
            None if events is None else events.expand(len(s1), -1, -1),
            s1_targets=s1[:, 1:],
            s2_attention=S2Attention.UNROTATED,
        )
        parts = [
            _gaps(seq, j, *(each[:, len(context) - 1 + j] for each in logits))
            for j in range(n_cached)
        ]
    for j in range(n_cached, seq.context.horizon):
        parts.append(_gaps(seq, j, *_window_logits(model, seq, j)))
    return torch.stack(parts, 1)


def _window_logits(model: Kronos, seq: TokenSequence, j: int) -> tuple[Tensor, Tensor]:
    """Logits (N, V) of both tokens of step j, from the last max_context tokens."""
    stop = len(seq.context) + j
    window = slice(max(0, stop - seq.max_context), stop)
    s1, s2 = (
        continued(past, drawn[:, :j])[:, window]
        for past, drawn in ((seq.context.s1, seq.s1), (seq.context.s2, seq.s2))
    )
    stamp, events = seq.context.bars(window)
    hidden = model.hidden(
        s1,
        s2,
        stamp.expand(len(s1), -1, -1),
        None if events is None else events.expand(len(s1), -1, -1),
    )
    return model.head.proj_s1(hidden[:, -1]), model.s2_logits_last(hidden, seq.s1[:, j])


def _gaps(seq: TokenSequence, j: int, *logits: Tensor) -> Tensor:
    """Of both tokens of step j: (N, 2)."""
    noise = seq.noise[:, j].to(logits[0].device)
    return torch.stack(
        [
            _gap(seq.sampling, each, ids[:, j], noise[:, i])
            for i, (each, ids) in enumerate(zip(logits, (seq.s1, seq.s2), strict=True))
        ],
        -1,
    )


def _gap(sampling: SamplingParameters, logits: Tensor, ids: Tensor, noise: Tensor) -> Tensor:
    ids = ids[:, None]
    if sampling.T == 0.0:  # how much likelier the likeliest token is
        probabilities = logits.double().softmax(-1)
        return (probabilities.amax(-1, keepdim=True) - probabilities.gather(1, ids))[:, 0]
    filters = RowFilters.of([sampling], logits.shape[-1], logits.device)
    probabilities = filters.probabilities(logits).double()
    upper = probabilities.cumsum(-1)
    target = noise[:, None] * upper[:, -1:]
    above = target - upper.gather(1, ids)
    below = upper.gather(1, ids) - probabilities.gather(1, ids) - target
    return torch.maximum(above, below).clamp_min(0.0)[:, 0]
