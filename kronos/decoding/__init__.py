"""Sampling token paths: the context of a series is read once, every path continues it.

Reading order:

    sequence.py     the tokens of a series, and its paths while they are drawn
    sampling.py     logits to draws: temperature, top-k, top-p
    prefix_cache.py keys and values of a context, shared by all its paths
    weights.py      fused projections, and the number format that is fastest
    decoder.py      paths of many series, a step at a time, in torch operations on any device
    sliding.py      beyond the model's window: every step reads its tokens anew
    cpu.py          decoding on a processor in float32 with compiled loops (cpu_kernels.py)
    cuda.py         decoding on a GPU: memory of fixed shape, and captured CUDA graphs
    detokenize.py   token paths back to candles
"""

TILE = 32
"""Paths that one matrix product reads: columns on a processor, rows of a lane on a GPU."""

MAX_ROWS = 256
"""Paths drawn at once. Their attention memory bounds the memory of a forecast, and beyond this
number no operation gains from more of them."""
