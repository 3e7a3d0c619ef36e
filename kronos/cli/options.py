"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kronos.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_device_option", "add_store_option", "date_of", "moment_of"]


def add_store_option(parser: Any) -> None:
    """Add --store."""
    parser.add_argument(
        "--store",
        metavar="URL",
        help="database or SQLite file (default: KRONOS_STORE, or a file of this user)",
    )


def add_device_option(parser: Any) -> None:
    """Add --device."""
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: a GPU if there is one)")


def date_of(text: str | None, option: str) -> pd.Timestamp | None:
    """The date of an option, as it is written; None for None.

    Raises:
        InvalidRequest: The text is no date.
    """
    import pandas as pd

    try:
        return pd.Timestamp(text) if text else None
    except ValueError as exc:
        raise InvalidRequest(f"{option} {text!r} is not a date, such as 2025-10-01.") from exc


def moment_of(text: str | None, option: str) -> pd.Timestamp | None:
    """The time of an option, UTC unless it has an offset; None for None.

    Raises:
        InvalidRequest: The text is no time.
    """
    import pandas as pd

    if text is None:
        return None
    moment = pd.to_datetime(text, errors="coerce")
    if pd.isna(moment):
        raise InvalidRequest(f"{option} must be a time such as 2026-11-01, found {text!r}.")
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
