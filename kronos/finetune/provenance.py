"""Which code made a file."""

from __future__ import annotations

import subprocess
from importlib import metadata
from importlib.resources import files
from pathlib import Path

__all__ = ["code_revision"]


def code_revision() -> str:
    """The version, and in a checkout its commit; "+" marks changes that are not committed."""
    try:
        version = metadata.version("kronos-fan")
    except metadata.PackageNotFoundError:
        version = "not installed"
    root = Path(str(files("kronos"))).resolve().parent
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else ""
    if not commit:
        return version
    changed = "+" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
    return f"{version} {commit[:12]}{changed}"


def _git(root: Path, *arguments: str) -> str:
    try:
        said = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip()
