"""What this machine has: its memory, and how much of it this process takes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

__all__ = ["free_bytes", "n_processors", "peak_bytes", "process_bytes", "total_bytes"]

_STATUS, _MEMORY = Path("/proc/self/status"), Path("/proc/meminfo")


def process_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    resident = _kilobytes(_STATUS, "VmRSS")
    if resident is not None:
        return resident
    try:  # Systems without /proc, macOS among them.
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(os.getpid())],
            capture_output=True,
            text=True,
            check=True,
            timeout=2,
        )
        return 1024 * int(said.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def peak_bytes() -> int:
    """Most memory this process ever held."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else 1024 * held  # kilobytes on Linux


def total_bytes() -> int | None:
    """Memory of the machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def free_bytes() -> int | None:
    """Memory that programs can still get without swapping; None where the system does not tell."""
    return _kilobytes(_MEMORY, "MemAvailable")


def n_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _kilobytes(path: Path, name: str) -> int | None:
    """Bytes of a line such as "VmRSS:   1234 kB"."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
