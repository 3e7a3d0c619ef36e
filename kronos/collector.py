"""The garbage collector, kept out of the way of large imports.

Importing torch makes hundreds of thousands of objects and no garbage. The collector walks them
again and again while their number grows, and the interpreter once more when it exits.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused", "leave_without_collecting"]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pauses the cyclic collector of the process, for the imports inside."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def leave_without_collecting() -> None:
    """Has the interpreter exit without a last search for garbage.

    For a program that owns its process. Files and threads are closed as ever.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
