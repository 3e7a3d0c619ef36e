"""Token sequences of random ids, for decoders.

Without pytest, so that `benchmarks.gpu` can draw the same on a GPU.
"""

from dataclasses import fields

import torch

from kronos.decoding.sequence import TokenContext, TokenSequence
from kronos.forecast import SamplingParameters

MIXED = (
    {"length": 20, "horizon": 6, "n_paths": 30},
    {"length": 9, "horizon": 3, "n_paths": 40, "T": 0.6, "top_p": 0.7},
    {"length": 33, "horizon": 8, "n_paths": 5, "T": 0.0},
    {"length": 14, "horizon": 8, "n_paths": 33, "top_k": 4, "seed": 8},
)
"""Series of different lengths, horizons and settings, for `make`."""


def make_context(length, horizon, seed=0):
    g = torch.Generator().manual_seed(seed)

    def random(high, *shape):
        return torch.randint(high, shape, generator=g)

    return TokenContext(
        random(1024, length), random(1024, length), random(7, length, 5), random(7, horizon, 5)
    )


def new_sequence(context, n_paths=4, max_context=64, use_cache=True, **sampling):
    settings = SamplingParameters(**({"sample_count": n_paths, "seed": 11} | sampling))
    return TokenSequence(context, settings, max_context=max_context, use_cache=use_cache)


def make(length, horizon, **settings):
    return new_sequence(make_context(length, horizon, length), **settings)


def copied_to(device, seq):
    """The sequence, nothing of it drawn yet, on another device."""
    parts = (getattr(seq.context, f.name) for f in fields(seq.context))
    moved = type(seq.context)(*(None if part is None else part.to(device) for part in parts))
    return type(seq)(moved, seq.sampling, max_context=seq.max_context)
