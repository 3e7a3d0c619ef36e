"""Markets on loopback: Yahoo's charts and Binance's candles in their real formats, with faults.

The real clients ask it, redirected by `yahoo_session` and `redirect`. Its clock is set by the test
and told in the Date header of every answer, as real sources do.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pandas as pd

from tests.loopback_binance import Binance
from tests.loopback_yahoo import YahooCharts

NOW = pd.Timestamp("2026-11-18 17:40", tz="UTC")
"""A Wednesday: London has closed, New York trades, coins always do."""


@dataclass
class Faults:
    """What goes wrong with charts and candles; the default is nothing.

    Attributes:
        status: Answer with this code, always.
        statuses: Answer the next requests with these codes, one each.
        retry_after: Value of the Retry-After header sent along with them.
        body: Text sent along with them; with no status, sent as a good answer.
        content_type: Of `body`.
        hang: Take requests and never answer them.
        nulls: Give some bars without prices.
        short_page: Most bars of one page, whatever is asked for.
        disorder: Give bars out of order, and some twice.
        everywhere: Cookies, crumbs and lists of markets fail in the same way.
    """

    status: int = 0
    statuses: list[int] = field(default_factory=list)
    retry_after: str = ""
    body: str = ""
    content_type: str = "text/html"
    hang: bool = False
    nulls: bool = False
    short_page: int = 0
    disorder: bool = False
    everywhere: bool = False


class LoopbackMarkets:
    """A server on loopback; a context manager.

    Attributes:
        now: The markets' time; None is the real one.
        faults: Set its fields at any time.
        requests: Every request taken, as "METHOD path?query".
        yahoo: What Yahoo lists.
        binance: What Binance lists.
    """

    def __init__(self, now: pd.Timestamp | None = NOW) -> None:
        self.now = now
        self.faults = Faults()
        self.requests: list[str] = []
        self.yahoo = YahooCharts()
        self.binance = Binance()
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.markets = self

    def clock(self) -> pd.Timestamp:
        """The markets' time."""
        return pd.Timestamp.now("UTC") if self.now is None else self.now

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def n_requests(self, *texts: str) -> int:
        """How many requests contain all of these texts."""
        return sum(all(text in request for text in texts) for request in self.requests)

    def __enter__(self) -> LoopbackMarkets:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """No faults, no requests, the first listings and the first time."""
        self.released.set()
        self.released = threading.Event()
        self.__dict__.update(
            now=NOW, faults=Faults(), requests=[], yahoo=YahooCharts(), binance=Binance()
        )


def yahoo_session(url: str, **options: Any) -> Any:
    """A session for `Yahoo` that sends everything to the loopback server."""
    from data_sources.yahoo.session import ChartSession

    class LoopbackSession(ChartSession):
        def send(self, method: Any, address: str, *args: Any, **rest: Any) -> Any:
            parts = urlsplit(address)
            assert parts.hostname is not None
            assert parts.hostname.endswith("yahoo.com"), address
            query = f"?{parts.query}" if parts.query else ""
            return super().send(method, f"{url}{parts.path}{query}", *args, **rest)

    return LoopbackSession(**options)


def redirect(url: str) -> Callable[[Any], None]:
    """For `Exchange(configure=)`: sends everything to the loopback server."""

    def moved(place: Any) -> Any:
        if isinstance(place, dict):
            return {name: moved(value) for name, value in place.items()}
        return url + urlsplit(place).path

    def configure(client: Any) -> None:
        client.urls["api"] = moved(client.urls["api"])
        client.enableRateLimit = False

    return configure


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    markets: LoopbackMarkets

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body go out as one; in two pieces the second waits for the client's leave.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Requests are kept in `LoopbackMarkets.requests` instead."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.server.markets.clock().to_pydatetime(), usegmt=True)

    def do_GET(self) -> None:
        markets = self.server.markets
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        markets.requests.append(f"GET {self.path}")
        faults = markets.faults
        if (faults.everywhere or path.startswith("/v8/") or path.endswith("/klines")) and (
            self._fail(markets, faults)
        ):
            return
        if path == "/v1/test/getcrumb":
            self._send(200, "xmCRUMBx", "text/plain")
        elif path.startswith("/v8/finance/chart/"):
            ticker = path.removeprefix("/v8/finance/chart/")
            self._send_json(*markets.yahoo.answer(ticker, query, markets.clock(), faults))
        elif path.startswith(("/api/v3/", "/fapi/v1/", "/dapi/v1/")):
            _, venue, _, method = path.split("/")
            answer = markets.binance.answer(venue, method, query, markets.clock(), faults)
            self._send_json(*answer)
        else:
            self._send(404, "not found", "text/plain")

    def _fail(self, markets: LoopbackMarkets, faults: Faults) -> bool:
        if faults.hang:
            markets.released.wait(30)
            self.close_connection = True
            return True
        status = faults.statuses.pop(0) if faults.statuses else faults.status
        if not status and not faults.body:
            return False
        headers = {"Retry-After": faults.retry_after} if faults.retry_after else {}
        self._send(status or 200, faults.body, faults.content_type, headers)
        return True

    def _send_json(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document), "application/json")

    def _send(
        self, status: int, text: str, content_type: str, headers: dict[str, str] | None = None
    ) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": content_type}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with LoopbackMarkets(now=None) as served:
        print(served.url, flush=True)
        while True:
            time.sleep(3600)
