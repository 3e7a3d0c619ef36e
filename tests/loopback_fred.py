"""FRED's web API on loopback, in its real format, with faults to order.

It answers `fred/release/dates` and `fred/series/observations`, the latter as it stands now or with
every value ever published (output_type=1 over all real-time periods).
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "0123456789abcdef0123456789abcdef"
FOREVER = "9999-12-31"

Vintage = tuple[str, str, str]
"""Date of the observation, day on which a value of it came out, the value."""


@dataclass
class Faults:
    """What goes wrong; the default is nothing.

    Attributes:
        statuses: Answer the next requests with these codes, one each.
        retry_after: Value of the Retry-After header sent along with them.
        body: Answer with this text and status 200.
        content_type: Of `body`.
        hang: Take requests and never answer them.
        echo_key: Repeat the whole address in the text of errors.
    """

    statuses: list[int] = field(default_factory=list)
    retry_after: str = ""
    body: str = ""
    content_type: str = "application/json"
    hang: bool = False
    echo_key: bool = False


class LoopbackFred:
    """A server on loopback; a context manager.

    Attributes:
        faults: Set its fields at any time.
        requests: Every request taken, as the path with its query.
        releases: Number of a release to its dates.
        series: Name of a series to everything ever published of it.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[str] = []
        self.releases: dict[int, list[str]] = {}
        self.series: dict[str, list[Vintage]] = {}
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fred = self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LoopbackFred:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and document, as FRED gives them."""
        if query.get("api_key") != KEY:
            return 400, _error("The value for variable api_key is not registered.")
        if path == "/fred/release/dates":
            return self._dates(query)
        if path == "/fred/series/observations":
            return self._observations(query)
        return 404, {"error_code": 404, "error_message": "Not Found"}

    def _dates(self, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        number = int(query["release_id"])
        if number not in self.releases:
            return 400, _error("The release does not exist.")
        dates = [date for date in self.releases[number] if date >= query["realtime_start"]]
        rows = [{"release_id": number, "date": date} for date in sorted(dates)]
        return 200, {
            "realtime_start": query["realtime_start"], "realtime_end": query["realtime_end"],
            "order_by": "release_date", "sort_order": "asc", "count": len(rows), "offset": 0,
            "limit": int(query["limit"]), "release_dates": rows[: int(query["limit"])],
        }  # fmt: skip

    def _observations(self, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        name = query["series_id"]
        if name not in self.series:
            return 400, _error("The series does not exist.")
        rows = []
        for date in sorted({date for date, _, _ in self.series[name]}):
            if date < query["observation_start"]:
                continue
            vintages = sorted((day, value) for d, day, value in self.series[name] if d == date)
            ends = [_day_before(day) for day, _ in vintages[1:]] + [FOREVER]
            rows += [
                {"realtime_start": day, "realtime_end": end, "date": date, "value": value}
                for (day, value), end in zip(vintages, ends, strict=True)
            ]
        if "realtime_start" not in query:
            rows = [row for row in rows if row["realtime_end"] == FOREVER]
        return 200, {
            "observation_start": query["observation_start"], "observation_end": FOREVER,
            "units": "lin", "output_type": int(query.get("output_type", "1")),
            "file_type": "json", "order_by": "observation_date", "sort_order": "asc",
            "count": len(rows), "offset": 0, "limit": int(query["limit"]), "observations": rows,
        }  # fmt: skip


def _error(said: str) -> dict[str, Any]:
    return {"error_code": 400, "error_message": f"Bad Request.  {said}"}


def _day_before(day: str) -> str:
    from datetime import date, timedelta

    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fred: LoopbackFred

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Requests are kept in `LoopbackFred.requests` instead."""

    def do_GET(self) -> None:
        fred = self.server.fred
        faults = fred.faults
        fred.requests.append(self.path)
        if faults.hang:
            fred.released.wait(30)
            return
        if faults.statuses:
            status = faults.statuses.pop(0)
            said = f"fault of {self.path}" if faults.echo_key else "fault"
            self._send(status, json.dumps({"error_code": status, "error_message": said}))
        elif faults.body:
            self._send(200, faults.body)
        else:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, document = fred.answer(parts.path, query)
            self._send(status, json.dumps(document))

    def _send(self, status: int, text: str) -> None:
        body, faults = text.encode(), self.server.fred.faults
        self.send_response(status)
        self.send_header("Content-Type", faults.content_type)
        self.send_header("Content-Length", str(len(body)))
        if faults.retry_after and status != 200:
            self.send_header("Retry-After", faults.retry_after)
        self.end_headers()
        self.wfile.write(body)
