"""Reading CSV files of candles and events in processes of their own, within a budget.

Whatever a file holds, the server's interpreter goes on: a reader process gets the bytes and returns
the numbers. It is kept for the next file, and replaced if it had to be killed. The budget is one of
processor time and of memory. A message is a line
of JSON, then as many bytes as that says.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kronos.errors import Busy, InvalidCandles, InvalidEvents, KronosError
from kronos.system import n_processors

if TYPE_CHECKING:
    from data_sources.csv.reader import CsvChoices, CsvReading
    from kronos.events import Event

__all__ = ["Budget", "ReaderProcesses"]

_ROOT = Path(__file__).resolve().parents[2]
_PAUSE = 0.02  # seconds between two looks at a reader
_NONE = -(2**63)  # numpy's number of a missing moment
_READY = b"ready\n"
_START_LIMIT = 120.0  # seconds that a new reader may need to import what it reads with
_KEPT_BYTES = 350 * 2**20  # a reader that holds more after a file is replaced
_HEADER_LIMIT = 16 * 2**20
# What is raised for a table that cannot be used, and what to do with one beyond the budget.
_REFUSALS: dict[str, tuple[type[KronosError], str]] = {
    "candles": (
        InvalidCandles,
        "Keep the most recent rows and the columns time, open, high, low, close and volume, or use "
        "a wider interval.",
    ),
    "events": (InvalidEvents, "Keep the events that matter."),
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What the reading of one file may take.

    Attributes:
        processor: Seconds of processor time.
        memory: Bytes of resident memory, those of the interpreter and its libraries included.
        wait: Seconds in line, and seconds of reading, on a machine that is busy otherwise.
    """

    processor: float = 10.0
    memory: int = 600 * 2**20
    wait: float = 120.0


