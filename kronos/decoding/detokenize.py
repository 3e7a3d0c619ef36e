"""Token paths back to candles, with the decoder's memory of the context shared by all paths.

Axes: N paths, T context positions, H horizon.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kronos.decoding.prefix_cache import PrefixCache
from kronos.decoding.sequence import TokenContext, continued, path_chunks
from kronos.nn.tokenizer import KronosTokenizer


@torch.inference_mode()
def decode_paths(
    tokenizer: KronosTokenizer, context: TokenContext, s1: Tensor, s2: Tensor, *, max_context: int
) -> tuple[Tensor, Tensor]:
    """Token paths of one series to normalised candles.

    The decoder is causal: keys and values of the context are computed once and shared. When context
    and horizon exceed max_context, each path decodes its last max_context tokens (at least the
    horizon and the bar before it), as upstream does.

    Args:
        tokenizer: In evaluation mode.
        context: The tokens that the paths continue.
        s1: (N, H) coarse ids.
        s2: (N, H) fine ids.
        max_context: Most tokens decoded at once.

    Returns:
        Candles of the paths (N, H, 6), and the reconstruction of the last context candle (6,).
    """
    if len(context) + context.horizon <= max_context:
        return _decode_shared(tokenizer, context, s1, s2)
    return _decode_windows(tokenizer, context, s1, s2, max(max_context, context.horizon + 1))


def _decode_windows(
    tokenizer: KronosTokenizer, context: TokenContext, s1: Tensor, s2: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Decodes the last `size` tokens of every path."""
    H, window = s1.shape[-1], slice(-size, None)
    decoded = torch.cat(
        [
            tokenizer.decode(
                continued(context.s1, s1[paths])[:, window],
                continued(context.s2, s2[paths])[:, window],
            )[:, -H - 1 :]
            for paths in path_chunks(len(s1), size)
        ]
    )
    return decoded[:, 1:], decoded[0, 0]


def _decode_shared(
    tokenizer: KronosTokenizer, context: TokenContext, s1: Tensor, s2: Tensor
) -> tuple[Tensor, Tensor]:
    n_layers, H, T = len(tokenizer.decoder), s1.shape[-1], len(context)
    cache = PrefixCache()
    prefix = tokenizer.embed_ids(context.s1, context.s2)[None]
    prefilling = [cache.prefilling(i) for i in range(n_layers)]
    last = tokenizer.decode_hidden(prefix, attend=prefilling)[0, -1]

    cos, sin = tokenizer.rotation(T + H, last.device)
    rotation = (cos[T:], sin[T:])
    continuing = [cache.continuing(i) for i in range(n_layers)]
    parts = []
    # Attention scores grow with N * H * T: only so many paths at a time.
    for paths in path_chunks(len(s1), T + H):
        inputs = tokenizer.embed_ids(s1[paths], s2[paths])
        parts.append(tokenizer.decode_hidden(inputs, rotation, continuing))
    return torch.cat(parts), last
