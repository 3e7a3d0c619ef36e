"""Where the files that ship with the library lie: the bundled checkpoint and the sample bars."""

from __future__ import annotations

from pathlib import Path

__all__ = ["asset_path"]

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries the checkout's assets/ folder as kronos/_assets (see pyproject.toml).
_INSTALLED = _PACKAGE / "_assets"
_CHECKOUT = _PACKAGE.parent / "assets"


def asset_path(*parts: str) -> Path:
    """Path of a shipped file or folder, in a checkout and in an installed wheel alike.

    Args:
        parts: Components below assets/, such as "samples", "GOOG_1d.csv". They are names from
            the code, never from a user.

    Returns:
        The absolute path. It is not required to exist: the caller knows best what a missing
        file means and what to say about it.

    Raises:
        ValueError: A component is absolute or leads out of the assets folder.
    """
    relative = Path(*parts)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"An asset is named by components below assets/, found {parts!r}.")
    root = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    return root / relative
