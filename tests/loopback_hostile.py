"""A server on loopback whose every answer is hostile, and the real clients of all sources."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from tests.loopback_binance import Binance
from tests.loopback_calendar import calendar_session
from tests.loopback_fred import KEY
from tests.loopback_markets import redirect, yahoo_session

Answer = Callable[["Hostile"], Iterator[bytes]]
START = pd.Timestamp("2026-11-10", tz="UTC")
NOW = pd.Timestamp("2026-11-18 17:40", tz="UTC")


class Hostile:
    """The server; a context manager.

    Attributes:
        answer: Gives the bytes of every answer, headers included.
        slow: Seconds between the pieces of a slow answer.
        lists_markets: Whether an exchange's list of markets is a good one, and no hostile answer.
        path: Of the latest request.
        n_requests: How many requests were taken.
        n_bytes: How many bytes were sent.
    """

    def __init__(self, slow: float = 0.05) -> None:
        self.answer: Answer = FAULTS["a web page"]
        self.slow = slow
        self.lists_markets = False
        self.path = ""
        self.n_requests = 0
        self.n_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_open = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Hostile:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        self._listener.close()

    def _accept(self) -> None:
        while self._is_open:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        # A client that goes away is what these answers want.
        with line, contextlib.suppress(OSError):
            if request := line.recv(1 << 16):
                self.n_requests += 1
                self.path = request.split(b" ", 2)[1].decode(errors="replace")
                is_list = self.lists_markets and "/exchangeInfo" in self.path
                for piece in (_markets if is_list else self.answer)(self):
                    line.sendall(piece)
                    self.n_bytes += len(piece)
                    if not self._is_open:
                        return


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    kind = [] if "Content_Type" in headers else ["Content-Type: application/json"]
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *kind, *lines, "", ""]).encode()


def body(content: bytes | str, **headers: object) -> Answer:
    data = content.encode() if isinstance(content, str) else content

    def answer(_: Hostile) -> Iterator[bytes]:
        yield head(Content_Length=len(data), **headers) + data

    return answer


def endless(first: bytes, piece: bytes, *, is_slow: bool = False) -> Answer:
    def answer(server: Hostile) -> Iterator[bytes]:
        yield first
        while True:
            yield piece
            if is_slow:
                time.sleep(server.slow)

    return answer


def moved(target: str) -> Answer:
    def answer(server: Hostile) -> Iterator[bytes]:
        yield head("302 Found", Location=target.replace("HERE", server.url), Content_Length=0)

    return answer


def _chart(**meta: object) -> str:
    quote = {name: [1.0] for name in ("open", "high", "low", "close", "volume")}
    meta = {"exchangeTimezoneName": "UTC", "currency": "USD", **meta}
    result = {"meta": meta, "timestamp": [1763000000], "indicators": {"quote": [quote]}}
    return json.dumps({"chart": {"result": [result], "error": None}})


def _markets(server: Hostile) -> Iterator[bytes]:
    venue = server.path.split("/")[1]
    _, document = Binance().answer(venue, "exchangeInfo", {}, NOW, None)
    return body(json.dumps(document))(server)


def _candles(price: str = "1.0", stamp: object = int(START.timestamp() * 1000)) -> str:
    """A page of Binance."""
    return json.dumps([[stamp, *[price] * 5, 0, "0", 1, "0", "0", "0"]])


def repeated(start: bytes, part: bytes, times: int, end: bytes = b"") -> bytes:
    """A gzip stream of a long text; a part is compressed once and its bytes are repeated."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    first = squeeze.compress(start) + squeeze.flush(zlib.Z_FULL_FLUSH)
    again = squeeze.compress(part) + squeeze.flush(zlib.Z_FULL_FLUSH)
    last = squeeze.compress(end) + squeeze.flush()
    check = zlib.crc32(start)
    for _ in range(times):
        check = zlib.crc32(part, check)
    check, size = zlib.crc32(end, check), len(start) + times * len(part) + len(end)
    tail = check.to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little")
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + first + again * times + last + tail


