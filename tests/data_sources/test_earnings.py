"""Earnings from Yahoo's calendar through the real client, on pages in its real format."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest

from data_sources.yahoo.earnings import YahooEarnings
from data_sources.yahoo.session import EarningsSession
from kronos.errors import (
    InvalidRequest,
    RateLimited,
    SourceDown,
    SourceNonsense,
    UnknownSymbol,
)

NOW = pd.Timestamp("2026-11-18 17:40", tz="UTC").as_unit("ns")
ROWS = (
    ("AAPL", "Apple Inc.", "April 29, 2027 at 4 PM EDT", "-", "-", "-"),
    ("AAPL", "Apple Inc.", "January 28, 2027 at 4 PM EST", "2.66", "-", "-"),
    ("AAPL", "Apple Inc.", "October 29, 2026 at 4 PM EDT", "2.02", "2.11", "+4.46"),
    ("AAPL", "Apple Inc.", "July 30, 2026 at 4 PM EDT", "1.55", "1.50", "-3.2"),
)
HEADER = ("Symbol", "Company", "Earnings Date", "EPS Estimate", "Reported EPS", "Surprise (%)")


def page(rows: tuple[tuple[str, ...], ...], header: tuple[str, ...] = HEADER) -> str:
    """A page of the calendar; without rows it has no table, as Yahoo's has none."""
    cells = "".join(f"<th>{name}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    return f"<html><head><title>Company Earnings Calendar</title></head><body>{table}</body></html>"


@dataclass
class Calendar:
    """What the server answers: a status and a page, or nothing at all."""

    text: str = ""
    statuses: list[int] = field(default_factory=list)
    hang: bool = False
    requests: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture(scope="module")
def server() -> Iterator[Calendar]:
    calendar = Calendar()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Requests are kept."""

        def do_GET(self) -> None:
            is_page = "/calendar/earnings" in self.path
            if is_page:
                calendar.requests.append(self.path)
            if is_page and calendar.hang:
                calendar.released.wait(10)
                return
            body = calendar.text.encode()
            fails = is_page and calendar.statuses
            self.send_response(calendar.statuses.pop(0) if fails else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True).start()
    calendar.url = f"http://127.0.0.1:{served.server_address[1]}"
    yield calendar
    calendar.released.set()
    served.shutdown()
    served.server_close()


@pytest.fixture
def calendar(server: Calendar) -> Calendar:
    server.text, server.statuses, server.hang = page(ROWS), [], False
    server.requests.clear()
    return server


class Redirected(EarningsSession):
    """The real session, asking the server on loopback."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(**options)
        self._url = url

    def send(self, method: Any, url: str, *args: Any, **options: Any) -> Any:
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return super().send(method, f"{self._url}{parts.path}{query}", *args, **options)


@pytest.fixture
def yahoo(calendar: Calendar) -> YahooEarnings:
    return YahooEarnings(Redirected(calendar.url, page_seconds=5.0), sleep=lambda seconds: None)


def test_past_and_scheduled_reports_are_sorted_by_time(yahoo, calendar):
    found = yahoo.fetch("aapl", now=NOW)
    assert "symbol=AAPL" in calendar.requests[0]
    assert [(e.release_day, e.actual, e.consensus) for e in found] == [
        ("2026-07-30", 1.5, 1.55),
        ("2026-10-29", 2.11, 2.02),
        ("2027-01-28", None, 2.66),
        ("2027-04-29", None, None),
    ]
    assert all(e.kind == "earnings" and e.symbol == "AAPL" and not e.is_time_exact for e in found)
    assert all(e.fetched_at == NOW and e.source == "Yahoo Finance" for e in found)
    summer, _, winter, _ = found
    assert summer.time == pd.Timestamp("2026-07-30 20:00", tz="UTC")
    assert winter.time == pd.Timestamp("2027-01-28 21:00", tz="UTC")


def test_an_early_date_is_public_from_the_moment_of_the_request(yahoo):
    *_, coming, _ = yahoo.fetch("AAPL", now=NOW)
    assert coming.announced_time == NOW
    past = yahoo.fetch("AAPL", now=NOW)[0]
    assert past.announced_time == past.time - pd.Timedelta(days=14)


def test_a_company_without_reports_is_unknown(yahoo, calendar):
    calendar.text = page(())
    with pytest.raises(UnknownSymbol, match="lists no earnings of SPY"):
        yahoo.fetch("SPY", now=NOW)


@pytest.mark.parametrize("symbol", ["", "A B", "../x", "AAPL&size=1", "x" * 40])
def test_an_invalid_ticker_is_never_requested(yahoo, calendar, symbol):
    with pytest.raises(InvalidRequest, match="is no ticker"):
        yahoo.fetch(symbol, now=NOW)
    assert not calendar.requests


@pytest.mark.parametrize(
    ("statuses", "text", "kind", "said"),
    [
        ([429], "", RateLimited, "too many requests"),
        ([503] * 3, "", SourceDown, "fault of its own"),
        ([], "<html>Before you continue</html>", SourceNonsense, "not with its earnings calendar"),
        ([], "<html>Yahoo! Will be right back...</html>", SourceDown, "says it is down"),
        ([404], page(ROWS), SourceNonsense, "HTTP 404"),
        ([], page((ROWS[0][:2],), HEADER[:2]), SourceNonsense, "cannot be read"),
        ([], page(((*ROWS[0][:2], "soon", "1", "1", "1"),)), SourceNonsense, "cannot be read"),
        ([], page(((*ROWS[0][:3], "many", "1", "1"),)), SourceNonsense, "'many' is no number"),
    ],
)
def test_a_response_without_a_calendar_is_refused(yahoo, calendar, statuses, text, kind, said):
    calendar.statuses, calendar.text = list(statuses), text
    with pytest.raises(kind, match=said):
        yahoo.fetch("AAPL", now=NOW)


def test_a_request_without_a_response_ends(calendar):
    calendar.hang = True
    quick = YahooEarnings(Redirected(calendar.url, page_seconds=0.2), sleep=lambda seconds: None)
    with pytest.raises(SourceDown, match="did not answer"):
        quick.fetch("AAPL", now=NOW)
