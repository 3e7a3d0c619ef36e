"""The connection to an exchange: ccxt's client, its answers judged, its errors in our kinds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from data_sources.http import (
    no_answer,
    rate_limited,
    refuse_page,
    refuse_status,
    source_clock,
)
from data_sources.patience import ASK_SECONDS, Patience
from kronos.errors import (
    IntervalUnavailable,
    InvalidRequest,
    SourceBlocked,
    SourceDown,
    SourceNonsense,
    UnknownSymbol,
)

__all__ = ["ExchangeClient"]

_REQUEST_SECONDS = 8.0


class ExchangeClient:
    """One exchange as ccxt knows it, asked by one thread at a time.

    Args:
        exchange_id: Its id in ccxt.
        configure: Called once with ccxt's client before its first request.
        request_seconds: How long one request may take.
        clock: Time of this machine, aware.
        sleep: Waits so many seconds.

    Raises:
        InvalidRequest: ccxt has no such exchange.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        configure: Callable[[Any], None] | None = None,
        request_seconds: float = _REQUEST_SECONDS,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        import ccxt

        if exchange_id not in ccxt.exchanges:
            raise InvalidRequest(f"There is no exchange {exchange_id[:40]!r} in ccxt.")
        self.ccxt: Any = getattr(ccxt, exchange_id)(
            {"enableRateLimit": True, "requests_trust_env": True}
        )
        self.title = str(self.ccxt.name)
        self._clock = clock
        # By how much the exchange's clock is ahead of this machine's.
        self._ahead = pd.Timedelta(0)
        self._request_seconds = request_seconds
        self._status = 0
        self._turn = threading.Lock()
        self._patience = Patience(self.title, sleep=sleep)
        self.ccxt.session.hooks["response"].append(self._judge)
        self._parse = self.ccxt.parse_ohlcvs
        self.ccxt.parse_ohlcvs = self._parse_strictly
        if configure is not None:
            configure(self.ccxt)

    def now(self) -> pd.Timestamp:
        """The exchange's own time, UTC, as far as its answers have told."""
        return self._clock().tz_convert("UTC") + self._ahead

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The client for this thread alone.

        Raises:
            SourceDown: Others have kept it busy for longer than anybody should wait.
        """
        if not self._turn.acquire(timeout=ASK_SECONDS):
            raise SourceDown(
                f"{self.title} is still busy with earlier requests. Try again in some seconds."
            )
        try:
            yield
        finally:
            self._turn.release()

    def ask(self, method: str, *args: Any) -> Any:
        """What a method of ccxt's client returns; asked again where that can help.

        Only to be called in `turn`.

        Raises:
            SourceError: The exchange did not give it.
        """
        return self._patience.ask(lambda seconds: self._ask_once(seconds, method, args))

    def _ask_once(self, seconds: float, method: str, args: tuple[Any, ...]) -> Any:
        import ccxt

        limit = max(0.001, min(self._request_seconds, seconds))
        self.ccxt.timeout = limit * 1000
        self._status = 0
        try:
            return getattr(self.ccxt, method)(*args)
        except ccxt.BaseError as exc:
            raise self._explain(exc, limit, method) from exc
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
            raise self._nonsense(f"{type(exc).__name__}: {exc}") from exc

    def _judge(self, answer: Any, *_: Any, **__: Any) -> None:
        """Looks at every answer before ccxt does, which would forget status and headers."""
        self._status = answer.status_code
        if (said := source_clock(answer.headers)) is not None:
            self._ahead = said - self._clock()
        refuse_status(self.title, self._status, answer.headers, answer.text)
        if self._status < 400:
            refuse_page(self.title, answer.headers.get("Content-Type", ""), answer.text)

    def _parse_strictly(self, rows: Any, market: Any = None, *rest: Any, **named: Any) -> Any:
        """As ccxt parses bars, which would silently drop what has no time."""
        ends = rows[:1] + rows[-1:] if isinstance(rows, list) else [rows]
        for row in ends:
            parsed = self.ccxt.parse_ohlcv(row, market)
            if not isinstance(parsed, list) or not isinstance(parsed[0], int):
                raise self._nonsense(f"a bar {str(row)[:80]!r}")
        return self._parse(rows, market, *rest, **named)

    def _explain(self, error: Exception, limit: float, method: str) -> Exception:
        import ccxt

        said = " ".join(str(error).split())[:300].rstrip(".")
        if isinstance(error, ccxt.RequestTimeout):
            return no_answer(self.title, f"it did not answer within {limit:.0f} s")
        if isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded):
            return rate_limited(self.title, said, None)
        if isinstance(error, ccxt.RestrictedLocation | ccxt.AuthenticationError):
            return SourceBlocked(
                f"{self.title} does not give this without an account, or not in your region "
                f"({said}). Choose another exchange."
            )
        if isinstance(error, ccxt.NullResponse | ccxt.BadResponse):
            return self._nonsense(said)
        if self._status >= 400 or not isinstance(error, ccxt.NetworkError):
            return self._refusal(error, said, method)
        if isinstance(error, ccxt.ExchangeNotAvailable):
            return SourceDown(
                f"{self.title} is not available now ({said}). Try again later, or choose another "
                "exchange."
            )
        # Requests wraps the reason several times; it stands at the end.
        reason = str(error.__cause__ or said).rsplit(": ", 1)[-1]
        return no_answer(self.title, reason.rstrip("\"')")[:200])

    def _refusal(self, error: Exception, said: str, method: str) -> Exception:
        """The exchange did answer, and will not give what it was asked for."""
        import ccxt

        found = f"HTTP {self._status}: {said}" if self._status >= 400 else said
        if method != "fetch_ohlcv":
            return self._nonsense(found)
        if isinstance(error, ccxt.BadSymbol) or self._status == 404:
            return UnknownSymbol(
                f"{self.title} does not know this symbol ({found}). Search for it again."
            )
        return IntervalUnavailable(
            f"{self.title} does not give these bars ({found}). Ask for a later start, or for "
            "another interval."
        )

    def _nonsense(self, said: str) -> SourceNonsense:
        return SourceNonsense(
            f"{self.title} sent an answer that cannot be read ({said[:200]}). It may have changed "
            "its format: update the application, or choose another exchange."
        )
