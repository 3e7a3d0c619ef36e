"""How torch is brought into a process that also serves pages."""

from __future__ import annotations

import gc
import os
import sys

from kronos.system import collector_paused

__all__ = ["prepare_torch"]


# GNU's OpenMP counts turns of its loop (about half a millisecond here), LLVM's milliseconds.
_SPIN = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}


def prepare_torch() -> None:
    """Imports torch, with threads that soon go to sleep while they wait for one another.

    By default they spin for so long that on a machine whose processors also serve pages a step
    of milliseconds takes seconds; with no spinning at all every product pays for waking them.
    OpenMP reads the settings once, when torch is loaded; what the user has set is left alone.

    From then on the collector of garbage leaves out all that the process holds: torch's quarter of
    a million objects, which stay, would otherwise be most of every search.
    """
    if "torch" in sys.modules:
        return
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in _SPIN.items():
            os.environ.setdefault(name, value)
    with collector_paused():
        import torch  # noqa: F401

        gc.freeze()