class ReaderProcesses:
    """Reader processes: a bounded number at once, other files wait in line.

    Any thread may call.

    Args:
        n_at_once: Most files that are read at once; None for half of the processors, at most 4.
        budget: What one file may take.
    """

    def __init__(self, n_at_once: int | None = None, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._n_free = n_at_once or max(1, min(4, n_processors() // 2))
        self._line: deque[object] = deque()
        self._changed = threading.Condition()
        self._idle: list[_Reader] = []
        self._is_closed = False
        self.largest = (0.0, 0)  # most processor seconds and bytes that a file took so far

    def warm(self) -> None:
        """Start one reader, so that the first file does not wait for imports."""
        with self._changed:
            if self._idle or self._is_closed:
                return
        try:
            reader = _Reader()
            reader.await_ready(_nothing)
        except KronosError:
            return  # the first file tries again and reports it
        self._keep(reader)

    def read(
        self,
        data: bytes,
        file_name: str,
        *,
        choices: CsvChoices | None = None,
        on_wait: Callable[[], object] | None = None,
    ) -> CsvReading:
        """Read candles from the bytes of a CSV file, as `read_csv` does.

        Args:
            data: The file.
            file_name: Its name, for messages and to find the symbol.
            choices: What the user says about it.
            on_wait: Called many times a second while this waits. If it raises, the reading is
                abandoned and its process ends.

        Raises:
            InvalidCandles: The file cannot be used, or its reading takes more than the budget.
            Busy: The line does not move.
        """
        given = None if choices is None else asdict(choices)
        request = {"kind": "candles", "name": file_name, "choices": given}
        return _reading(*self._run(request, data, on_wait or _nothing))

    def read_events(
        self,
        data: bytes,
        file_name: str,
        *,
        max_rows: int,
        on_wait: Callable[[], object] | None = None,
    ) -> tuple[Event, ...]:
        """Read events from the bytes of a CSV file, as `kronos.events.read_events` does.

        Args:
            data: The file.
            file_name: Its name, for messages.
            max_rows: Most events.
            on_wait: As for `read`.

        Raises:
            InvalidEvents: The file cannot be used, or its reading takes more than the budget.
            Busy: The line does not move.
        """
        request = {"kind": "events", "name": file_name, "max_rows": max_rows}
        return _events(*self._run(request, data, on_wait or _nothing))

    def _run(
        self, request: Mapping[str, Any], data: bytes, on_wait: Callable[[], object]
    ) -> tuple[dict[str, Any], bytes]:
        """The answer of a reader."""
        self._enter(on_wait)
        reader = None
        try:
            with self._changed:
                reader = self._idle.pop() if self._idle else None
            if reader is not None and not reader.is_alive:
                reader.end()
                reader = None
            reader = reader or _Reader()
            header, body = reader.run(request, data, self._budget, on_wait)
            self.largest = tuple(map(max, self.largest, reader.taken))  # type: ignore[assignment]
        except BaseException:
            if reader is not None:
                self.largest = tuple(map(max, self.largest, reader.taken))  # type: ignore[assignment]
                reader.end()
            raise
        else:
            self._keep(reader)
        finally:
            self._leave()
        if "error" in header:
            raise _REFUSALS[request["kind"]][0](header["error"])
        return header, body

    def close(self) -> None:
        """End the idle readers. One that is at work ends with its file."""
        with self._changed:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.end()

    def _enter(self, on_wait: Callable[[], object]) -> None:
        """Wait for a place."""
        end = time.monotonic() + self._budget.wait
        place = object()
        with self._changed:
            self._line.append(place)
        try:
            while True:
                with self._changed:
                    if self._line[0] is place and self._n_free > 0:
                        self._n_free -= 1
                        return
                    self._changed.wait(_PAUSE)
                on_wait()
                if time.monotonic() > end:
                    raise Busy(
                        "Other files are being read and this one waited in line for "
                        f"{self._budget.wait:.0f} s. Upload it again in a minute."
                    )
        finally:
            with self._changed:
                self._line.remove(place)
                self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            self._n_free += 1
            self._changed.notify_all()

    def _keep(self, reader: _Reader) -> None:
        """Keep a reader for the next file; one alone, as each holds its libraries in memory."""
        with self._changed:
            is_kept = not (self._is_closed or self._idle) and reader.held_bytes() <= _KEPT_BYTES
            if is_kept:
                self._idle.append(reader)
        if not is_kept:
            reader.end()


class _Reader:
    """One process that reads files, one after another."""

    def __init__(self) -> None:
        import psutil

        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "data_sources.csv.process"],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as exc:  # no memory, process or file is left
            raise _does_not_start() from exc
        with contextlib.suppress(psutil.Error):
            self._watched = psutil.Process(self._process.pid)
        self._is_ready = False
        self.taken = (0.0, 0)  # processor seconds and most bytes of the last file

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def held_bytes(self) -> int:
        import psutil

        try:
            return int(self._watched.memory_info().rss)
        except psutil.Error:
            return sys.maxsize

    def await_ready(self, on_wait: Callable[[], object]) -> None:
        """Wait until the process has imported what it needs."""
        if self._is_ready:
            return
        first: list[bytes] = []
        assert self._process.stdout is not None
        output = self._process.stdout
        waiting = threading.Thread(target=lambda: first.append(output.readline()), daemon=True)
        waiting.start()
        end = time.monotonic() + _START_LIMIT
        while waiting.is_alive() and time.monotonic() < end:
            on_wait()
            waiting.join(_PAUSE)
        if first != [_READY]:
            self.end()
            raise _does_not_start()
        self._is_ready = True

    def run(
        self,
        request: Mapping[str, Any],
        data: bytes,
        budget: Budget,
        on_wait: Callable[[], object],
    ) -> tuple[dict[str, Any], bytes]:
        """Read one file; the process cannot be used again if this raises."""
        self.taken = (0.0, 0)
        self.await_ready(on_wait)
        answer: list[tuple[dict[str, Any], bytes] | None] = []
        before = self._processor_seconds()
        exchange = threading.Thread(
            target=self._exchange, args=(request, data, answer), name="reader", daemon=True
        )
        exchange.start()
        end = time.monotonic() + budget.wait
        while exchange.is_alive():
            self._watch(request, before, budget, end)
            on_wait()
            exchange.join(_PAUSE)
        if not answer or answer[0] is None:
            raise _REFUSALS[request["kind"]][0](
                f"{str(request['name'])[:120]} cannot be read: the process that reads files has "
                "ended. Save the table as plain CSV and upload it again."
            )
        self._watch(request, before, budget, end)
        return answer[0]

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        threading.Thread(target=self._clear_away, daemon=True).start()

    def _clear_away(self) -> None:
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError):
                assert stream is not None
                stream.close()

    def _exchange(
        self,
        request: Mapping[str, Any],
        data: bytes,
        answer: list[tuple[dict[str, Any], bytes] | None],
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, request, data)
            answer.append(_receive(self._process.stdout))
        except (OSError, ValueError):  # it was killed
            answer.append(None)

    def _watch(self, request: Mapping[str, Any], before: float, budget: Budget, end: float) -> None:
        taken, held = self._processor_seconds() - before, self.held_bytes()
        held = 0 if held == sys.maxsize else held
        self.taken = (max(self.taken[0], taken), max(self.taken[1], held))
        if taken > budget.processor:
            limit = f"more than {budget.processor:g} s of processor time"
        elif held > budget.memory:
            limit = f"more than {budget.memory / 2**20:.0f} MB of memory"
        elif time.monotonic() > end:
            limit = f"longer than {budget.wait:.0f} s"
        else:
            return
        error, advice = _REFUSALS[request["kind"]]
        raise error(f"{str(request['name'])[:120]} takes {limit} to read. {advice}")

    def _processor_seconds(self) -> float:
        import psutil

        try:
            times = self._watched.cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)


def _does_not_start() -> Busy:
    return Busy("The process that reads files does not start. Upload the file again in a minute.")


