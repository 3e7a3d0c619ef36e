"""Windows that slide: beyond max_context every step reads its tokens anew, as published.

A hidden state depends on its token's place in the window and on every token before it, so nothing
that was read for one step serves the next. But within a step the windows of all paths of a series
begin with the same observed tokens: these are read once, and each path reads only its own.

Axes: N paths, T observed tokens of the window, S tokens a path drew, D width.
"""

from __future__ import annotations

from torch import Tensor

from kronos.decoding.prefix_cache import PrefixCache
from kronos.decoding.sequence import TokenSequence, continued, path_chunks
from kronos.decoding.weights import FusedModel
from kronos.nn.model import Kronos

SCORES = 1 << 25
"""Most attention scores held at once: 128 MB in float32."""


class OwnWindows:
    """The windows of one step, each path reading its own from end to end."""

    def __init__(self, model: Kronos, seq: TokenSequence) -> None:
        self._model, self._context = model, seq.context
        n_bars = len(seq.context) + seq.n_drawn
        self._window = slice(max(0, n_bars - seq.max_context), n_bars)
        self._stamp, self._events = seq.context.bars(self._window)

    def chunks(self, n_paths: int) -> list[slice]:
        """Paths to read at a time."""
        return path_chunks(n_paths, len(self._stamp))

    def read(self, s1: Tensor, s2: Tensor) -> tuple[Tensor, Tensor]:
        """Drawn ids (N, S) -> the hidden states of their windows, and the last ones."""
        past_s1 = continued(self._context.s1, s1)[:, self._window]
        past_s2 = continued(self._context.s2, s2)[:, self._window]
        bars = _for_each(len(s1), self._stamp), _for_each(len(s1), self._events)
        hidden = self._model.hidden(past_s1, past_s2, *bars)
        return hidden, hidden[:, -1]

    def s2_logits(self, hidden: Tensor, last: Tensor, s1: Tensor) -> Tensor:
        """`Kronos.s2_logits_last` of what `read` returned and the chosen ids (N,): (N, V)."""
        return self._model.s2_logits_last(hidden, s1)


class SharedWindow:
    """The window of one step, its observed part read."""

    def __init__(self, weights: FusedModel, seq: TokenSequence) -> None:
        """Args:
        weights: Of the model.
        seq: A sequence whose window still holds observed tokens.
        """
        self._weights, self._model, self._context = weights, weights.model, seq.context
        self.n_own = seq.n_drawn
        self.n_observed = min(len(seq.context), seq.max_context - seq.n_drawn)
        self._cache = PrefixCache()
        first = len(seq.context) - self.n_observed
        self._last = weights.read_context(seq.context, first, self._cache)

    def chunks(self, n_paths: int) -> list[slice]:
        """Paths to read at a time."""
        n_heads = max(self._weights.n_heads)
        scores = n_heads * self.n_own * (self.n_observed + self.n_own)
        at_once = max(1, SCORES // max(1, scores))
        return [
            slice(chunk.start + start, min(chunk.start + start + at_once, chunk.stop))
            for chunk in path_chunks(n_paths, max(1, self.n_own))
            for start in range(0, chunk.stop - chunk.start, at_once)
        ]

    def read(self, s1: Tensor, s2: Tensor) -> tuple[Tensor, Tensor]:
        """Drawn ids (N, S) -> their hidden states (N, S, D), and the last ones (N, D).

        Before the first draw, the last one is that of the last observed token.
        """
        start = len(self._context)
        stamp, events = self._context.bars(slice(start, start + self.n_own))
        bars = _for_each(len(s1), stamp), _for_each(len(s1), events)
        x = self._model.embed(s1, s2, *bars)
        if not self.n_own:
            return x, self._last.expand(len(s1), -1)
        cos, sin = self._model.rotation(self.n_observed + self.n_own, x.device)
        rotation = (cos[self.n_observed :], sin[self.n_observed :])
        attend = [self._cache.continuing(i) for i in range(self._weights.dependency)]
        hidden = self._model.run_blocks(x, rotation, attend)
        return hidden, hidden[:, -1]

    def s2_logits(self, hidden: Tensor, last: Tensor, s1: Tensor) -> Tensor:
        """`Kronos.s2_logits_last` of what `read` returned and the chosen ids (N,): (N, V)."""
        layer = self._model.dep_layer
        attention = layer.cross_attn
        q = attention.heads(attention.q_proj(self._model.embedding.emb_s1(s1)).unsqueeze(-2))
        k = attention.heads(attention.k_proj(hidden))
        v = attention.heads(attention.v_proj(hidden))
        attend = self._cache.continuing(self._weights.dependency)
        mixed = attention.output(attend(q, k, v)).squeeze(-2)
        return self._model.head.proj_s2(layer.norm(last + mixed))


def _for_each(n_paths: int, bars: Tensor | None) -> Tensor | None:
    """Features of bars (S, C), the same for every path: (N, S, C)."""
    return None if bars is None else bars.expand(n_paths, -1, -1)
