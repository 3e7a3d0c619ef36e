"""Files are read in processes of their own, within a budget."""

import sys
import threading
import time

import pandas as pd
import pytest

from data_sources.csv.process import Budget, ReaderProcesses
from data_sources.csv.reader import CsvChoices, read_csv
from kronos.errors import Busy, InvalidCandles, InvalidEvents
from kronos.events import read_events
from kronos.events.csv_file import MAX_BYTES
from kronos.system import asset_path

GOOD = asset_path("samples", "GOOG_1d.csv").read_bytes()
TITLES = b"time,open,high,low,close\n"


def bars(n_rows: int) -> bytes:
    times = pd.date_range("2023-01-01", periods=n_rows, freq="min").strftime("%Y-%m-%d %H:%M")
    return TITLES + "".join(f"{each},10,11,9,10.5\n" for each in times).encode()


@pytest.fixture(scope="module")
def processes():
    made = ReaderProcesses(1)
    yield made
    made.close()


@pytest.mark.parametrize("key", ["GOOG_1d", "BTCUSDT_1h", "EURUSD_1h"])
def test_a_file_is_read_as_in_this_process(processes, key):
    found = next(asset_path("samples").glob(f"{key[:3]}*.csv"))
    choices = CsvChoices(symbol="ABC")
    expected = read_csv(found.read_bytes(), found.name, choices=choices)
    read = processes.read(found.read_bytes(), found.name, choices=choices)
    pd.testing.assert_frame_equal(read.candles.frame, expected.candles.frame, check_freq=True)
    assert read.report == expected.report
    for name in ("interval", "zone", "calendar", "symbol", "source"):
        assert getattr(read.candles, name) == getattr(expected.candles, name)


def test_a_refusal_is_the_readers_own_and_the_process_reads_on(processes):
    for data in (b"a,b\n1,2\n", b"", b"\x00" * 100):
        with pytest.raises(InvalidCandles) as expected:
            read_csv(data, "bad.csv")
        with pytest.raises(InvalidCandles) as found:
            processes.read(data, "bad.csv")
        assert str(found.value) == str(expected.value)
    assert len(processes.read(GOOD, "GOOG_1d.csv").candles) > 32


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(processor=0.05), "more than 0.05 s of processor time to read. Keep the most"),
        (Budget(memory=50 * 2**20), "more than 50 MB of memory"),
        (Budget(wait=0.2), "longer than 0 s"),
    ],
)
def test_a_file_beyond_the_budget_is_refused_and_the_next_one_is_read(budget, said):
    processes = ReaderProcesses(1, budget)
    processes.warm()
    with pytest.raises(InvalidCandles, match=said):
        processes.read(bars(200_000), "large.csv")
    processes._budget = Budget()
    assert len(processes.read(GOOD, "GOOG_1d.csv").candles) > 32
    processes.close()


def test_a_visitor_who_leaves_ends_the_reading(processes):
    class Gone(BaseException):
        """As Streamlit ends a script."""

    looks = []

    def on_wait():
        looks.append(time.monotonic())
        if len(looks) > 5:
            raise Gone

    with pytest.raises(Gone):
        processes.read(bars(200_000), "large.csv", on_wait=on_wait)
    assert not processes._idle
    assert len(processes.read(GOOD, "GOOG_1d.csv").candles) > 32


def test_others_wait_in_line_and_the_line_has_an_end():
    processes = ReaderProcesses(1, Budget(wait=0.3))
    processes._enter(lambda: None)
    with pytest.raises(Busy, match=r"waited in line for 0 s\. Upload it again"):
        processes.read(GOOD, "GOOG_1d.csv")
    processes._leave()
    processes._budget = Budget()
    read = []
    threads = [
        threading.Thread(target=lambda: read.append(processes.read(GOOD, "GOOG_1d.csv")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 4
    assert len(processes._idle) == 1
    assert not processes._line
    processes.close()


def test_a_process_that_was_killed_is_replaced(processes):
    processes.read(GOOD, "GOOG_1d.csv")
    processes._idle[0]._process.kill()
    processes._idle[0]._process.wait()
    assert len(processes.read(GOOD, "GOOG_1d.csv").candles) > 32


def test_a_fault_of_the_reader_is_a_typed_error(processes):
    with pytest.raises(InvalidCandles, match="cannot be read \\(TypeError"):
        processes.read(GOOD, "x.csv", choices=CsvChoices(clock=5))  # type: ignore[arg-type]


EVENTS = (
    "kind,time,region,symbol,name,period,actual,consensus,unit,announced,fetched_at\n"
    "cpi,2024-01-11,US,,,Dec 2023,0.3,,%,,2024-01-11T13:31:07.25Z\n"
    "earnings,2024-02-01 16:05,,GOOG,\u00dcber alles,,-1.5,1e3,USD,2023-11-01,\n"
).encode()


def test_events_are_read_as_in_this_process(processes):
    assert processes.read_events(EVENTS, "e.csv", max_rows=2) == read_events(EVENTS, "e.csv")
    for data, max_rows in ((b"kind,time\n", 9), (EVENTS, 1), (b"", 9), (EVENTS[:90], 9)):
        with pytest.raises(InvalidEvents) as expected:
            read_events(data, "e.csv", max_rows=max_rows)
        with pytest.raises(InvalidEvents) as found:
            processes.read_events(data, "e.csv", max_rows=max_rows)
        assert str(found.value) == str(expected.value)


def test_events_beyond_the_budget_are_refused():
    processes = ReaderProcesses(1, Budget(processor=0.05))
    processes.warm()
    rows = "".join(
        f"cpi,{year}-01-{day:02},US\n" for year in range(1970, 2090) for day in range(1, 29)
    )
    with pytest.raises(InvalidEvents, match=r"0.05 s of processor time to read\. Keep the events"):
        processes.read_events(f"kind,time,region\n{rows}".encode(), "e.csv", max_rows=10_000)
    processes.close()


@pytest.mark.parametrize("junk", [b"\n", b" \n", b"\r\n", b",,\n"])
def test_lines_without_events_have_a_bound(junk):
    data = b"kind,time,region\n" + junk * ((MAX_BYTES - 100) // len(junk))
    began = time.process_time()
    with pytest.raises(InvalidEvents, match="lines; at most 200,000 are read"):
        read_events(data, "e.csv")
    assert time.process_time() - began < 2  # 24 s where every empty line is looked at


def test_a_machine_that_starts_no_process_is_busy_and_loses_no_place(monkeypatch):
    processes = ReaderProcesses(1)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/program")
        processes.warm()
        for _ in range(2):
            with pytest.raises(Busy, match="does not start"):
                processes.read(GOOD, "GOOG_1d.csv")
    assert len(processes.read(GOOD, "GOOG_1d.csv").candles) > 32
    processes.close()