def _nothing() -> None:
    """Wait on."""


# Messages, the same on both sides.


def _send(stream: IO[bytes], header: Mapping[str, Any], body: bytes | memoryview) -> None:
    line = json.dumps({**header, "n_bytes": len(body)}).encode() + b"\n"
    stream.write(line)
    stream.write(body)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """A message; None at the end of the stream."""
    line = stream.readline(_HEADER_LIMIT)
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    body = stream.read(header["n_bytes"])
    return (header, body) if len(body) == header["n_bytes"] else None


def _packed(reading: CsvReading) -> tuple[dict[str, Any], bytes]:
    """A reading as JSON and numbers: (T,) times in ns since 1970, then (6, T) float64."""
    candles = reading.candles
    facts = {
        name: getattr(candles, name)
        for name in ("interval", "zone", "calendar", "symbol", "source")
    }
    index: Any = candles.frame.index
    numbers = candles.frame.to_numpy(float).T.tobytes()
    header = {"candles": facts, "report": asdict(reading.report)}
    return header, index.as_unit("ns").asi8.tobytes() + numbers


def _reading(header: dict[str, Any], body: bytes) -> CsvReading:
    """The reading of an answer."""
    import numpy as np
    import pandas as pd

    from data_sources.csv.reader import CsvReading
    from data_sources.csv.report import ColumnReading, CsvReport, RowGroup
    from kronos.candles import COLUMNS, Candles

    n_bars = len(body) // (8 * (1 + len(COLUMNS)))
    times = np.frombuffer(body, "<i8", n_bars).astype("datetime64[ns]")
    values = np.frombuffer(body, "<f8", offset=8 * n_bars).reshape(len(COLUMNS), n_bars)
    index = pd.DatetimeIndex(times, name="timestamp").tz_localize("UTC")
    frame = pd.DataFrame(values.T.copy(), index=index, columns=list(COLUMNS))
    given = {field.name: header["report"][field.name] for field in fields(CsvReport)}
    given["columns"] = [ColumnReading(**each) for each in given["columns"]]
    given["clocks"] = tuple(given["clocks"])
    for name in ("dropped", "repaired"):
        given[name] = [RowGroup(e["reason"], e["count"], tuple(e["rows"])) for e in given[name]]
    return CsvReading(Candles(frame, **header["candles"]), CsvReport(**given))


def _packed_events(events: tuple[Event, ...]) -> tuple[dict[str, Any], bytes]:
    """Events as JSON: a list of the values of each field; moments in ns since 1970."""
    from kronos.events import Event

    fields_of = {
        field.name: [_packed_value(getattr(event, field.name)) for event in events]
        for field in fields(Event)
    }
    return {}, json.dumps(fields_of).encode()


def _packed_value(value: Any) -> Any:
    return value.as_unit("ns").value if hasattr(value, "as_unit") else value


def _events(_: dict[str, Any], body: bytes) -> tuple[Event, ...]:
    """The events of an answer."""
    import numpy as np
    import pandas as pd

    from kronos.events import Event

    given = json.loads(body)
    for name in ("time", "fetched_at", "announced"):
        known = np.array([_NONE if each is None else each for each in given[name]], "int64")
        moments = pd.DatetimeIndex(known.astype("datetime64[ns]")).tz_localize("UTC")
        is_known = (known != _NONE).tolist()
        given[name] = [each if k else None for each, k in zip(moments, is_known, strict=True)]
    return tuple(
        Event(**dict(zip(given, row, strict=True))) for row in zip(*given.values(), strict=True)
    )


def _answer(header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    from data_sources.csv.reader import CsvChoices, read_csv
    from kronos.events import read_events

    name = header["name"]
    try:
        if header["kind"] == "events":
            return _packed_events(read_events(data, name, max_rows=header["max_rows"]))
        choices = None if header["choices"] is None else CsvChoices(**header["choices"])
        return _packed(read_csv(data, name, choices=choices))
    except (InvalidCandles, InvalidEvents) as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": f"{name[:120]} takes more memory to read than there is. Shorten it."}, b""
    except Exception as error:  # noqa: BLE001, a fault ends neither a page nor the next file
        return {
            "error": f"{name[:120]} cannot be read ({type(error).__name__}: {str(error)[:200]}). "
            "Save the table as plain CSV and upload it again.",
            "fault": type(error).__name__,
        }, b""


def _serve() -> None:
    """Read files from the standard input until it ends, as it does with the server."""
    import os

    from data_sources.csv import reader
    from kronos import events
    from kronos.calendars import sessions

    assert None not in (reader, events, sessions)
    # What a library prints goes to the terminal, never into an answer.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    output.write(_READY)
    output.flush()
    while (message := _receive(sys.stdin.buffer)) is not None:
        answer = _answer(*message)
        del message
        _send(output, *answer)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _serve()
