"""Reading bars of an exchange page by page, forward in time."""

from __future__ import annotations

import math
import time
from typing import Any

import pandas as pd

from data_sources.exchange.client import ExchangeClient
from kronos.calendars.intervals import interval_width
from kronos.errors import InvalidRequest, SourceDown, SourceNonsense

__all__ = ["MAX_BARS", "read_pages"]

MAX_BARS = 50_000
"""Most bars that one request may span."""
_PAGE = 500
_ALL_PAGES_SECONDS = 90.0


def read_pages(
    client: ExchangeClient, symbol: str, interval: str, first: pd.Timestamp, last: pd.Timestamp
) -> list[list[Any]]:
    """Rows (milliseconds, open, high, low, close, volume) that open within two times.

    A page may be short, empty, out of order, or repeat rows of the one before: only a row at the
    end of the range, or a page that reaches beyond it, ends the reading. An empty page says that
    nothing was traded (or that nothing was listed yet), and the next one is asked for.

    Args:
        client: The exchange, in the caller's turn.
        symbol: As ccxt spells it.
        interval: Name of the bar width.
        first: Earliest open time.
        last: Latest open time.

    Returns:
        Rows in the order they came; empty if there are none.

    Raises:
        InvalidRequest: The range spans more than `MAX_BARS`.
        SourceError: A page could not be had, or is no page.
    """
    width = int(interval_width(interval).total_seconds() * 1000)
    cursor, stop = _milliseconds(first), _milliseconds(last)
    if (stop - cursor) // width > MAX_BARS:
        raise InvalidRequest(
            f"{(stop - cursor) // width:,} bars of {interval} are too many for one request; at "
            f"most {MAX_BARS:,} are read. Ask for a later start, or for wider bars."
        )
    page = _page_size(client, symbol)
    rows: list[list[Any]] = []
    deadline = time.monotonic() + _ALL_PAGES_SECONDS
    while cursor <= stop:
        if time.monotonic() > deadline:
            raise SourceDown(
                f"{client.title} needs more than {_ALL_PAGES_SECONDS:.0f} s for these bars. Ask "
                "for a later start."
            )
        answer = client.ask("fetch_ohlcv", symbol, interval, cursor, page)
        found = [row for row in _checked(client, answer) if cursor <= row[0] <= stop]
        rows += found
        newest = max((row[0] for row in answer), default=None)
        if newest is None:
            cursor += page * width
        elif newest < cursor:
            break  # It has nothing newer.
        else:
            cursor = newest + width
    return rows


def _page_size(client: ExchangeClient, symbol: str) -> int:
    limit = client.ccxt.feature_value(symbol, "fetchOHLCV", "limit", _PAGE)
    return min(int(limit), 1000) if isinstance(limit, int | float) and limit > 0 else _PAGE


def _checked(client: ExchangeClient, answer: Any) -> list[list[Any]]:
    """The rows of a page, each a time and five numbers (or nothing where one is missing)."""
    rows: list[Any] = answer if isinstance(answer, list) else [answer]
    for row in rows:
        is_row = isinstance(row, list) and len(row) >= 6 and isinstance(row[0], int)
        if not is_row or not all(_is_number_or_none(value) for value in row[1:6]):
            raise SourceNonsense(
                f"{client.title} sent something that is no bar ({str(row)[:80]}). It may have "
                "changed its format: update the application, or choose another exchange."
            )
    return rows


def _is_number_or_none(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not math.isinf(value))


def _milliseconds(moment: pd.Timestamp) -> int:
    return int(moment.timestamp() * 1000)
