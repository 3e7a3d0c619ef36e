"""The header of a safetensors file: names, types and shapes of its tensors, checked, without torch.

Everything that is read of a checkpoint is compared with its header first, and the header with the
size of the file: so nothing is built or allocated that the file does not hold.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronos.system import open_regular, parse_json

__all__ = ["Header", "TensorFacts", "n_blocks", "read_header"]

_LARGEST = 4 << 20
"""Most bytes of a header; that of the largest published model has 20,000."""
_MOST_TENSORS = 8192
_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4,
    "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
_MOST_AXES = 8


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """Type, as safetensors names it, and shape of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def is_float(self) -> bool:
        """Whether parameters can be stored in it."""
        return self.dtype in ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a safetensors file.

    Attributes:
        metadata: Texts by name.
        tensors: Facts of the tensors by name.
    """

    metadata: dict[str, str]
    tensors: dict[str, TensorFacts]


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the head of a safetensors file; the tensors fill the rest of it without a gap.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is no regular file, or no safetensors file; the message says how that shows.
    """
    size = Path(path).stat().st_size
    with open_regular(path) as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        if length > _LARGEST:
            raise ValueError(f"a header of {length:,} bytes, where {_LARGEST:,} are the most")
        found = parse_json(opened.read(length).decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError("a header that is no JSON object")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("metadata that are no texts by name")
    if len(found) > _MOST_TENSORS:
        raise ValueError(f"{len(found):,} tensors, where {_MOST_TENSORS:,} are the most")
    read = {name: _tensor(name, facts) for name, facts in found.items()}
    end = 0
    for name, (_, begin, stop) in sorted(read.items(), key=lambda item: item[1][1:]):
        if begin != end:
            raise ValueError(f"the tensor {name!r:.60} begins at {begin:,}, expected {end:,}")
        end = stop
    if end != size - 8 - length:
        raise ValueError(f"{end:,} bytes of tensors, where the file has {size - 8 - length:,}")
    return Header(metadata, {name: facts for name, (facts, _, _) in read.items()})


def n_blocks(header: Header, stem: str) -> int:
    """Number of blocks of a stack such as "transformer", whose tensors are transformer.0.norm."""
    heads = (name.split(".", 2) for name in header.tensors)
    return len({parts[1] for parts in heads if parts[0] == stem and len(parts) == 3})


def _tensor(name: str, facts: Any) -> tuple[TensorFacts, int, int]:
    """Facts, begin and end of a tensor."""
    try:
        dtype, shape, (begin, end) = facts["dtype"], facts["shape"], facts["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"no type, shape and offsets of the tensor {name!r:.60}") from None
    is_fine = (
        isinstance(dtype, str)
        and dtype in _BYTES
        and isinstance(shape, list)
        and len(shape) <= _MOST_AXES
        and all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, begin, end))
    )
    if not is_fine or end - begin != math.prod(shape) * _BYTES[dtype]:
        raise ValueError(
            f"the tensor {name!r:.60} has the type {dtype!r:.20}, the shape {shape!r:.60} and "
            f"the offsets {begin!r:.20} to {end!r:.20}, which do not fit one another"
        )
    return TensorFacts(dtype, tuple(shape)), begin, end
