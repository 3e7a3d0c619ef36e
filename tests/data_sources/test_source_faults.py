"""Every line of the table of faults in docs/data-sources.md, with the real clients."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

import kronos.errors
from data_sources.exchange.source import Exchange
from data_sources.yahoo.source import Yahoo
from kronos.errors import RateLimited, SourceError
from tests.loopback_markets import redirect, yahoo_session
from tests.source_tree import ROOT

COLUMNS = ("fault", "source", "client_sees", "error", "reads", "asked")
TIMES = {"never": 0, "once": 1, "twice": 2}
SOURCES = {"Yahoo": ["Yahoo"], "Binance": ["Binance"], "both": ["Yahoo", "Binance"]}
START = pd.Timestamp("2026-11-10", tz="UTC")


@dataclass(frozen=True)
class Line:
    fault: str
    source: str
    client_sees: str
    error: str
    reads: str
    asked: str

    @property
    def n_requests(self) -> int:
        return TIMES.get(self.asked) or int(self.asked.split()[0]) if self.asked != "never" else 0

    def pattern(self) -> str:
        return re.escape(self.reads).replace("…", ".*")


def table() -> list[Line]:
    text = (ROOT / "docs" / "data-sources.md").read_text(encoding="utf-8")
    rows = (
        text.split("## When something goes wrong")[1]
        .split("\n| --- ")[1]
        .split("\n\n")[0]
        .splitlines()[1:]
    )
    lines = [Line(*(cell.strip() for cell in row.strip(" |").split(" | "))) for row in rows if row]
    return [
        Line(line.fault, source, *(getattr(line, name) for name in COLUMNS[2:]))
        for line in lines
        for source in SOURCES[line.source]
    ]


LINES = table()


class Case:
    """One source with one fault."""

    def __init__(self, markets: Any, source: str, pauses: list[float]) -> None:
        self.markets = markets
        self.is_yahoo = source == "Yahoo"
        self.pauses = pauses
        self.symbol = "AAPL" if self.is_yahoo else "BTC/USDT"
        self.options: dict[str, Any] = {"interval": "1h", "start": START}
        self.expected: pd.DataFrame | None = None
        self.source = self.open(markets.url)

    def open(self, url: str, seconds: float = 5.0) -> Any:
        clock, sleep = self.markets.clock, self.pauses.append
        if self.is_yahoo:
            session = yahoo_session(url, chart_seconds=seconds)
            return Yahoo(session, clock=clock, sleep=sleep)
        exchange = Exchange(
            "binance",
            configure=redirect(url),
            request_seconds=seconds,
            clock=clock,
            sleep=sleep,
        )
        return exchange

    def fetch(self) -> Any:
        return self.source.fetch(self.symbol, **self.options)

    def n_requests(self) -> int:
        return self.markets.n_requests("/v8/") + self.markets.n_requests("/klines")


def status(code: int, retry_after: str = "", body: str = "") -> Callable[[Case], None]:
    def order(case: Case) -> None:
        faults = case.markets.faults
        faults.status, faults.retry_after, faults.body = code, retry_after, body
        if body:
            faults.content_type = "application/json"

    return order


def unknown_symbol(case: Case) -> None:
    case.symbol = "NOPE"


def unprocessable(case: Case) -> None:
    said = "1m data not available for startTime=1 and endTime=2."
    error = {"code": "Unprocessable Entity", "description": said}
    yahoo = {"chart": {"result": None, "error": error}}
    binance = {"code": -1120, "msg": "Invalid interval."}
    status(422, body=json.dumps(yahoo if case.is_yahoo else binance))(case)


def unauthorized(case: Case) -> None:
    error = {"code": "Unauthorized", "description": "Invalid Crumb"}
    status(401, body=json.dumps({"finance": {"result": None, "error": error}}))(case)


def too_far_back(case: Case) -> None:
    case.options = {"interval": "1m", "start": pd.Timestamp("2026-10-01", tz="UTC")}


def no_trading(case: Case) -> None:
    saturday = pd.Timestamp("2026-11-14 15:00", tz="UTC")
    case.symbol = "AAPL"
    case.markets.yahoo.listings["AAPL"].listed = "2030-01-01"
    case.options = {"interval": "1h", "start": saturday}


def request_during_the_wait(case: Case) -> None:
    status(429, "30")(case)
    with pytest.raises(RateLimited):
        case.fetch()
    case.markets.faults.status = 0
    case.markets.requests.clear()


def banned(case: Case) -> None:
    until = int((case.markets.now + pd.Timedelta(minutes=10)).timestamp() * 1000)
    said = f"Way too many requests; IP banned until {until}."
    status(418, body=json.dumps({"code": -1003, "msg": said}))(case)


def once(case: Case) -> None:
    case.markets.faults.statuses = [503]


def page(text: str) -> Callable[[Case], None]:
    def order(case: Case) -> None:
        case.markets.faults.body = text

    return order


def document(text: str) -> Callable[[Case], None]:
    def order(case: Case) -> None:
        case.markets.faults.body = text
        case.markets.faults.content_type = "application/json"

    return order


def another_format(case: Case) -> None:
    document('{"charts": []}' if case.is_yahoo else '[["x", "y"]]')(case)


def hang(case: Case) -> None:
    case.source = case.open(case.markets.url, seconds=0.15)
    case.markets.faults.hang = True


def refused(case: Case) -> None:
    case.source = case.open("http://127.0.0.1:9")


def no_markets(case: Case) -> None:
    status(404)(case)
    case.markets.faults.everywhere = True
    case.source = case.open(case.markets.url)


def spoiled(**faults: Any) -> Callable[[Case], None]:
    def order(case: Case) -> None:
        for name, value in faults.items():
            setattr(case.markets.faults, name, value)

    return order


HALF_CHART = '{"chart": {"result": [{"meta": {"exchangeTimezoneName": "UTC"}}], "error": null}}'
ORDERS: dict[str, Callable[[Case], None]] = {
    "unknown symbol": unknown_symbol,
    "404": status(404),
    "422": unprocessable,
    "too far back": too_far_back,
    "no trading in the range": no_trading,
    "401": unauthorized,
    "429 with a long wait": status(429, "30"),
    "429 with a short wait": status(429, "1"),
    "429 without a wait": status(429),
    "request during the wait": request_during_the_wait,
    "418": banned,
    "403": status(403),
    "451": status(451),
    "500": status(500),
    "503": status(503),
    "503 once": once,
    "a web page": page("<!DOCTYPE html><html>Are you a robot?</html>"),
    "a page that says it is down": page("<html>Will be right back...</html>"),
    "another format": another_format,
    "a chart with parts missing": document(HALF_CHART),
    "no answer": hang,
    "connection refused": refused,
    "no list of markets": no_markets,
    "nulls": spoiled(nulls=True),
    "a short page": spoiled(short_page=30),
    "out of order, twice": spoiled(disorder=True),
}


@pytest.fixture(scope="module")
def client_has_a_zone(served):
    """Yahoo's client asks for the clock of each symbol once, and keeps it in a file."""
    Yahoo(yahoo_session(served.url), clock=served.clock).fetch("AAPL", interval="1d")


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.source}: {line.fault}")
def test_a_fault_is_what_the_table_says(line, markets, pauses, client_has_a_zone):
    case = Case(markets, line.source, pauses)
    if not case.is_yahoo:
        case.source.suggest("")  # The list of markets is another matter.
    calm = case.fetch().candles.frame if line.error == "none" else None
    markets.requests.clear()
    ORDERS[line.fault](case)
    if line.error == "none":
        check_bars(case, line, calm)
    else:
        check_error(case, line)


