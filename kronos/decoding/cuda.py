"""Decoding on a CUDA device: memory of fixed shape, and a step captured as a graph.

Launching the few hundred small kernels of a step one by one would take longer than running
them. A graph launches them at once, but reads and writes the same memory in the same shapes every
time. So paths lie in lanes of `TILE` rows of one series, and attend to a list of keys of fixed
length: the prefix, then the keys that all rows of the lane generated, step after step, with a mask
that shows each row its own.

Everything but the capture itself runs, and is tested, on any device. A graph launches a kernel in
one to three microseconds, longer than most of these kernels run: what counts is how many operations
a step has.

Axes: D width, L lanes, R = L * TILE rows, H heads, E width of a head, C = P + S * TILE keys: P
places for the prefix, S for steps.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.decoding import MAX_ROWS, TILE
from kronos.decoding.decoder import Decoder
from kronos.decoding.sampling import RowFilters, draw
from kronos.decoding.sequence import DecoderState, Prefill, TokenSequence
from kronos.decoding.weights import FusedBlock, FusedModel
from kronos.forecast import SamplingParameters
from kronos.nn.layers import Rotation
from kronos.nn.model import Kronos

MAX_LANES = MAX_ROWS // TILE
CACHED_SHAPES = 4
"""Shapes whose memory and graphs stay for the next forecast."""

Halves = tuple[Callable[[], object], Callable[[], object]]
"""Both halves of a step, `decode_step` and `sample_step`, ready to run again and again."""
_CAPTURING = threading.Lock()


class StaticDecoder(Decoder):
    """A decoder that draws in memory of fixed shape; on CUDA by captured graphs."""

    gathers = True

    def __init__(self, model: Kronos) -> None:
        super().__init__(model)
        self.batch_step = BatchStep(self.weights)
        self.capture: Callable[[StaticBatch], Halves] | None = (
            cuda_graphs if model.norm.weight.is_cuda else None
        )
        """Captures the steps of new memory; None runs their operations one by one."""
        self._batches: OrderedDict[Shape, list[StaticBatch]] = OrderedDict()
        self._lock = threading.Lock()

    @torch.inference_mode()
    def step(self, sequences: Sequence[TokenSequence]) -> None:
        """Draws the next pair of every path of these unfinished sequences.

        Sequences that share a batch step together, also those of them that are not given.
        """
        with self._lock:
            fresh = []
            for seq in sequences:
                if seq.slides:
                    self.sliding_step(seq)
                elif seq.state is None:
                    fresh.append(seq)
            self._place(fresh)
            states = {id(seq.state): seq.state for seq in sequences}
            for batch in states.values():
                if isinstance(batch, StaticBatch):
                    members = batch.live_members()
                    batch.step()
                    for seq, first_row in members:
                        self._count(seq, batch, first_row)

    def _place(self, fresh: list[TokenSequence]) -> None:
        while fresh:
            together = [fresh.pop(0)]
            while fresh and sum(map(n_lanes, [*together, fresh[0]])) <= MAX_LANES:
                together.append(fresh.pop(0))
            batch = self._free_batch(Shape.holding(together))
            batch.place([(seq, self.read_context(seq)) for seq in together])

    def _free_batch(self, shape: Shape) -> StaticBatch:
        for batch in self._batches.get(shape, ()):
            if batch.is_free:
                self._batches.move_to_end(shape)
                return batch
        for other in list(self._batches):
            free = [batch for batch in self._batches[other] if batch.is_free]
            if other != shape and len(self._batches) >= CACHED_SHAPES and free:
                del self._batches[other]
        batch = self._new_batch(shape)
        self._batches.setdefault(shape, []).append(batch)
        self._batches.move_to_end(shape)
        return batch

    def _new_batch(self, shape: Shape) -> StaticBatch:
        while True:
            try:
                batch = StaticBatch(self.batch_step, shape)
                if self.capture:
                    batch.halves = self.capture(batch)
                return batch
            except torch.OutOfMemoryError:
                if not self._drop_free_batches():
                    raise

    def _drop_free_batches(self) -> bool:
        """Frees the memory that stays for later forecasts; False if there is none."""
        n_before = sum(map(len, self._batches.values()))
        for shape, batches in list(self._batches.items()):
            batches[:] = [batch for batch in batches if not batch.is_free]
            if not batches:
                del self._batches[shape]
        return sum(map(len, self._batches.values())) < n_before

    def _count(self, seq: TokenSequence, batch: StaticBatch, first_row: int) -> None:
        n = seq.n_drawn + 1
        if n == seq.n_cached:
            rows = slice(first_row, first_row + seq.n_rows)
            seq.s1[seq.rows, :n] = batch.s1[rows, :n]
            seq.s2[seq.rows, :n] = batch.s2[rows, :n]
            seq.state = None
        seq.count_step()


@dataclass(frozen=True, slots=True)
class Shape:
    """What a graph is captured for. The numbers are rounded up, so that few shapes occur."""

    n_lanes: int
    n_prefix: int
    n_steps: int
    filters: bool

    @classmethod
    def holding(cls, sequences: Sequence[TokenSequence]) -> Shape:
        """The smallest shape that these sequences fit in."""
        return cls(
            # Few numbers: every shape has a capture and memory of its own.
            n_lanes=1 << (sum(n_lanes(seq) for seq in sequences) - 1).bit_length(),
            n_prefix=_rounded(max(len(seq.context) for seq in sequences), 64),
            n_steps=_rounded(max(seq.n_cached for seq in sequences), 8),
            filters=any(seq.sampling.narrows for seq in sequences),
        )


def n_lanes(seq: TokenSequence) -> int:
    """Lanes that the portion in progress takes."""
    return -(-seq.n_rows // TILE)


def _rounded(n: int, least: int) -> int:
    """n rounded up to a multiple of `least`, and of about an eighth of n."""
    grain = max(least, 1 << max(0, (n - 1).bit_length() - 3))
    return -(-n // grain) * grain


class StaticBatch(DecoderState):
    """Memory of one shape, and the steps of the sequences that are in it."""

    def __init__(self, layers: BatchStep, shape: Shape) -> None:
        self.layers = layers
        self.shape = shape
        self.members: list[tuple[weakref.ref[TokenSequence], int]] = []
        """Sequences, and the first of their rows."""
        self.n_steps_done = 0
        model, config = layers.model, layers.model.config
        weight = model.norm.weight
        L, R = shape.n_lanes, shape.n_lanes * TILE
        S, C = shape.n_steps, shape.n_prefix + shape.n_steps * TILE
        heads = layers.weights.n_heads

        def ids(*size: int) -> Tensor:
            return torch.zeros(size, dtype=torch.long, device=weight.device)

        # Zeros: what a masked key holds must still be a number.
        self.kv = [weight.new_zeros(2, L, n, C, config.d_model // n) for n in heads]
        self.hidden = weight.new_zeros(R, config.d_model)
        # Every row, used or not, sees at least one key: a row that sees none becomes NaN.
        self.lengths = ids(L) + 1
        self.bars = weight.new_zeros(L, S, config.d_model)
        self.noise = torch.zeros(R, S, 2, dtype=torch.float64, device=weight.device)
        self.s1, self.s2 = ids(R, S), ids(R, S)
        self.j = ids(1)
        """Pairs drawn so far."""
        row = torch.arange(TILE, device=weight.device)
        key = torch.arange(C, device=weight.device)
        generated = key - shape.n_prefix
        # The step in which a key is generated by a row; never for keys of others.
        own = (generated[None] >= 0) & (generated[None] % TILE == row[:, None])
        self.visible_from = torch.where(own, generated[None] // TILE, S + 1)
        self.key, self.row = key, row
        # In this shape the last position is never beyond the table. A graph reads these very
        # tensors, so they live as long as it does.
        self.rotation = signed_rotation(layers.model, shape.n_prefix + S, weight.device)
        # Before the first row is placed, the filters are those of any distribution.
        self.filters = [self._filters([SamplingParameters()] * R, i) for i in range(2)]
        self.halves: Halves = (self.decode_step, self.sample_step)

    def _filters(self, rows: list[SamplingParameters], which: int) -> RowFilters:
        config = self.layers.model.config
        bits = (config.s1_bits, config.s2_bits)[which]
        return RowFilters.of(rows, 1 << bits, self.hidden.device, prepared=self.shape.filters)

    @property
    def is_free(self) -> bool:
        return not any(self.live_members())

    def live_members(self) -> list[tuple[TokenSequence, int]]:
        """Sequences in here that are neither finished nor dropped, and the first of their rows."""
        found = ((ref(), first_row) for ref, first_row in self.members)
        return [(seq, row) for seq, row in found if seq is not None and seq.state is self]

    def place(self, read: Sequence[tuple[TokenSequence, Prefill]]) -> None:
        """Puts sequences, and what was read of their contexts, into the lanes."""
        self.members = []
        self.j.zero_()
        self.n_steps_done = 0
        settings: list[SamplingParameters] = []
        lane = 0
        for seq, prefill in read:
            n, T = n_lanes(seq), len(seq.context)
            lanes, rows = slice(lane, lane + n), slice(lane * TILE, lane * TILE + seq.n_rows)
            for layer, kv in enumerate(self.kv):
                k, v = prefill.cache.prefix(layer)
                kv[0, lanes, :, :T] = k.transpose(-2, -1)
                kv[1, lanes, :, :T] = v
            self.lengths[lanes] = T
            self.bars[lanes, : seq.n_cached] = prefill.bars[: seq.n_cached]
            self.hidden[lane * TILE : (lane + n) * TILE] = prefill.last_hidden
            self.noise[rows, : seq.n_cached] = seq.noise[seq.rows, : seq.n_cached]
            settings += [seq.sampling] * (n * TILE)
            self.members.append((weakref.ref(seq), rows.start))
            seq.state = self
            lane += n
        settings += [SamplingParameters()] * (len(self.hidden) - len(settings))
        for which in range(2):
            self.filters[which].copy_(self._filters(settings, which))

    def sample_step(self) -> None:
        """Draws a pair for every row from its hidden state."""
        step, at = self.layers, self.j
        noise = self.noise.index_select(1, at).squeeze(1)
        s1 = draw(self.filters[0].probabilities(step.s1_logits(self.hidden)), noise[:, 0])
        attended = self._attend(step.weights.dependency, step.s2_queries(s1), self._mask())
        logits = step.s2_logits(self.hidden, attended)
        s2 = draw(self.filters[1].probabilities(logits), noise[:, 1])
        self.s1.index_copy_(1, at, s1[:, None])
        self.s2.index_copy_(1, at, s2[:, None])
        self.j += 1

    def decode_step(self) -> None:
        """Reads the pair every row drew last."""
        step, before = self.layers, self.j - 1
        s1, s2 = (ids.index_select(1, before).squeeze(1) for ids in (self.s1, self.s2))
        bars = self.bars.index_select(1, before).expand(-1, TILE, -1).flatten(0, 1)
        x = step.embed(s1, s2, bars)
        positions = (self.lengths + before)[:, None].expand(-1, TILE).flatten()
        cos, sin = self.rotation
        rotation = (cos[positions][:, None, None], sin[positions][:, None, None])
        mask = self._mask()
        places = (self.shape.n_prefix + self.row) + before * TILE
        for layer, block in enumerate(step.weights.blocks):
            q, k, v = step.heads(block, x, rotation)
            self._store(layer, k, v, places)
            x = step.output(block, x, self._attend(layer, q, mask))
        hidden = step.model.norm(x)
        self._store(step.weights.dependency, *step.dependency_heads(hidden), places)
        self.hidden.copy_(hidden)

    def _store(self, layer: int, k: Tensor, v: Tensor, places: Tensor) -> None:
        """Keys and values, each (R, H, E), into the places (TILE,) of a step."""
        for stored, rows in zip(self.kv[layer], (k, v), strict=True):
            stored.index_copy_(2, places, rows.unflatten(0, (-1, TILE)).transpose(1, 2))

    def _attend(self, layer: int, q: Tensor, mask: Tensor) -> Tensor:
        """Queries (R, H, E) against the prefix and the keys of their row: (R, H * E)."""
        k, v = self.kv[layer]
        L, H, C, E = k.shape
        queries = q.unflatten(0, (L, TILE)).transpose(1, 2).reshape(L * H, TILE, E)
        scores = _product(queries, k.view(L * H, C, E).transpose(1, 2))
        scores = torch.add(mask, scores.view(L, H, TILE, C), alpha=E**-0.5)
        weights = scores.softmax(-1).to(q.dtype).view(L * H, TILE, C)
        mixed = torch.bmm(weights, v.view(L * H, C, E)).view(L, H, TILE, E)
        return mixed.transpose(1, 2).reshape(L * TILE, H * E)

    def _mask(self) -> Tensor:
        """0 where a row sees a key and -inf elsewhere: (L, 1, TILE, C) float32."""
        prefix = self.key[None, :] < self.lengths[:, None]
        seen = prefix[:, None, :] | (self.visible_from < self.j)[None]
        mask = torch.zeros_like(seen, dtype=torch.float32).masked_fill_(~seen, float("-inf"))
        return mask[:, None]

    def step(self) -> None:
        """One step of all lanes."""
        decode, sample = self.halves
        if self.n_steps_done:
            decode()
        sample()
        self.n_steps_done += 1


def cuda_graphs(batch: StaticBatch) -> Halves:
    """Captures both halves of a step as CUDA graphs; the contents of the lanes are lost."""
    device = batch.hidden.device
    # The device of the model need not be the current one: a capture would see none of its work.
    # Meanwhile other threads go on computing, each on a stream of its own: hence "thread_local".
    with _CAPTURING, torch.cuda.device(device):
        stream = _capture_stream(device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # Libraries allocate workspaces in the first calls on a stream, tens of megabytes that
            # stay: no graph may hold them, and one stream for all captures needs them once.
            for _ in range(2):
                batch.j.fill_(1)
                batch.decode_step()
                batch.sample_step()
        torch.cuda.current_stream().wait_stream(stream)
        decoding, sampling = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(decoding, stream=stream, capture_error_mode="thread_local"):
            batch.decode_step()
        pool = decoding.pool()
        with torch.cuda.graph(sampling, pool, stream, capture_error_mode="thread_local"):
            batch.sample_step()
    return decoding.replay, sampling.replay


@cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def signed_rotation(model: Kronos, length: int, device: torch.device) -> Rotation:
    """Cosines and signed sines of positions, (length, E) each, as `BatchStep.heads` reads them."""
    cos, sin = model.rotation(length, device)
    half = sin.shape[1] // 2
    return cos, torch.cat((-sin[:, :half], sin[:, half:]), -1)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Batched a @ b with a float32 result for factors of any type."""
    if a.dtype == torch.float32:
        return torch.bmm(a, b)
    if a.is_cuda:
        return torch.bmm(a, b, out_dtype=torch.float32)
    return torch.bmm(a.float(), b.float())


