"""Earnings of companies as events, from Yahoo's calendar through yfinance.

Yahoo rounds the time of a report to the hour, so it is marked as not exact. The reported figure is
earnings per share as Yahoo adjusts it, the consensus Yahoo's estimate; a missing one stays
missing.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from data_sources.http import UNREADABLE, Retry
from data_sources.yahoo.client import TITLE, yfinance_with
from kronos.errors import InvalidRequest, KronosError, SourceNonsense, UnknownSymbol
from kronos.events import Event
from kronos.extras import require

if TYPE_CHECKING:
    from data_sources.yahoo.session import EarningsSession

__all__ = ["MAX_REPORTS", "YahooEarnings"]

MAX_REPORTS = 100
_SYMBOL = re.compile(r"[A-Z0-9.\-]{1,16}")
_COLUMNS = ("EPS Estimate", "Reported EPS")
_USUAL_LEAD = pd.Timedelta(days=14)


class YahooEarnings:
    """Earnings dates, past and scheduled, of one company at a time.

    Args:
        session: The connection; default: one of its own.
        sleep: Sleeps so many seconds.
    """

    def __init__(
        self,
        session: EarningsSession | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._retry = Retry(TITLE, sleep=sleep)

    def fetch(self, symbol: str, *, now: pd.Timestamp) -> list[Event]:
        """The latest reports and the scheduled ones, by time.

        Args:
            symbol: Ticker as Yahoo spells it.
            now: When this is, UTC.

        Raises:
            InvalidRequest: This is no ticker.
            SourceError: Yahoo could not give them.
        """
        ticker = symbol.strip().upper()
        if not _SYMBOL.fullmatch(ticker):
            raise InvalidRequest(
                f"{symbol[:40]!r} is no ticker of a company at {TITLE}; they look like AAPL or "
                "VOD.L."
            )
        table = self._retry.run(lambda seconds: self._request(ticker, seconds))
        missing = [name for name in _COLUMNS if name not in table.columns]
        if missing or not isinstance(table.index, pd.DatetimeIndex) or table.index.tz is None:
            raise _unreadable(ticker, f"no {', '.join(missing) or 'times'}")
        moments = table.index.tz_convert("UTC").as_unit("ns")
        events: dict[pd.Timestamp, Event] = {}
        for moment, row in zip(moments, table[list(_COLUMNS)].itertuples(index=False), strict=True):
            # Yahoo lists a report twice where its time was corrected; the first row is newer.
            events.setdefault(
                moment.normalize(),
                Event(
                    kind="earnings",
                    time=moment,
                    symbol=ticker,
                    name=f"{ticker} earnings per share",
                    actual=_number(row[1], ticker),
                    consensus=_number(row[0], ticker),
                    unit="per share",
                    source=TITLE,
                    fetched_at=now,
                    announced=now if moment - _USUAL_LEAD > now else None,
                    is_time_exact=False,
                ),
            )
        return sorted(events.values(), key=lambda event: event.time)

    def _request(self, ticker: str, seconds: float) -> pd.DataFrame:
        # Loaded on first use: with its client it takes a second.
        from yfinance.exceptions import YFException

        require("curl_cffi", "markets", TITLE)
        from data_sources.yahoo.session import EarningsSession

        if self._session is None:
            self._session = EarningsSession()
        try:
            with yfinance_with(self._session, seconds=seconds) as client:
                company = client.Ticker(ticker, session=self._session)
                table = company.get_earnings_dates(limit=MAX_REPORTS)
        except KronosError:
            raise
        except (YFException, *UNREADABLE) as exc:
            raise _unreadable(ticker, f"{type(exc).__name__}: {exc}") from exc
        if table is None or table.empty:
            raise UnknownSymbol(
                f"{TITLE} lists no earnings of {ticker}. Companies have them, funds and indices "
                "do not; check the ticker."
            )
        return table


def _number(value: object, ticker: str) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as exc:
        raise _unreadable(ticker, f"{value!r} is no number") from exc
    return number if math.isfinite(number) else None


def _unreadable(ticker: str, found: str) -> SourceNonsense:
    return SourceNonsense(
        f"{TITLE} sent earnings of {ticker} that cannot be read ({found[:200]}). It may have "
        "changed its format: update the application."
    )
