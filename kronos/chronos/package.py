"""Whether the package that Chronos-2 computes with is installed."""

from __future__ import annotations

from importlib.util import find_spec

from kronos.errors import CheckpointUnavailable

__all__ = ["require_package"]


def require_package() -> None:
    """Asked before anything is downloaded.

    Raises:
        CheckpointUnavailable: chronos-forecasting is not installed.
    """
    if find_spec("chronos") is None:
        raise CheckpointUnavailable(
            "Chronos-2 computes with the package chronos-forecasting, which is not installed. "
            "Install it beside this program (pip install 'kronos-fan[chronos]', or "
            "pip install chronos-forecasting), then start it again."
        )
