"""What every gate prints."""

from __future__ import annotations

import subprocess


def revision() -> str:
    """The revision of this tree, marked where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
