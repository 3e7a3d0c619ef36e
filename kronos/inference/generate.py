"""Generating token paths: the context is read once, every path continues it.

While context and path fit into max_context, decoding is cached. Beyond it the published
behaviour is kept: at every step the last max_context tokens are read anew.

Axes: B series, N paths, T context positions, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kronos.forecast import Progress, SamplingParameters
from kronos.inference.cache import SharedPrefixCache
from kronos.inference.sampling import draw, filtered_probabilities
from kronos.nn.layers import Rotation
from kronos.nn.model import Kronos

CHUNK_TOKENS = 1 << 15
"""Most tokens read at once when every path needs a window of its own."""


@dataclass(frozen=True, slots=True)
class TokenContext:
    """Tokens of B series, right-padded to the longest.

    Attributes:
        s1: (B, T) coarse ids.
        s2: (B, T) fine ids.
        stamp: (B, T, 5) calendar fields of the context.
        future_stamp: (B, H, 5) calendar fields of the horizon.
        lengths: (B,) true lengths, each at least 1 and at most max_context.
    """

    s1: Tensor
    s2: Tensor
    stamp: Tensor
    future_stamp: Tensor
    lengths: Tensor

    @property
    def horizon(self) -> int:
        return self.future_stamp.shape[1]

    def series(self, b: int) -> TokenContext:
        """Series b alone, without padding."""
        n = int(self.lengths[b])
        row = slice(b, b + 1)
        return TokenContext(
            self.s1[row, :n],
            self.s2[row, :n],
            self.stamp[row, :n],
            self.future_stamp[row],
            self.lengths[row],
        )


@torch.inference_mode()
def generate(
    model: Kronos,
    context: TokenContext,
    sampling: SamplingParameters,
    uniforms: Tensor,
    *,
    max_context: int,
    use_cache: bool = True,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Draws N token paths for each series.

    Args:
        model: In evaluation mode.
        context: What has been observed.
        sampling: Temperature and filters; its sample_count is N.
        uniforms: (N, H, 2) noise of `path_uniforms`, the same for every series.
        max_context: Most tokens the model reads at once.
        use_cache: False reads the whole window at every step, for checking.
        progress: Called with steps done and steps in all.

    Returns:
        Coarse and fine ids, each (B, N, H) int64.
    """
    H = context.horizon
    fits = context.lengths + H - 1 <= max_context
    if bool(fits.all()) and use_cache:
        return _Continuation(model, context, sampling, uniforms).run(H, progress, 0, H)
    # Windows that slide do so at different steps: one series at a time.
    parts, total = [], H * len(fits)
    for b in range(len(fits)):
        series = context.series(b)
        n_cached = min(H, max_context - int(series.lengths) + 1) if use_cache else 0
        done = b * H
        s1 = s2 = series.s1.new_empty(1, sampling.sample_count, 0)
        if n_cached:
            continuation = _Continuation(model, series, sampling, uniforms)
            s1, s2 = continuation.run(n_cached, progress, done, total)
        for j in range(n_cached, H):
            s1, s2 = _reread(model, series, sampling, uniforms[:, j], max_context, s1, s2)
            if progress:
                progress(done + j + 1, total)
        parts.append((s1, s2))
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


