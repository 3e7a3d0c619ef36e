"""The ticker of a file: in its rows, above them, or in its name."""

from __future__ import annotations

import re

from data_sources.csv.numbers import is_blank
from data_sources.csv.table import Table
from kronos.errors import InvalidCandles

__all__ = ["symbol_in_cells", "symbol_in_name"]


def symbol_in_cells(table: Table) -> str | None:
    """The ticker in the rows or above them; None where there is none.

    Raises:
        InvalidCandles: The rows hold several.
    """
    if "symbol" not in table.cells:
        return table.symbol
    found = {cell.strip() for cell in set(table.cells["symbol"]) if not is_blank(cell)}
    if len(found) > 1:
        shown = ", ".join(repr(name[:20]) for name in sorted(found)[:5])
        column = table.columns.readings[table.columns.position["symbol"]].name
        raise InvalidCandles(
            f"Column {column} holds {len(found)} symbols ({shown}"
            f"{', ...' if len(found) > 5 else ''}). A file must hold one instrument."
        )
    return found.pop()[:40] if found else table.symbol


def symbol_in_name(name: str) -> str | None:
    """A ticker at the start of a file name such as BTCUSDT-1h.csv or VOD.L_daily.csv."""
    stem = re.sub(r"\.(csv|txt|tsv|dat)$", "", name, flags=re.IGNORECASE)
    token = re.split(r"[_\s,()]|-(?=\d)|-(?=[a-z])", stem, maxsplit=1)[0]
    if re.fullmatch(r"\^?(?=[^a-z]*[A-Z])[A-Z0-9.=\-]{1,15}", token) and token not in (
        *("DATA", "OHLC", "OHLCV", "CSV", "EXPORT", "BARS", "CANDLES", "PRICES"),
    ):
        return token
    return None
