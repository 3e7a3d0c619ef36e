"""One training at a time on a machine.

The lock is the operating system's, on a file, and belongs to the process that trains: it is free
the moment that process has ended in whatever way, and still held where only the server has ended.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from kronos.errors import Busy

BUSY = (
    "Another training is under way on this machine, and the limit is one at a time. Your settings "
    "are still here: press the button again after it ends."
)
_TRIES, _PAUSE = 5, 0.02


def take(path: Path, run_id: str) -> int:
    """Takes the lock for a run.

    Returns:
        A file descriptor: whoever holds a copy of it holds the lock.

    Raises:
        Busy: Another training is under way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if not _lock(descriptor):
        os.close(descriptor)
        raise Busy(BUSY)
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, run_id.encode(), 0)
    return descriptor


def holder(path: Path) -> str:
    """The run that holds the lock; "" where it is free."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return ""
    try:
        return "" if _lock(descriptor) else os.pread(descriptor, 64, 0).decode()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the lock could be had. Others look only for a moment, so that is tried again."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False
