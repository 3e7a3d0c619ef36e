"""The connection to an exchange through ccxt: one request at a time, and bars page by page."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from data_sources.http import (
    MOST_BYTES,
    REQUEST_SECONDS,
    UNREADABLE,
    Retry,
    parse_json,
    raise_for_page,
    raise_for_status,
    rate_limited,
    server_time,
    unreachable,
)
from kronos.calendars.intervals import interval_width
from kronos.errors import (
    IntervalUnavailable,
    InvalidRequest,
    KronosError,
    SourceBlocked,
    SourceDown,
    SourceNonsense,
    UnknownSymbol,
)
from kronos.extras import require

__all__ = ["ATTEMPT_SECONDS", "MAX_BARS", "ExchangeClient", "read_pages"]

ATTEMPT_SECONDS = 8.0
"""How long one attempt at a request may take."""
MAX_BARS = 50_000
"""Most bars that one request may span."""
_PAGE = 500
_MOST_ROWS_OF_A_PAGE = 20_000  # some exchanges send more than was requested
_ALL_PAGES_SECONDS = 90.0
# The list of markets is several requests, which may take longer together.
_MARKETS_FACTOR = 2.5
_MOST_REDIRECTS = 5
_LATEST = 9_000_000_000_000  # milliseconds; within the times that pandas has


class ExchangeClient:
    """ccxt's client of one exchange, whose errors are those of `kronos.errors`.

    Args:
        exchange_id: Its id in ccxt.
        configure: Called once with ccxt's client before its first request.
        request_seconds: How long one attempt at a request may take.
        clock: Time of this machine, aware.
        sleep: Sleeps so many seconds.
        most_bytes: Most bytes of an answer.

    Raises:
        InvalidRequest: ccxt has no such exchange.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        configure: Callable[[Any], None] | None = None,
        request_seconds: float = ATTEMPT_SECONDS,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
        sleep: Callable[[float], None] = time.sleep,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        ccxt = require("ccxt", "markets", "An exchange")
        from data_sources.connection import BoundedAdapter  # loads requests

        if exchange_id not in ccxt.exchanges:
            raise InvalidRequest(f"There is no exchange {exchange_id[:40]!r} in ccxt.")
        self.ccxt: Any = getattr(ccxt, exchange_id)(
            {
                "enableRateLimit": True,
                "requests_trust_env": True,
                "options": {"maxRetriesOnFailure": 0},  # `Retry` repeats requests
            }
        )
        self.title = str(self.ccxt.name)
        self._clock = clock
        self._ahead = pd.Timedelta(0)  # of the exchange's clock to this machine's
        self._request_seconds = request_seconds
        self._status = 0  # of the last response
        self._turn = threading.Lock()
        self._retry = Retry(self.title, sleep=sleep)
        self._adapter = BoundedAdapter(self.title, most_bytes=most_bytes)
        self.ccxt.session.mount("http://", self._adapter)
        self.ccxt.session.mount("https://", self._adapter)
        self.ccxt.session.max_redirects = _MOST_REDIRECTS
        self.ccxt.session.hooks["response"].append(self._validate)
        self.ccxt.on_json_response = self._parse_document
        self._parse = self.ccxt.parse_ohlcvs
        self.ccxt.parse_ohlcvs = self._parse_strictly
        if configure is not None:
            configure(self.ccxt)

    def now(self) -> pd.Timestamp:
        """The exchange's own time, UTC, by the Date header of its last response."""
        return self._clock().tz_convert("UTC") + self._ahead

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The client for this thread alone.

        Raises:
            SourceDown: Other threads use it for longer than one request may take.
        """
        if not self._turn.acquire(timeout=REQUEST_SECONDS):
            raise SourceDown(
                f"{self.title} is still busy with earlier requests. Try again in some seconds."
            )
        try:
            yield
        finally:
            self._turn.release()

    def request(self, method: str, *args: Any, seconds: float = math.inf) -> Any:
        """The result of a method of ccxt's client. Only to be called in `turn`.

        Args:
            method: Its name.
            args: Its arguments.
            seconds: How long it may take where that is less than usual.

        Raises:
            SourceError: The exchange did not give it.
        """
        return self._retry.run(lambda left: self._attempt(left, method, args), seconds=seconds)

    def _attempt(self, seconds: float, method: str, args: tuple[Any, ...]) -> Any:
        import ccxt

        limit = max(0.001, min(self._request_seconds, seconds))
        self.ccxt.timeout = limit * 1000
        self._status = 0
        longest = limit * (_MARKETS_FACTOR if method == "load_markets" else 1)
        try:
            with self._adapter.within(min(longest, seconds)):
                return getattr(self.ccxt, method)(*args)
        except KronosError:
            raise
        except ccxt.BaseError as exc:
            raise self._explain(exc, limit, method) from exc
        except UNREADABLE as exc:
            raise self.nonsense(f"{type(exc).__name__}: {exc}") from exc

    def _parse_document(self, text: str) -> Any:
        """As ccxt parses documents, with our bounds."""
        return parse_json(self.title, text, numbers_as_text=self.ccxt.quoteJsonNumbers)

    def _validate(self, response: Any, *_: Any, **__: Any) -> None:
        """Look at every response before ccxt, which drops status and headers."""
        self._status = response.status_code
        if (said := server_time(response.headers)) is not None:
            self._ahead = said - self._clock()
        raise_for_status(self.title, self._status, response.headers, response.text)
        if self._status < 400:
            raise_for_page(self.title, response.headers.get("Content-Type", ""), response.text)

    def _parse_strictly(self, rows: Any, market: Any = None, *rest: Any, **named: Any) -> Any:
        """As ccxt parses bars, but an error for a row without a time, which ccxt drops."""
        if isinstance(rows, list) and len(rows) > _MOST_ROWS_OF_A_PAGE:
            raise self.nonsense(f"{len(rows):,} bars in one answer")
        ends = rows[:1] + rows[-1:] if isinstance(rows, list) else [rows]
        for row in ends:
            parsed = self.ccxt.parse_ohlcv(row, market)
            if not isinstance(parsed, list) or not isinstance(parsed[0], int):
                raise self.nonsense(f"a bar {str(row)[:80]!r}")
        return self._parse(rows, market, *rest, **named)

    def _explain(self, error: Exception, limit: float, method: str) -> Exception:
        import ccxt
        from requests.exceptions import TooManyRedirects

        said = " ".join(str(error).split())[:300].rstrip(".")
        if isinstance(error.__cause__, TooManyRedirects):
            return self.nonsense(f"more than {_MOST_REDIRECTS} redirects")
        if isinstance(error, ccxt.RequestTimeout):
            return unreachable(self.title, f"it did not answer within {limit:.0f} s")
        if isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded):
            return rate_limited(self.title, said, None)
        if isinstance(error, ccxt.RestrictedLocation | ccxt.AuthenticationError):
            return SourceBlocked(
                f"{self.title} does not give this without an account, or not in your region "
                f"({said}). Choose another exchange."
            )
        if isinstance(error, ccxt.NullResponse | ccxt.BadResponse):
            return self.nonsense(said)
        if self._status >= 400 or not isinstance(error, ccxt.NetworkError):
            return self._refusal(error, said, method)
        if isinstance(error, ccxt.ExchangeNotAvailable):
            return SourceDown(
                f"{self.title} is not available now ({said}). Try again later, or choose another "
                "exchange."
            )
        # Requests wraps the reason several times; it stands at the end.
        reason = str(error.__cause__ or said).rsplit(": ", 1)[-1]
        return unreachable(self.title, reason.rstrip("\"')")[:200])

    def _refusal(self, error: Exception, said: str, method: str) -> Exception:
        """The error of an exchange that answers and refuses the request."""
        import ccxt

        found = f"HTTP {self._status}: {said}" if self._status >= 400 else said
        if method != "fetch_ohlcv":
            return self.nonsense(found)
        if isinstance(error, ccxt.BadSymbol) or self._status == 404:
            return UnknownSymbol(
                f"{self.title} does not know this symbol ({found}). Search for it again."
            )
        return IntervalUnavailable(
            f"{self.title} does not give these bars ({found}). Ask for a later start, or for "
            "another interval."
        )

    def nonsense(self, said: str) -> SourceNonsense:
        """The error of an answer that cannot be read."""
        return SourceNonsense(
            f"{self.title} sent an answer that cannot be read ({said[:200]}). It may have changed "
            "its format: update the application, or choose another exchange."
        )


def read_pages(
    client: ExchangeClient, symbol: str, interval: str, first: pd.Timestamp, last: pd.Timestamp
) -> list[list[Any]]:
    """Rows (milliseconds, open, high, low, close, volume) of bars, forward in time.

    A page may be short, empty, out of order, or repeat rows of the one before: only a row at the
    end of the range, or a page that reaches beyond it, ends the reading. After an empty page
    (nothing was traded, or nothing was listed yet) the next one is requested.

    Args:
        client: The exchange, in the caller's turn.
        symbol: As ccxt spells it.
        interval: Name of the bar width.
        first: Earliest open time.
        last: Latest open time.

    Returns:
        Rows in the order received; empty if there are none.

    Raises:
        InvalidRequest: The range spans more than `MAX_BARS`.
        SourceError: A page could not be fetched, or has another format.
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
        left = deadline - time.monotonic()
        if left <= 0 or len(rows) > 2 * MAX_BARS:
            raise SourceDown(
                f"{client.title} needs more than {_ALL_PAGES_SECONDS:.0f} s for these bars. Ask "
                "for a later start."
            )
        response = client.request("fetch_ohlcv", symbol, interval, cursor, page, seconds=left)
        found = _checked(client, response)
        rows += [row for row in found if cursor <= row[0] <= stop]
        newest = max((row[0] for row in found), default=None)
        if newest is None:
            cursor += page * width
        elif newest < cursor:
            break  # The exchange has nothing newer.
        else:
            cursor = newest + width
    return rows


def _page_size(client: ExchangeClient, symbol: str) -> int:
    limit = client.ccxt.feature_value(symbol, "fetchOHLCV", "limit", _PAGE)
    return min(int(limit), 1000) if isinstance(limit, int | float) and limit > 0 else _PAGE


def _checked(client: ExchangeClient, response: Any) -> list[list[Any]]:
    """The rows of a page, each a time and five numbers (or nothing where one is missing)."""
    rows: list[Any] = response if isinstance(response, list) else [response]
    for row in rows:
        is_row = isinstance(row, list) and len(row) >= 6 and isinstance(row[0], int)
        is_row = is_row and 0 <= row[0] < _LATEST
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
