"""Parquet and Feather files as lines of text, by pyarrow.

Such a file can declare more than it holds: columns are read in batches, those without a meaning
for bars not at all, and texts are judged by their lengths before they are copied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_sources.csv.table import meaning_of
from data_sources.csv.text import MAX_COLUMNS, MAX_ROWS, Text, too_many_rows
from kronos.errors import InvalidCandles

__all__ = ["read_feather", "read_parquet"]

_BATCH = 50_000  # rows
_MAX_CELL = 256  # characters of a cell; times and numbers have 64 at most
_MAX_TABLE = 256 * 2**20  # bytes of the columns that are read
_MAX_TITLES = 2**20  # characters of the names of all columns
_MAX_DEPTH = 20
# yfinance's two-storied header, as pandas writes it: ('Close', 'AAPL').
_TWO_STORIES = re.compile(r"\('([^']{1,60})', '([^']{0,60})'\)")
_MARKS = re.compile(r'[\x00\t\r\n"]')


def read_parquet(data: bytes, file_name: str) -> Text:
    """Lines of a Parquet file.

    Raises:
        InvalidCandles: It is damaged, larger than the bounds, or needs a key.
    """
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(
            pa.BufferReader(data),
            thrift_string_size_limit=16 * 2**20,
            thrift_container_size_limit=1_000_000,
        )
        n_rows = opened.metadata.num_rows
        if n_rows > MAX_ROWS:
            raise too_many_rows(file_name, n_rows)
        _require_columns(opened.metadata.num_columns)
        columns = _Columns(opened.schema_arrow, file_name)
        # A text that is repeated stays a number until its length is known.
        texts = [name for name, field in columns.wanted if _is_text(field.type)]
        opened = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
        batches = opened.iter_batches(
            _BATCH, columns=[name for name, _ in columns.wanted], use_threads=False
        )
        return columns.text("Parquet", batches)
    except InvalidCandles:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as exc:
        raise _damaged(file_name, "Parquet", exc) from exc


def read_feather(data: bytes, file_name: str) -> Text:
    """Lines of a Feather file, which is one of Arrow's.

    Raises:
        InvalidCandles: It is damaged, larger than the bounds, or of Feather's first version.
    """
    if data.startswith(b"FEA1"):
        raise InvalidCandles(
            f"{file_name} is a Feather file of version 1, which is no longer read. Write it again "
            "with pandas (to_feather), or save it as Parquet or CSV."
        )
    try:
        schema = pa.ipc.open_file(pa.BufferReader(data)).schema
        _require_columns(len(schema.names))
        columns = _Columns(schema, file_name)
        options = pa.ipc.IpcReadOptions(
            included_fields=[schema.get_field_index(name) for name, _ in columns.wanted],
            use_threads=False,
        )
        opened = pa.ipc.open_file(pa.BufferReader(data), options=options)
        batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
        return columns.text("Feather", batches)
    except InvalidCandles:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as exc:
        raise _damaged(file_name, "Feather", exc) from exc


def _damaged(file_name: str, kind: str, exc: Exception) -> InvalidCandles:
    if "encrypt" in str(exc).lower():
        return InvalidCandles(
            f"{file_name} is encrypted. Save it without encryption, or as CSV, and upload it again."
        )
    words = " ".join(str(exc).split())[:160]
    return InvalidCandles(
        f"{file_name} is a {kind} file that cannot be read ({words}): it is damaged or cut off. "
        "Write it again, or save the table as CSV."
    )


def _require_columns(n_columns: int) -> None:
    if n_columns > MAX_COLUMNS:
        raise InvalidCandles(
            f"The table has {n_columns:,} columns; at most {MAX_COLUMNS} are read. Keep time, "
            "open, high, low, close and volume."
        )


class _Columns:
    """The columns of a table: their titles, and which of them are read.

    Attributes:
        wanted: Name and field of the columns that are read, in the order of the file.
    """

    def __init__(self, schema: pa.Schema, file_name: str) -> None:
        """Args:
        schema: The columns of the file, with what pandas wrote beside them.
        file_name: Name of the file, for messages.
        """
        self._file_name = file_name
        names = list(schema.names)
        if sum(map(len, names)) > _MAX_TITLES or len(set(names)) != len(names):
            raise InvalidCandles(
                f"{file_name} has several columns of one name, or names that are too long. Give "
                "each column a name of its own."
            )
        index = _index_of(schema)
        # pandas puts the index last; a time without a name stands in the first column.
        self._names = [name for name in index if name in names]
        self._names += [name for name in names if name not in self._names]
        self._titles, self._ticker = _titles(self._names, index)
        nested = [name for name in names if _is_nested(schema.field(name).type)]
        self._notes = [f"nested columns are not read: {_some(nested)}"] if nested else []
        self.wanted = [
            (name, schema.field(name))
            for name in names
            if _is_cell(schema.field(name).type)
            and (meaning_of(self._title(name)) or name == self._names[0])
        ]

    def _title(self, name: str) -> str:
        return self._titles[self._names.index(name)]

    def text(self, kind: str, batches: Iterator[pa.RecordBatch]) -> Text:
        """The rows as lines of tab-separated cells.

        Raises:
            InvalidCandles: There are too many rows or bytes, or a cell is too long.
        """
        lines = ["\t".join(self._titles)]
        if self._ticker:
            lines.append(f"Ticker\t{self._ticker}" + "\t" * (len(self._titles) - 2))
        n_before, n_bytes = len(lines), 0
        for batch in batches:
            # Offsets that a file declares may point anywhere.
            batch.validate(full=True)
            n_bytes += batch.nbytes
            if len(lines) - n_before + batch.num_rows > MAX_ROWS:
                raise too_many_rows(self._file_name, len(lines) - n_before + batch.num_rows)
            if n_bytes > _MAX_TABLE:
                raise InvalidCandles(
                    f"{self._file_name} unpacks to more than {_MAX_TABLE // 2**20} MB. Keep the "
                    "most recent rows."
                )
            if batch.num_rows:
                lines += self._lines(batch)
        return Text(lines, kind, kind=kind, notes=list(self._notes))

    def _lines(self, batch: pa.RecordBatch) -> list[str]:
        blank = pa.array([""] * batch.num_rows, pa.string())
        read = {name for name, _ in self.wanted}
        cells = [
            self._cells(batch.column(name), name) if name in read else blank for name in self._names
        ]
        joined = pc.binary_join_element_wise(*cells, "\t") if len(cells) > 1 else cells[0]
        rows: list[str] = joined.to_pylist()
        return [row if row.strip() else "" for row in rows]

    def _cells(self, column: pa.Array, name: str) -> pa.Array:
        """A column as text; blank where there is no value."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            self._require_short(column.dictionary, name)
            column = column.dictionary_decode()
            kind = column.type
        if _is_text(kind):
            self._require_short(column, name)
            text = pc.replace_substring_regex(column.cast(pa.string()), _MARKS.pattern, " ")
        elif pa.types.is_timestamp(kind):
            text = pa.array(_stamps(column), pa.string())
        elif pa.types.is_floating(kind):
            text = column.cast(pa.float64()).cast(pa.string())
            # 1.234 could be 1,234 in text; the number of a typed column is what it is.
            text = pc.replace_substring_regex(text, r"(\.\d{3})$", r"\10")
        else:
            text = column.cast(pa.string())
        return pc.fill_null(text, "")

    def _require_short(self, cells: pa.Array, name: str) -> None:
        if not _is_text(cells.type) or not len(cells):
            return
        longest = pc.max(pc.binary_length(cells)).as_py() or 0
        if longest > 4 * _MAX_CELL:
            raise InvalidCandles(
                f"Column {self._title(name)[:40] or 1} has a cell of {longest:,} bytes; at most "
                f"{_MAX_CELL} characters are read. Correct the cell."
            )


