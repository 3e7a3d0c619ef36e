"""The operations of a function, recorded and run again without its Python code.

On a processor this stands in for a CUDA graph, with the same conditions: operations run again on
the same memory, with the numbers that Python passed when they were recorded, and no value may be
read by Python in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kronos.decoding import sampling
from kronos.decoding.cuda import Halves, StaticBatch

_READS = {"_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal"}
"""Operations for whose result Python waits."""


class Recording(TorchDispatchMode):
    """Records the operations that run under it. They are run at once as well.

    Attributes:
        operations: Those that compute or write something; views are none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[_Operation] = []

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = function._schema.name.removeprefix("aten::")
        if name in _READS:
            raise RuntimeError(f"Python waits for the result of {name}, which a graph cannot.")
        result = function(*args, **(kwargs or {}))
        operation = _Operation(function, args, kwargs or {}, result)
        if not operation.is_view:
            self.operations.append(operation)
        return result

    @torch.inference_mode()
    def replay(self) -> None:
        """Runs the operations again, in the memory of the first time."""
        for operation in self.operations:
            operation.again()


class _Operation:
    """One operation, its arguments and its results."""

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        self.function, self.args, self.kwargs, self.result = function, args, kwargs, result
        given = {_storage(tensor) for tensor in _tensors((args, kwargs))}
        self.writes = function._schema.is_mutable
        # Some views are copies where a view is impossible: what counts is the memory.
        self.is_view = not self.writes and all(
            _storage(tensor) in given for tensor in _tensors(result)
        )

    def again(self) -> None:
        found = self.function(*self.args, **self.kwargs)
        if not self.writes:
            for before, after in zip(_tensors(self.result), _tensors(found), strict=True):
                before.copy_(after)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@torch.inference_mode()
def recorded(function: Callable[[], None]) -> Recording:
    """Runs a function once and records its operations."""
    with Recording() as recording:
        function()
    return recording


def recorded_halves(batch: StaticBatch) -> Halves:
    """Both halves of a step, recorded, as `kronos.decoding.cuda.cuda_graphs` captures them."""
    batch.j.fill_(1)
    # On a processor numpy sorts, unseen. On a GPU torch does.
    with patch.object(sampling, "_descending", _descending):
        return recorded(batch.decode_step).replay, recorded(batch.sample_step).replay


def _descending(logits: Tensor) -> Tensor:
    return logits.sort(dim=-1, descending=True).values