class BatchStep:
    """The layers of a model, applied to rows, as in the model's own layers."""

    def __init__(self, weights: FusedModel) -> None:
        self.weights = weights
        self.model = weights.model

    def embed(self, s1: Tensor, s2: Tensor, bars: Tensor) -> Tensor:
        """Ids (R,) and what their bars add (R, D) -> block inputs (R, D)."""
        return self.model.embedding(s1, s2) + bars

    def heads(
        self, block: FusedBlock, x: Tensor, rotation: Rotation
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (R, D), each (R, H, E)."""
        qkv = F.linear(block.norm1(x), block.qkv, block.qkv_bias)
        qkv = qkv.unflatten(-1, (3, block.n_heads, -1))
        # `rotate` of the layers in fewer operations: with signed sines, both halves at once.
        plain, (cos, sin) = qkv[:, :2].float(), rotation
        turned = torch.addcmul(plain * cos, plain.roll(plain.shape[-1] // 2, -1), sin)
        q, k = turned.type_as(qkv).unbind(1)
        return q, k, qkv[:, 2]

    def output(self, block: FusedBlock, x: Tensor, attended: Tensor) -> Tensor:
        """A block's input and its attention outputs, each (R, D) -> its output (R, D)."""
        x = x + block.out(attended)
        gate, up = F.linear(block.norm2(x), block.gate_up).chunk(2, dim=-1)
        return torch.addmm(x, F.silu(gate) * up, block.down.t())

    def dependency_heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the dependency-aware layer: (R, D) -> two (R, H, E)."""
        weights = self.weights
        kv = F.linear(hidden, weights.dependency_kv, weights.dependency_kv_bias)
        k, v = kv.unflatten(-1, (2, weights.n_dependency_heads, -1)).unbind(1)
        return k, v

    def s1_logits(self, hidden: Tensor) -> Tensor:
        """(R, D) -> (R, V)."""
        return self.model.head.proj_s1(hidden)

    def s2_queries(self, s1: Tensor) -> Tensor:
        """The chosen coarse ids (R,) as queries of the dependency-aware layer: (R, H, E)."""
        queries = self.model.dep_layer.cross_attn.q_proj(self.model.embedding.emb_s1(s1))
        return queries.unflatten(-1, (self.weights.n_dependency_heads, -1))

    def s2_logits(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Hidden states and attention outputs of the queries, each (R, D) -> (R, V)."""
        layer = self.model.dep_layer
        mixed = layer.norm(hidden + layer.cross_attn.out_proj(attended))
        return self.model.head.proj_s2(mixed)