def _stamps(column: pa.Array) -> np.ndarray:
    """Times as text: with their offset from UTC where the column has a zone."""
    zone = column.type.tz
    micros = column.cast(pa.timestamp("us", zone), safe=False)
    known = np.asarray(pc.is_valid(column))
    utc = np.asarray(micros.cast(pa.int64()).fill_null(0)).astype("datetime64[us]")
    if not zone:
        return np.where(known, _written(utc), "").astype(object)
    try:
        aware = pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert(zone)
        local = aware.tz_localize(None).to_numpy().astype("datetime64[us]")
    except Exception as exc:  # a zone is any text, and its errors are of many kinds
        raise InvalidCandles(
            f"The times have the zone {zone[:40]!r}, which is unknown, or lie too far off. Use an "
            "IANA name such as UTC or America/New_York."
        ) from exc
    minutes, codes = np.unique(
        (local - utc).astype("timedelta64[m]").astype(int), return_inverse=True
    )
    signs = ["-" if each < 0 else "+" for each in minutes]
    offsets = np.array(
        [f"{s}{abs(m) // 60:02}:{abs(m) % 60:02}" for s, m in zip(signs, minutes, strict=True)]
    )
    return np.where(known, np.char.add(_written(local), offsets[codes]), "").astype(object)


def _written(stamps: np.ndarray) -> np.ndarray:
    """2024-01-31 15:30:00, with a fraction only where one is needed."""
    whole = bool((stamps.astype(np.int64) % 1_000_000 == 0).all())
    text = np.datetime_as_string(stamps, unit="s" if whole else "us")
    return np.char.replace(text, "T", " ")


# The types and titles of columns.


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def _is_cell(kind: pa.DataType) -> bool:
    """Whether values of a type can be written as a cell of text."""
    types = pa.types
    if types.is_dictionary(kind):
        return _is_cell(kind.value_type) and not types.is_dictionary(kind.value_type)
    return bool(
        _is_text(kind) or types.is_integer(kind) or types.is_floating(kind)
        or types.is_decimal(kind) or types.is_boolean(kind) or types.is_date(kind)
        or types.is_time(kind) or types.is_timestamp(kind) or types.is_null(kind)
    )  # fmt: skip


def _index_of(schema: pa.Schema) -> dict[str, str]:
    """Columns that pandas wrote for an index, with the name of each ("" where it has none)."""
    written = (schema.metadata or {}).get(b"pandas", b"")
    try:
        facts: Any = json.loads(written) if len(written) < _MAX_TITLES else {}
        columns = [each for each in facts.get("index_columns", []) if isinstance(each, str)]
        names = {each["field_name"]: each["name"] for each in facts.get("columns", [])}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return {}
    return {each: name if isinstance(name := names.get(each), str) else "" for each in columns}


def _titles(names: list[str], index: dict[str, str]) -> tuple[list[str], str]:
    """Titles of the columns, and the one ticker that a two-storied header has beside them."""
    stories = {name: match for name in names if (match := _TWO_STORIES.fullmatch(name))}
    tickers = {match[2] for match in stories.values()} - {""}
    found = []
    for name in names:
        title = index.get(name, name)
        if name in stories and len(tickers) < 2:
            title = stories[name][1]
        found.append(" ".join(_MARKS.sub(" ", title).split()))
    return found, tickers.pop() if len(tickers) == 1 else ""


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name[:30]) for name in names[:6])
    return shown + (", ..." if len(names) > 6 else "")
