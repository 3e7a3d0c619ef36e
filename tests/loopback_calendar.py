"""Yahoo's economic calendar on loopback, in its real format, with cookies, crumbs and faults.

Figures are text, a release that is still to come has null for its actual, and an answer has at
most 100 rows of those that the query selects. A request without the crumb of its cookie is refused.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from data_sources.yahoo.session import CalendarSession

COLUMNS = (
    ("econ_release", "Event", "STRING"),
    ("country_code", "Country Code", "STRING"),
    ("startdatetime", "Event Time", "DATE"),
    ("period", "For", "STRING"),
    ("after_release_actual", "Actual", "STRING"),
    ("consensus_estimate", "Market Expectation", "STRING"),
    ("prior_release_actual", "Prior to This", "STRING"),
    ("originally_reported_actual", "Revised from", "STRING"),
)

Row = tuple[str, str, str, str, str | None, str | None, str | None, str | None]


def row(
    name: str, country: str, time: str, period: str = "", actual: str | None = None,
    consensus: str | None = None, previous: str | None = None,
) -> Row:  # fmt: skip
    """One release as Yahoo lists it."""
    return name, country, time, period, actual, consensus, previous, None


AUTUMN = (
    row("CPI MM, SA*", "US", "2026-10-14T12:30:00Z", "Sep", "0.3", "0.4", "0.2"),
    row("Core CPI MM, SA*", "US", "2026-10-14T12:30:00Z", "Sep", "0.2", "0.3", "0.3"),
    row("Fed Funds Tgt Rate *", "US", "2026-10-28T18:00:00Z", "28 Oct", "3.75", "3.62", "3.88"),
    row("GDP Advance*", "US", "2026-10-29T12:30:00Z", "Q3", "0.0", "1.2", "2.1"),
    row("Non-Farm Payrolls*", "US", "2026-11-06T13:30:00Z", "Oct", "1,119", "50", "-4"),
    row("CPI MM, SA*", "US", "2026-11-12T13:30:00Z", "Oct", "0.2", "0.3", "0.3"),
    row("Initial Jobless Clm*", "US", "2026-11-19T13:30:00Z", "14 Nov", None, "220", "232"),
    row("Core PCE Price Index MM *", "US", "2026-11-25T13:30:00Z", "Oct", None, "0.2", "0.2"),
    row("CPI MM, SA*", "US", "2026-12-10T13:30:00Z", "Nov", None, None, "0.2"),
    row("ECB Refinancing*", "EU", "2026-10-29T13:15:00Z", "Oct", "2.15", "2.15", "2.15"),
    row("ECB Deposit Rate*", "EU", "2026-10-29T13:15:00Z", "Oct", "2.0", "2.0", "2.0"),
    row("ECB Deposit Rate*", "EZ", "2026-12-17T13:15:00Z", "Dec", None, None, "2.0"),
    row("BOE Bank Rate*", "GB", "2026-11-05T12:00:00Z", "Nov", "3.5", "3.75", "3.75"),
    row("BOJ Rate Decision*", "JP", "2026-10-30T00:00:00Z", "30 Oct", None, None, "0.75"),
    row("Urban Investment (YTD)YY", "CN", "2026-11-16T02:00:00Z", "Oct", "-1.6", None, "-1.1"),
)
"""Some weeks of the autumn of 2026, seen on 18 November."""


@dataclass
class Faults:
    """What goes wrong; the default is nothing.

    Attributes:
        statuses: Answer the next requests for the calendar with these codes, one each.
        retry_after: Value of the Retry-After header sent along with them.
        body: Answer with this text and status 200.
        content_type: Of `body`.
        hang: Take requests for the calendar and never answer them.
        is_endless: Say that there are a million rows, and send full pages for ever.
        crumbs: Crumbs to refuse, as Yahoo does when a cookie has expired.
        no_crumb: Whether to refuse all of them.
    """

    statuses: list[int] = field(default_factory=list)
    retry_after: str = ""
    body: str = ""
    content_type: str = "application/json"
    hang: bool = False
    is_endless: bool = False
    crumbs: set[str] = field(default_factory=set)
    no_crumb: bool = False


class LoopbackCalendar:
    """A server on loopback; a context manager.

    Attributes:
        rows: What Yahoo lists.
        faults: Set its fields at any time.
        requests: The query of every request for the calendar.
        crumbs: The crumbs that came with the requests.
    """

    def __init__(self, rows: tuple[Row, ...] = AUTUMN) -> None:
        self.rows = rows
        self.faults = Faults()
        self.requests: list[dict[str, Any]] = []
        self.crumbs: list[str] = []
        self.n_given = 0
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.calendar = self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LoopbackCalendar:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """The document of a query."""
        chosen = sorted(
            (row for row in self.rows if _holds(body["query"], row)), key=lambda row: row[2]
        )
        offset, size = body["offset"], min(body["size"], 100)
        page = chosen[offset : offset + size]
        total = len(chosen)
        if self.faults.is_endless:
            page, total = (
                [(*self.rows[0][:3], f"{offset + i}", *[None] * 4) for i in range(100)],
                10**6,
            )
        places = [[name for name, *_ in COLUMNS].index(name) for name in body["includeFields"]]
        columns = [dict(zip(("id", "label", "type"), COLUMNS[i], strict=True)) for i in places]
        table = {
            "entityIdType": body["entityIdType"].upper(),
            "columns": columns,
            "rows": [[row[i] for i in places] for row in page],
        }
        return {"finance": {"result": [{"total": total, "documents": [table]}], "error": None}}


def _holds(query: dict[str, Any], row: Row) -> bool:
    operator, operands = query["operator"], query["operands"]
    if operator in ("AND", "OR"):
        found = [_holds(each, row) for each in operands]
        return all(found) if operator == "AND" else any(found)
    name, wanted = operands
    value = row[[column for column, *_ in COLUMNS].index(name)]
    assert value is not None
    if name == "startdatetime":
        assert operator in ("GTE", "LTE"), operator
        return value >= wanted if operator == "GTE" else value[: len(wanted)] <= wanted
    assert operator == "EQ", operator
    return value == wanted


def calendar_session(url: str, **options: Any) -> CalendarSession:
    """The real session, redirected to the loopback server."""

    class LoopbackSession(CalendarSession):
        def send(self, method: Any, address: str, *args: Any, **rest: Any) -> Any:
            parts = urlsplit(address)
            assert parts.hostname is not None
            assert parts.hostname.endswith("yahoo.com"), address
            query = f"?{parts.query}" if parts.query else ""
            return super().send(method, f"{url}{parts.path}{query}", *args, **rest)

    return LoopbackSession(**options)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    calendar: LoopbackCalendar

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Requests are kept in `LoopbackCalendar.requests` instead."""

    def do_GET(self) -> None:
        calendar = self.server.calendar
        if self.path.endswith("/v1/test/getcrumb"):
            calendar.n_given += 1
            self._send(200, f"crumb{calendar.url[-5:]}{calendar.n_given}", "text/plain")
        else:
            self._send(404, "", "text/html")

    def do_POST(self) -> None:
        calendar, faults = self.server.calendar, self.server.calendar.faults
        parts = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if parts.path != "/v1/finance/visualization":
            self._send(404, "{}", "application/json")
            return
        calendar.requests.append(body)
        (crumb,) = parse_qs(parts.query).get("crumb", [""])
        calendar.crumbs.append(crumb)
        if faults.hang:
            calendar.released.wait(30)
        elif not crumb or faults.no_crumb or crumb in faults.crumbs:
            error = {"code": "Unauthorized", "description": "Invalid Crumb"}
            document = {"finance": {"result": None, "error": error}}
            self._send(401, json.dumps(document), "application/json")
        elif faults.statuses:
            self._send(faults.statuses.pop(0), "{}", "application/json")
        elif faults.body:
            self._send(200, faults.body, faults.content_type)
        else:
            self._send(200, json.dumps(calendar.answer(body)), "application/json")

    def _send(self, status: int, text: str, content_type: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Set-Cookie", "A3=cookie; Domain=.yahoo.com; Path=/")
        if self.server.calendar.faults.retry_after and status != 200:
            self.send_header("Retry-After", self.server.calendar.faults.retry_after)
        self.end_headers()
        self.wfile.write(data)
