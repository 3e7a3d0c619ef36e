"""Progress, tables and files of the commands."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

from kronos.errors import InvalidRequest
from kronos.system import atomic_write

__all__ = [
    "ProgressLine",
    "columns_text",
    "duration",
    "megabytes",
    "open_text",
    "read_bytes",
    "write_bytes",
    "write_text",
]


class ProgressLine:
    """A progress line on stderr, redrawn in place; silent unless stderr is a terminal.

    A context manager that erases the line, and a callback progress(done, total).

    Args:
        label: What is in progress.
        in_bytes: Whether amounts are bytes.
        tells_time: Whether to show the estimated time left.
        stream: Stream to draw on; None for stderr.
    """

    def __init__(
        self,
        label: str,
        *,
        in_bytes: bool = False,
        tells_time: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._label = label
        self._in_bytes = in_bytes
        self._tells_time = tells_time
        self._first: tuple[float, int] | None = None
        self._stream = stream or sys.stderr
        self._visible = self._stream.isatty()
        self._drawn = 0.0
        self._width = 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._first = self._first or (now, done)
        if not self._visible or (now - self._drawn < 0.1 and done < total):
            return
        self._drawn = now
        text = f"{self._label}: {self._amount(done, total)}"
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = max(self._width, len(text))

    def _amount(self, done: int, total: int) -> str:
        if not total:
            return "asking the hub"
        if self._in_bytes:
            return f"{megabytes(done)} of {megabytes(total)} ({100 * done // total}%)"
        return f"{done:,} of {total:,}{self._time_left(done, total)}"

    def _time_left(self, done: int, total: int) -> str:
        if not self._tells_time or self._first is None or done <= self._first[1]:
            return ""
        since, before = self._first
        seconds = (time.monotonic() - since) / (done - before) * (total - done)
        return f", {duration(seconds)} left"


def duration(seconds: float) -> str:
    """A duration as text: "40 s", "12 min", "3 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def read_bytes(name: str, *, limit: int) -> bytes:
    """The first `limit` bytes of a file, or of standard input for "-".

    Raises:
        InvalidRequest: It cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read(limit)
    try:
        with Path(name).open("rb") as opened:
            return opened.read(limit)
    except OSError as exc:
        raise InvalidRequest(
            f"{name} cannot be read: {exc.strerror}. Give the path of a file, or - for "
            "standard input."
        ) from exc


def write_text(name: str | None, text: str) -> None:
    """Write to a file, or to standard output for None or "-".

    Raises:
        InvalidRequest: The file cannot be written.
    """
    with open_text(name) as opened:
        opened.write(text)


@contextmanager
def open_text(name: str | None) -> Iterator[TextIO]:
    """Open a file to write, or standard output for None or "-".

    Raises:
        InvalidRequest: The file cannot be written.
    """
    if name in {None, "-"}:
        yield sys.stdout
        return
    with (
        _replaced(str(name)) as target,
        target.open("w", encoding="utf-8", newline="") as opened,
    ):
        yield opened


def write_bytes(name: str, content: bytes) -> None:
    """Write to a file.

    Raises:
        InvalidRequest: The file cannot be written.
    """
    with _replaced(name) as target:
        target.write_bytes(content)


@contextmanager
def _replaced(name: str) -> Iterator[Path]:
    """Where to write a file: an earlier one stays until the new one is whole.

    That needs a folder which takes a second file.
    """
    path = Path(name)
    try:
        is_replaced = path.is_file() and os.access(path.parent, os.W_OK)
        with atomic_write(path.resolve()) if is_replaced else nullcontext(path) as target:
            yield target
            if is_replaced:
                shutil.copymode(path, target)
    except OSError as exc:
        raise InvalidRequest(
            f"{name} cannot be written: {exc.strerror}. Choose another file."
        ) from exc


def columns_text(rows: Sequence[Sequence[str]], *, n_left: int | None = None) -> str:
    """Rows as text in columns, those from `n_left` on aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if n_left is None or i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines) + "\n"