def check_error(case: Case, line: Line) -> None:
    with pytest.raises(SourceError) as caught:
        case.fetch()
    error = caught.value
    assert type(error) is getattr(kronos.errors, line.error)
    assert re.fullmatch(line.pattern(), str(error)), str(error)
    if line.fault == "connection refused":
        assert len(case.pauses) == line.n_requests - 1
    else:
        assert case.n_requests() == line.n_requests
    cause = type(error.__cause__)
    if error.__cause__ is not None:
        names = {kind.__name__ for kind in cause.__mro__}
        assert any(name in line.client_sees for name in names), names
    else:
        assert not re.search(r"Error|Timeout|Exception|NotAvailable|BadRequest", line.client_sees)
    if line.asked == "3 times" and line.error == "SourceDown":
        assert case.pauses == [0.5, 1.0]


def check_bars(case: Case, line: Line, calm: pd.DataFrame) -> None:
    bars = case.fetch()
    frame = bars.candles.frame
    assert case.n_requests() == line.n_requests
    if line.fault == "nulls":
        assert len(frame) == len(calm) - 1
        assert re.fullmatch(line.pattern(), bars.notes[0]), bars.notes
    elif (line.fault, line.source) == ("a short page", "Yahoo"):
        assert 0 < len(frame) < len(calm)
    else:
        pd.testing.assert_frame_equal(frame, calm)
    assert frame.index.isin(calm.index).all()
    pd.testing.assert_frame_equal(frame, calm.loc[frame.index], check_freq=False)


def test_every_fault_has_a_line_and_every_line_a_fault():
    assert {line.fault for line in LINES} == set(ORDERS)
