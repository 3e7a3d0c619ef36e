"""Token paths back to candles, with the decoder's memory of the context shared by all paths."""

from __future__ import annotations

import torch
from torch import Tensor

from kronos.inference.cache import SharedPrefixCache
from kronos.inference.generate import TokenContext, continued, path_chunks
from kronos.nn.tokenizer import KronosTokenizer


@torch.inference_mode()
def decode_paths(
    tokenizer: KronosTokenizer,
    context: TokenContext,
    s1: Tensor,
    s2: Tensor,
    *,
    max_context: int,
) -> tuple[Tensor, Tensor]:
    """Token paths to normalised candles.

    The decoder is causal: its memory of the context is computed once per series and shared.
    When context and horizon exceed max_context, each path decodes its last max_context tokens
    (at least the horizon and the bar before it), as upstream does.

    Args:
        tokenizer: In evaluation mode.
        context: What the paths continue.
        s1: (B, N, H) coarse ids.
        s2: (B, N, H) fine ids.
        max_context: Most tokens decoded at once.

    Returns:
        Candles of the paths (B, N, H, 6), and the reconstruction of the last context candle
        (B, 6).
    """
    if bool((context.lengths + context.horizon <= max_context).all()):
        return _decode_shared(tokenizer, context, s1, s2)
    paths, last = [], []
    for b in range(len(context.lengths)):
        series = context.series(b)
        H, length = context.horizon, int(series.lengths)
        if length + H <= max_context:
            candles, final = _decode_shared(tokenizer, series, s1[b : b + 1], s2[b : b + 1])
        else:
            candles, final = _decode_windows(
                tokenizer, series, s1[b], s2[b], max(max_context, H + 1)
            )
        paths.append(candles)
        last.append(final)
    return torch.cat(paths), torch.cat(last)


def _decode_windows(
    tokenizer: KronosTokenizer, series: TokenContext, s1: Tensor, s2: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Decodes the last `size` tokens of every path: ids (N, H) -> (1, N, H, 6) and (1, 6)."""
    H, window = s1.shape[-1], slice(-size, None)
    decoded = torch.cat(
        [
            tokenizer.decode(
                continued(series.s1, s1[paths])[:, window],
                continued(series.s2, s2[paths])[:, window],
            )[:, -H - 1 :]
            for paths in path_chunks(len(s1), size)
        ]
    )
    return decoded[None, :, 1:], decoded[:1, 0]


def _decode_shared(
    tokenizer: KronosTokenizer, context: TokenContext, s1: Tensor, s2: Tensor
) -> tuple[Tensor, Tensor]:
    n_layers, H = len(tokenizer.decoder), context.horizon
    prefix = tokenizer.embed_ids(context.s1, context.s2)
    cache = SharedPrefixCache(context.lengths, H)
    observed = tokenizer.decode_hidden(prefix, attend=[cache.reading(i) for i in range(n_layers)])
    rows = torch.arange(len(context.lengths), device=observed.device)
    last = observed[rows, context.lengths.to(observed.device) - 1]

    positions = context.lengths[:, None] + torch.arange(H)
    cos, sin = tokenizer.rotation(int(positions.max()) + 1, observed.device)
    index = positions.to(observed.device)
    rotation = (cos[index][:, None, None], sin[index][:, None, None])
    parts = []
    # Attention scores grow with B * N * H * T: only so many paths at a time.
    for paths in path_chunks(s1.shape[1], H * len(rows)):
        own = cache.fork()
        inputs = tokenizer.embed_ids(s1[:, paths], s2[:, paths])
        continuing = [own.continuing(i) for i in range(n_layers)]
        parts.append(tokenizer.decode_hidden(inputs, rotation, continuing))
    return torch.cat(parts, dim=1), last