class _Continuation:
    """Cached decoding of all paths of a batch, one step at a time."""

    def __init__(
        self, model: Kronos, context: TokenContext, sampling: SamplingParameters, uniforms: Tensor
    ) -> None:
        self.model = model
        self.context = context
        self.sampling = sampling
        self.uniforms = uniforms
        self.cache = SharedPrefixCache(context.lengths, context.horizon)
        self.dependency = len(model.transformer)  # the cache's layer number after the blocks

    def run(
        self, n_steps: int, progress: Progress | None, done: int, total: int
    ) -> tuple[Tensor, Tensor]:
        """Reads the context and draws `n_steps` pairs per path."""
        ids: list[tuple[Tensor, Tensor]] = []
        hidden = self._read_context()
        for j in range(n_steps):
            s1 = self._draw(self.model.s1_logits(hidden), j, 0)
            s2 = self._draw(self._s2_logits(hidden, s1), j, 1)
            ids.append((s1, s2))
            if progress:
                progress(done + j + 1, total)
            if j + 1 < n_steps:
                hidden = self._advance(s1, s2, j)
        return torch.stack([s1 for s1, _ in ids], -1), torch.stack([s2 for _, s2 in ids], -1)

    def _draw(self, logits: Tensor, j: int, which: int) -> Tensor:
        noise = self.uniforms[:, j, which].expand(logits.shape[:-1])
        return _draw(logits, noise, self.sampling)

    def _read_context(self) -> Tensor:
        """Fills the prefix; returns the last hidden state for every path: (B, N, D)."""
        c, model = self.context, self.model
        x = model.embed(c.s1, c.s2, c.stamp)
        attend = [self.cache.reading(i) for i in range(self.dependency)]
        hidden = model.run_blocks(x, model.rotation(x.shape[1], x.device), attend)
        layer = model.dep_layer.cross_attn
        self.cache.store_prefix(
            self.dependency,
            layer.heads(layer.k_proj(hidden)),
            layer.heads(layer.v_proj(hidden)),
        )
        rows = torch.arange(len(c.lengths), device=hidden.device)
        last = hidden[rows, c.lengths.to(hidden.device) - 1]
        return last.unsqueeze(1).expand(-1, self.sampling.sample_count, -1)

    def _s2_logits(self, hidden: Tensor, s1: Tensor) -> Tensor:
        """The published sampling-time dependency layer: one unrotated query over the history."""
        layer, model = self.model.dep_layer.cross_attn, self.model
        q = layer.heads(layer.q_proj(model.embedding.emb_s1(s1)).unsqueeze(-2))
        mixed = layer.output(self.cache.attend(self.dependency, q)).squeeze(-2)
        return model.head.proj_s2(model.dep_layer.norm(hidden + mixed))

    def _advance(self, s1: Tensor, s2: Tensor, j: int) -> Tensor:
        """Reads the pair drawn at step j: (B, N) ids -> hidden (B, N, D)."""
        c, model = self.context, self.model
        x = model.embedding(s1, s2) + model.time_emb(c.future_stamp[:, j]).unsqueeze(1)
        attend = [self.cache.continuing(i) for i in range(self.dependency)]
        hidden = model.run_blocks(x.unsqueeze(-2), self._rotation_at(j, x.device), attend)
        layer = model.dep_layer.cross_attn
        self.cache.append(
            self.dependency,
            layer.heads(layer.k_proj(hidden)),
            layer.heads(layer.v_proj(hidden)),
        )
        return hidden.squeeze(-2)

    def _rotation_at(self, j: int, device: torch.device) -> Rotation:
        positions = self.context.lengths + j
        cos, sin = self.model.rotation(int(positions.max()) + 1, device)
        index = positions.to(device)
        return cos[index][:, None, None, None, :], sin[index][:, None, None, None, :]


def _draw(logits: Tensor, noise: Tensor, sampling: SamplingParameters) -> Tensor:
    """Filtered inverse-CDF draws: logits (..., V), noise (...,) -> ids (...,)."""
    probabilities = filtered_probabilities(
        logits, T=sampling.T, top_k=sampling.top_k, top_p=sampling.top_p
    )
    return draw(probabilities, noise)


def _reread(
    model: Kronos,
    series: TokenContext,
    sampling: SamplingParameters,
    uniforms: Tensor,
    max_context: int,
    s1: Tensor,
    s2: Tensor,
) -> tuple[Tensor, Tensor]:
    """One step that reads the last max_context tokens of every path anew; appends the draw."""
    j = s1.shape[-1]
    window = slice(-max_context, None)
    stamp = torch.cat((series.stamp, series.future_stamp[:, :j]), 1)[:, window]
    drawn: list[tuple[Tensor, Tensor]] = []
    # Noise belongs to the path, so the chunk a path is read in does not change it.
    for paths in path_chunks(sampling.sample_count, stamp.shape[1]):
        past_s1 = continued(series.s1, s1[0, paths])[:, window]
        past_s2 = continued(series.s2, s2[0, paths])[:, window]
        hidden = model.hidden(past_s1, past_s2, stamp.expand(len(past_s1), -1, -1))
        next_s1 = _draw(model.s1_logits(hidden[:, -1]), uniforms[paths, 0], sampling)
        next_s2 = _draw(model.s2_logits_last(hidden, next_s1), uniforms[paths, 1], sampling)
        drawn.append((next_s1, next_s2))
    next_s1 = torch.cat([chunk[0] for chunk in drawn])[None, :, None]
    next_s2 = torch.cat([chunk[1] for chunk in drawn])[None, :, None]
    return torch.cat((s1, next_s1), -1), torch.cat((s2, next_s2), -1)


def path_chunks(n_paths: int, window: int) -> list[slice]:
    """Slices of paths whose windows together hold at most `CHUNK_TOKENS` tokens."""
    size = max(1, CHUNK_TOKENS // window)
    return [slice(start, min(start + size, n_paths)) for start in range(0, n_paths, size)]


def continued(context: Tensor, drawn: Tensor) -> Tensor:
    """Context ids (1, T) before the ids of each path (N, S): (N, T + S)."""
    return torch.cat((context.expand(len(drawn), -1), drawn), dim=-1)
