"""Whether the package that Chronos-2 computes with is installed."""

from __future__ import annotations

from importlib.util import find_spec

from kronos.errors import CheckpointUnavailable

__all__ = ["has_package", "require_package"]


def has_package() -> bool:
    """Whether chronos-forecasting is installed; imports nothing."""
    return find_spec("chronos") is not None


def require_package() -> None:
    """Asked before anything is downloaded.

    Raises:
        CheckpointUnavailable: chronos-forecasting is not installed.
    """
    if not has_package():
        raise CheckpointUnavailable(
            "Chronos-2 computes with the package chronos-forecasting, which is not installed. "
            "Install it beside this program (pip install 'kronos-fan[chronos]', or "
            "pip install chronos-forecasting), then start it again."
        )
