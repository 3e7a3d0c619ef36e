"""The revision that every benchmark and gate prints."""

from __future__ import annotations

import subprocess
from functools import cache


@cache
def revision() -> str:
    """Commit of this checkout, marked where files differ from it; "unknown" outside one."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


revision()  # as it is now: files may change while a benchmark runs
