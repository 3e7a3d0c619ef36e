"""Less memory in training: blocks that are computed again on the way back."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kronos.nn.layers import Attend, Rotation, TransformerBlock

__all__ = ["recompute_blocks"]


def recompute_blocks(module: nn.Module) -> None:
    """Makes the transformer blocks keep their inputs only, and compute the rest once more.

    Takes about a third longer, and memory for one block instead of all. Gradients are the same,
    dropout included. Where no gradient is asked for, nothing changes.
    """
    for block in module.modules():
        if isinstance(block, TransformerBlock):
            block.forward = _recomputed(block.forward)  # type: ignore[method-assign]


def _recomputed(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def again(x: Tensor, rotation: Rotation, attend: Attend | None = None) -> Tensor:
        made: Tensor = checkpoint(forward, x, rotation, attend, use_reentrant=False)
        return made

    return again