def many_bars(number: int, *, of_yahoo: int, of_fred: int) -> Answer:
    """So many bars, in the format of the source that is asked, of some kilobytes on the line."""

    def answer(server: Hostile) -> Iterator[bytes]:
        start, row, last, end, n_rows = b"[", b"[1,1,1,1,1,0]", b"[1,1,1,1,1,0]", b"]", number
        if "/fred/" in server.path:
            start, row, last, end, n_rows = b'{"observations":[', b"{}", b"{}", b"]}", of_fred
        if "/v8/" in server.path:
            meta = b'{"exchangeTimezoneName":"UTC","currency":"USD"}'
            start = b'{"chart":{"error":null,"result":[{"meta":' + meta + b',"timestamp":['
            row, last, end, n_rows = b"1", b"1", b'],"indicators":{"quote":[{}]}}]}}', of_yahoo
        text = repeated(start, (row + b",") * 10_000, n_rows // 10_000, last + end)
        return body(text, Content_Encoding="gzip")(server)

    return answer


_BOMB = repeated(b"[", b"0," * (1 << 20), 50)  # 100 MiB
FAULTS: dict[str, Answer] = {
    "a slow body": endless(head(Content_Length=1 << 20), b" ", is_slow=True),
    "a slow body without a length": endless(head(), b" ", is_slow=True),
    "slow headers": endless(b"HTTP/1.1 200 OK\r\nX: ", b"a", is_slow=True),
    "an endless body": endless(head(), b" " * 65536),
    "an endless chunked body": endless(
        head(Transfer_Encoding="chunked"), b"10000\r\n" + b" " * 65536 + b"\r\n"
    ),
    "an endless size of a chunk": endless(head(Transfer_Encoding="chunked"), b"0" * 65536),
    "a compressed bomb": body(_BOMB, Content_Encoding="gzip"),
    "damaged compression": body(b"\x1f\x8b\x08" + b"\xff" * 99, Content_Encoding="gzip"),
    "endless headers": endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 9000 + b"\r\n"),
    "an endless header": endless(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 65536),
    "nonsense chunks": body(b"xyz\r\nabc", Transfer_Encoding="chunked"),
    "too long a length": lambda _: iter([head(Content_Length=999) + b"{}"]),
    "closed at once": lambda _: iter([]),
    "no HTTP": lambda _: iter([b"\x00\xff\xfe" * 50]),
    "deep nesting": body("[" * 100_000),
    "too many values": body("[" + "0," * 3_100_000 + "0]"),
    "two million bars": many_bars(2_000_000, of_yahoo=12_000_000, of_fred=2_000_000),
    "too many bars": many_bars(30_000, of_yahoo=210_000, of_fred=110_000),
    "a price of 400 digits": body(_chart().replace("1.0", "9" * 400)),
    "an integer of 5,000 digits": body(_chart().replace("1763000000", "9" * 5000)),
    "NaN and Infinity": body(_chart().replace("1.0", "Infinity")),
    "a nonsense time zone": body(_chart(exchangeTimezoneName="Mars/Olympus")),
    "a path as time zone": body(_chart(exchangeTimezoneName="dateutil//etc/passwd")),
    "a number as time zone": body(_chart(exchangeTimezoneName=7)),
    "a folder as time zone": body(_chart(exchangeTimezoneName="America")),
    "text for times": body(_chart().replace("[1763000000]", '["soon"]')),
    "an object for bars": body(_chart().replace("[1.0]", '{"a": 1}')),
    "a truncated document": body(_chart()[:80]),
    "other types": body('{"chart": {"result": [3], "error": null}, "observations": [3]}'),
    "a number": body("3"),
    "bytes that are no text": body(b"\xff\xfe\x00{" * 9),
    "a web page": body("<html>Sign in</html>", Content_Type="text/html"),
    "a redirect to another host": moved("http://localhost:9/elsewhere"),
    "a redirect to another port": moved("http://127.0.0.1:9/elsewhere"),
    "a redirect out of encryption": moved("http://query2.finance.yahoo.com/again"),
    "a redirect to a file": moved("file:///etc/passwd"),
    "endless redirects": moved("/again"),
}
CANDLES: dict[str, Answer] = {
    "a price of 400 digits": body(_candles("9" * 400)),
    "an integer of 5,000 digits": body(_candles().replace('"1.0"', "9" * 5000)),
    "NaN and Infinity": body(_candles().replace('"1.0"', "Infinity")),
    "text for times": body(_candles(stamp="soon")),
    "an object for bars": body(_candles().replace('"1.0"', '{"a": 1}')),
    "a truncated document": body(_candles()[:30]),
    "other types": body("[3]"),
}
"""Where candles have a form of their own."""
CLOCKS = frozenset(fault for fault in FAULTS if fault.endswith("time zone"))
"""What candles do not have."""
SOURCES = ("Yahoo", "Binance", "Binance candles", "FRED", "Yahoo Finance")
"""The last one is the economic calendar of the first; candles come behind good markets."""
CASES = tuple(
    (fault, source)
    for fault in FAULTS
    for source in SOURCES
    if not (source == "Binance candles" and fault in CLOCKS)
)
"""Every fault and the sources that it is tried with."""


def order(server: Hostile, fault: str, source: str) -> None:
    """Let the server answer so."""
    server.lists_markets = source == "Binance candles"
    server.answer = FAULTS[fault]
    if server.lists_markets:
        server.answer = CANDLES.get(fault, FAULTS[fault])


def fetch(source: str, url: str, *, seconds: float, most_bytes: int) -> Any:
    """One request by the real client of a source.

    Args:
        source: One of `SOURCES`.
        url: The server.
        seconds: Time limit of an attempt.
        most_bytes: Most bytes of an answer.
    """
    from data_sources.exchange.source import Exchange
    from data_sources.fred.client import Fred
    from data_sources.yahoo.releases import YahooReleases
    from data_sources.yahoo.source import Yahoo

    rest: dict[str, Any] = {"sleep": lambda _: None}
    if source == "FRED":
        client = Fred(KEY, endpoint=url, seconds=seconds, most_bytes=most_bytes, **rest)
        return client.latest("DFEDTARU", pd.Timestamp("2024-01-01"))
    if source == "Yahoo Finance":
        connection = calendar_session(url, page_seconds=seconds, most_bytes=most_bytes)
        return YahooReleases(connection, **rest).fetch("US", START, NOW.normalize(), now=NOW)
    if source == "Yahoo":
        session = yahoo_session(url, chart_seconds=seconds, most_bytes=most_bytes)
        opened: Any = Yahoo(session, clock=lambda: NOW, **rest)
        return opened.fetch("AAPL", interval="1h", start=START)
    opened = Exchange(
        "binance",
        configure=redirect(url),
        request_seconds=seconds,
        most_bytes=most_bytes,
        clock=lambda: NOW,
        **rest,
    )
    return opened.fetch("BTC/USDT", interval="1h", start=START)
