"""How far the memory of this process grew."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from kronos.system import peak_bytes

_RESET = Path("/proc/self/clear_refs")


class MemoryGrowth:
    """Peak memory from its construction on, beyond what was held then.

    On a GPU it counts torch's allocations. Elsewhere it counts the resident memory of the
    process, workspaces of the math library included.
    """

    def __init__(self, device: str) -> None:
        self._on_gpu = torch.device(device).type == "cuda"
        if self._on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._held = torch.cuda.memory_allocated()
            return
        # Linux can forget its high-water mark; elsewhere the mark of the process so far is the
        # start, and a smaller growth than loading the weights took stays unseen.
        with contextlib.suppress(OSError):
            _RESET.write_text("5")
        self._held = peak_bytes()

    def peak(self) -> int:
        """Bytes of growth at the highest point so far."""
        if self._on_gpu:
            return torch.cuda.max_memory_allocated() - self._held
        return peak_bytes() - self._held
