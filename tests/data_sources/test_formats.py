"""Parquet, Feather and Excel files hold the bars that the same table holds as CSV, or none."""

from __future__ import annotations

import datetime as dt
import io
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_sources.csv.process import ReaderProcesses
from data_sources.csv.reader import CsvChoices, CsvReading, read_csv
from kronos import cli
from kronos.errors import InvalidCandles
from kronos.training.files import list_files, read_bars

FORMATS = ("parquet", "feather", "xlsx")
PRICES = ("open", "high", "low", "close")


def bars(n: int = 60, freq: str = "1h", start: str = "2024-03-04", zone: str | None = None):
    rng = np.random.default_rng(3)
    close = (100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))).round(3)
    opens = np.append(100.0, close[:-1])
    return pd.DataFrame(
        {
            "open": opens,
            "high": (np.maximum(opens, close) + 0.5).round(3),
            "low": (np.minimum(opens, close) - 0.5).round(3),
            "close": close,
            "volume": rng.integers(1000, 5_000_000, n).astype(float),
            "amount": rng.uniform(1e5, 1e9, n).round(2),  # a sheet has 16 digits
        },
        index=pd.date_range(start, periods=n, freq=freq, tz=zone, name="timestamp"),
    )


def parquet(frame: pd.DataFrame, **options: object) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, **options)  # type: ignore[call-overload]
    return out.getvalue()


def feather(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    # pandas writes a Feather file of the default index alone.
    named = frame.rename_axis(frame.index.name or "date")
    (frame if type(frame.index) is pd.RangeIndex else named.reset_index()).to_feather(out)
    return out.getvalue()


def arrow(table: pa.Table) -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(out, table.schema, options=options) as file:
        file.write_table(table)
    return out.getvalue()


def xlsx(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.tz_localize(None)  # a sheet has no zones
    frame.to_excel(out, engine="xlsxwriter")
    return out.getvalue()


WRITERS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    "parquet": parquet, "feather": feather, "xlsx": xlsx,
}  # fmt: skip


def book(
    *sheets: tuple[str, list[list[object]]], date_format: str = "yyyy-mm-dd hh:mm", **options: bool
) -> bytes:
    out = io.BytesIO()
    settings = {"default_date_format": date_format, "strings_to_numbers": False, **options}
    with xlsxwriter.Workbook(out, settings) as made:
        for name, rows in sheets:
            sheet = made.add_worksheet(name)
            for i, row in enumerate(rows):
                for j, value in enumerate(row):
                    if value is not None:
                        sheet.write(i, j, value)
    return out.getvalue()


def rows_of(frame: pd.DataFrame, times: list[object] | None = None) -> list[list[object]]:
    stamps: list[object] = times or [each.to_pydatetime() for each in frame.index]
    return [[stamp, *row] for stamp, row in zip(stamps, frame.to_numpy().tolist(), strict=True)]


HEADER: list[object] = ["Date", "Open", "High", "Low", "Close", "Volume", "Amount"]


def read(data: bytes, name: str = "BTCUSDT-1h.csv", **choices: object) -> CsvReading:
    return read_csv(data, name, choices=CsvChoices(**choices) if choices else None)  # type: ignore[arg-type]


def assert_same(found: CsvReading, expected: CsvReading, *, exact: bool = True) -> None:
    one, other = found.candles, expected.candles
    pd.testing.assert_frame_equal(one.frame, other.frame, check_exact=exact, check_freq=False)
    assert (one.interval, one.zone, one.calendar) == (other.interval, other.zone, other.calendar)
    assert found.report.clocks == expected.report.clocks
    assert found.report.rows_kept == expected.report.rows_kept


class TestTheSameBars:
    @pytest.mark.parametrize("kind", FORMATS)
    @pytest.mark.parametrize(
        ("freq", "zone"),
        [("1h", None), ("5min", None), ("B", None), ("1h", "UTC"), ("15min", "Asia/Kolkata")],
    )
    def test_as_in_a_csv_file(self, kind: str, freq: str, zone: str | None) -> None:
        frame = bars(100, freq, zone=None if kind == "xlsx" else zone)
        expected = read(frame.to_csv().encode())
        assert_same(read(WRITERS[kind](frame), f"BTCUSDT-1h.{kind}"), expected)

    @pytest.mark.parametrize("kind", ["parquet", "feather"])
    def test_both_runs_through_the_hour_that_a_clock_repeats(self, kind: str) -> None:
        frame = bars(72, "30min", "2024-11-02 12:00", "America/New_York")
        found = read(WRITERS[kind](frame), "AAPL.x")
        assert found.candles.frame.index.equals(frame.index.tz_convert("UTC").as_unit("ns"))
        assert "offset from UTC" in found.report.time_format

    def test_dates_of_a_market_keep_their_days(self) -> None:
        frame = bars(60, "B", "2024-01-02", "America/New_York")
        assert_same(read(parquet(frame), "GOOG.parquet"), read(frame.to_csv().encode(), "GOOG.csv"))

    @pytest.mark.parametrize("name", [None, "Date", "anything"])
    def test_an_index_as_pandas_writes_it(self, name: str | None) -> None:
        frame = bars().rename_axis(name)
        if name == "anything":
            with pytest.raises(InvalidCandles, match="There is no time column"):
                read(parquet(frame))
            return
        assert_same(read(parquet(frame)), read(frame.to_csv().encode()))

    def test_an_index_of_numbers_beside_a_time_column(self) -> None:
        frame = bars().reset_index()
        kept = frame[frame.index != 3]
        assert_same(read(parquet(kept)), read(kept.to_csv().encode()))
        assert_same(read(feather(frame)), read(frame.to_csv(index=False).encode()))

    def test_the_two_storied_header_of_yfinance(self) -> None:
        frame = bars(60, "B").drop(columns="amount").rename_axis("Date")
        frame.columns = pd.MultiIndex.from_product(
            [[each.title() for each in frame], ["GOOG"]], names=["Price", "Ticker"]
        )
        for found in (read(parquet(frame), "a file"), read(xlsx(frame), "a file")):
            assert found.candles.symbol == "GOOG"
            np.testing.assert_array_equal(found.candles.frame["close"], frame[("Close", "GOOG")])

    @pytest.mark.parametrize(
        "types",
        [
            {"close": "float32", "volume": "int64"},
            {"volume": "uint16"},
            {"open": "string", "volume": "Int64"},
            {"close": "category"},
        ],
    )
    def test_types_of_numbers(self, types: dict[str, str]) -> None:
        frame = bars()
        frame["volume"] = frame["volume"] % 60_000
        frame = frame.astype(types)
        expected = frame.astype(float)
        for kind in ("parquet", "feather"):
            found = read(WRITERS[kind](frame)).candles.frame
            np.testing.assert_allclose(
                found[[*PRICES, "volume"]], expected[[*PRICES, "volume"]], 1e-6
            )
            np.testing.assert_array_equal(found["close"], expected["close"])

    def test_decimals_dates_times_epochs_and_dictionaries(self) -> None:
        frame = bars(60, "1D")
        plain = {name: pa.array(frame[name]) for name in PRICES}
        plain["close"] = pa.array([Decimal(f"{each:.3f}") for each in frame["close"]])
        days = [each.date() for each in frame.index]
        tables = [
            {"date": pa.array(days), **plain},
            {"date": pa.array(days, pa.date64()), **plain},
            {"date": pa.array(map(str, days)).dictionary_encode(), **plain},
            {"time": pa.array(frame.index.as_unit("ms").asi8), **plain},
            {"date": pa.array(days), "time": pa.array([dt.time(0)] * 60), **plain},
        ]
        for table in map(pa.table, tables):
            out = io.BytesIO()
            pq.write_table(table, out)
            for data in (out.getvalue(), arrow(table)):
                found = read(data)
                assert found.candles.local_index.date.tolist() == days
                np.testing.assert_array_equal(found.candles.frame["close"], frame["close"])

    def test_columns_without_a_meaning_are_named_and_not_read(self) -> None:
        table = pa.Table.from_pandas(bars()).append_column(
            "news", pa.array(["x" * 1_000_000] + [""] * 59)
        ).append_column("deep", pa.array([[1, 2]] * 60))  # fmt: skip
        out = io.BytesIO()
        pq.write_table(table, out)
        for data in (out.getvalue(), arrow(table)):
            report = read(data).report
            assert report.ignored_columns == ["news", "deep"]
            assert "nested columns are not read: 'deep'" in report.assumptions

    @pytest.mark.parametrize("kind", FORMATS)
    def test_through_the_process_that_reads_files(
        self, processes: ReaderProcesses, kind: str
    ) -> None:
        data, name = WRITERS[kind](bars()), f"BTCUSDT.{kind}"
        found, expected = processes.read(data, name), read(data, name)
        assert found.report == expected.report
        pd.testing.assert_frame_equal(found.candles.frame, expected.candles.frame)

    def test_missing_and_odd_values_have_the_words_of_a_csv_file(self) -> None:
        frame = bars()
        frame.iloc[5, 3] = np.nan
        assert "1 row: a price is blank (line 7)" in str(read(parquet(frame)).report.dropped[0])
        frame.iloc[5, 3] = np.inf
        with pytest.raises(InvalidCandles, match="Line 7, column close: 'inf' is not a number"):
            read(parquet(frame))
        with pytest.raises(InvalidCandles, match="column volume: must be at least 0, found -5"):
            read(parquet(bars().assign(volume=-5)))
        with pytest.raises(InvalidCandles, match="There is no column for close"):
            read(parquet(bars().drop(columns="close")))
        with pytest.raises(InvalidCandles, match="No columns are named open, high, low and close"):
            read(parquet(bars().set_axis(list("uvwxyz"), axis=1)))


@pytest.fixture(scope="module")
def processes():
    made = ReaderProcesses(1)
    yield made
    made.close()


PRICE = st.floats(1e-6, 1e9, allow_subnormal=False)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    closes=st.lists(
        st.floats(0.5, 1.9).map(lambda x: float(np.float64(x))), min_size=40, max_size=60
    ),
    scale=st.sampled_from([1e-6, 1.0, 1e5]),
    minutes=st.sampled_from([1, 5, 60, 24 * 60]),
    start=st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2090, 1, 1)),
    zone=st.sampled_from([None, "UTC", "Europe/Berlin"]),
)
def test_any_table_is_the_same_in_every_format(closes, scale, minutes, start, zone) -> None:
    close = np.array(closes) * scale
    frame = pd.DataFrame(
        {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1.5},
        index=pd.date_range(
            pd.Timestamp(start).floor("min"), periods=len(close), freq=f"{minutes}min", name="time"
        ),
    )
    if zone:
        frame = frame.tz_localize("UTC").tz_convert(zone)
    expected = read(frame.to_csv().encode())
    for kind in FORMATS:
        if kind == "xlsx":
            expected = read(frame.tz_localize(None).to_csv().encode())
        # A sheet has 16 digits of every number.
        assert_same(read(WRITERS[kind](frame)), expected, exact=kind != "xlsx")


class TestSheets:
    def test_the_first_sheet_with_bars_is_read_and_named(self) -> None:
        data = book(
            ("About", [["Prices of BTCUSDT"], ["from", "somewhere"]]),
            ("Bars", [HEADER, *rows_of(bars())]),
            ("More", [HEADER, *rows_of(bars(start="2020-01-01"))]),
        )
        found = read(data, "export.xlsx")
        assert_same(found, read(bars().to_csv().encode(), "export.csv"))
        assert found.report.encoding == 'Excel workbook, sheet "Bars" (2 of 3)'
        assert 'the bars are those of the sheet "Bars", the first that has bars' in (
            found.report.assumptions
        )
        assert found.candles.source == "Excel file export.xlsx"

    def test_titles_above_the_bars_and_merged_names(self) -> None:
        out = io.BytesIO()
        with xlsxwriter.Workbook(out, {"default_date_format": "yyyy-mm-dd hh:mm"}) as made:
            sheet = made.add_worksheet()
            sheet.merge_range("C3:I3", "Bars of a coin")
            sheet.merge_range("C4:C5", "Time")
            sheet.merge_range("D4:G4", "Prices")
            sheet.merge_range("H4:H5", "Volume")
            sheet.merge_range("I4:I5", "Amount")
            sheet.write_row("D5", ["Open", "High", "Low", "Close"])
            for i, row in enumerate(rows_of(bars())):
                sheet.write_datetime(5 + i, 2, row[0])
                sheet.write_row(5 + i, 3, row[1:])
        found = read(out.getvalue())
        assert_same(found, read(bars().to_csv().encode()))
        assert found.report.header_line == 5

    @pytest.mark.parametrize("freq", ["1D", "1h"])
    @pytest.mark.parametrize("is_1904", [False, True])
    @pytest.mark.parametrize("written", ["dates", "numbers", "text"])
    def test_dates_numbers_and_texts_are_the_same_times(
        self, freq: str, is_1904: bool, written: str
    ) -> None:
        frame = bars(freq=freq)
        zero = pd.Timestamp("1904-01-01" if is_1904 else "1899-12-30")
        times: dict[str, list[object]] = {
            "dates": [each.to_pydatetime() for each in frame.index],
            "numbers": list((frame.index - zero) / pd.Timedelta("1D")),
            "text": [str(each) for each in frame.index],
        }
        data = book(("x", [HEADER, *rows_of(frame, times[written])]), date_1904=is_1904)
        found = read(data)
        assert_same(found, read(frame.to_csv().encode()))
        if written == "numbers":
            assert f"days since {zero:%Y-%m-%d}" in " ".join(found.report.assumptions)

    def test_a_day_and_its_time_in_two_columns(self) -> None:
        frame = bars()
        rows = [
            [each.to_pydatetime().date(), each.to_pydatetime().time(), *row]
            for each, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)
        ]
        out = io.BytesIO()
        with xlsxwriter.Workbook(out) as made:
            sheet = made.add_worksheet()
            day, clock = (made.add_format({"num_format": f}) for f in ("yyyy-mm-dd", "hh:mm"))
            sheet.write_row(0, 0, ["Date", "Time", *HEADER[1:]])
            for i, row in enumerate(rows, 1):
                sheet.write_datetime(i, 0, row[0], day)
                sheet.write_datetime(i, 1, row[1], clock)
                sheet.write_row(i, 2, row[2:])
        assert_same(read(out.getvalue()), read(frame.to_csv().encode()))

    def test_dates_that_excel_has_half_read(self) -> None:
        days = pd.date_range("2024-01-02", periods=60, freq="B")
        # As Excel reads 13/02/2024 with the month first: text; 03/02/2024: the second of March.
        times: list[object] = [
            dt.datetime(each.year, each.day, each.month) if each.day <= 12
            else each.strftime("%d/%m/%Y")
            for each in days
        ]  # fmt: skip
        with pytest.raises(InvalidCandles, match=r"Line 11: the cell '15/01/2024' is text, but"):
            read(book(("x", [HEADER, *rows_of(bars(), times)])))

    def test_three_decimals_are_no_thousands(self) -> None:
        frame = bars().round(3)
        rows = rows_of(frame)
        for row in rows:
            row[5] = f"{row[5]:.0f},5"  # text with a decimal comma
        with pytest.raises(InvalidCandles, match="Decimal point and decimal comma are mixed"):
            read(book(("x", [HEADER, *rows])))

    def test_a_fault_names_its_row(self) -> None:
        rows = rows_of(bars())
        rows[9][4] = "closed"
        with pytest.raises(InvalidCandles, match="Line 11, column Close: 'closed' is not a number"):
            read(book(("x", [HEADER, *rows])))

    def test_a_workbook_without_bars_names_its_sheets(self) -> None:
        with pytest.raises(InvalidCandles, match=r"no sheet \('a', 'b'\) has a row that names"):
            read(book(("a", [["x", 1]]), ("b", [])))


# Files that lie.


def repacked(data: bytes, change: Callable[[str, bytes], bytes | None], **extra: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", 8) as new:
        for name in old.namelist():
            if (part := change(name, old.read(name))) is not None:
                new.writestr(name, part)
        for name, part in extra.items():
            new.writestr(name.replace("__", "/"), part)
    return out.getvalue()


def cell_at(reference: str) -> bytes:
    def change(name: str, part: bytes) -> bytes:
        if name.endswith("sheet1.xml"):
            cell = f'<row><c r="{reference}"><v>5</v></c></row></sheetData>'
            return part.replace(b"</sheetData>", cell.encode())
        return part

    return repacked(GOOD_BOOK, change)


GOOD_BOOK = book(("x", [HEADER, *rows_of(bars())]))


def bomb(_: str = "") -> bytes:
    filler = b"<row><c><v>1</v></c></row>" * 7_000_000

    def change(name: str, part: bytes) -> bytes:
        return part.replace(b"</sheetData>", filler + b"</sheetData>") if "sheet1" in name else part

    return repacked(GOOD_BOOK, change)


def lying_bomb() -> bytes:
    """A part that declares less than it gives."""
    data = bytearray(bomb())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as opened:
        size = opened.getinfo("xl/worksheets/sheet1.xml").file_size
    for at in range(len(data)):
        at = data.find(struct.pack("<I", size), at)
        if at < 0:
            break
        data[at : at + 4] = struct.pack("<I", 5_000)
    return bytes(data)


def old_office(*, encrypted: bool) -> bytes:
    name = "EncryptedPackage" if encrypted else "Workbook"
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + name.encode("utf-16-le") + bytes(512)


def many_rows(table_of: Callable[[], pa.Table]) -> bytes:
    out = io.BytesIO()
    pq.write_table(table_of(), out, compression="zstd")
    return out.getvalue()


def long_text() -> pa.Table:
    """Half a million references to one text of a megabyte."""
    frame = pa.Table.from_pandas(bars(500_000, "1min").round(0), preserve_index=False)
    codes = pa.array(np.zeros(500_000, "int32"))
    texts = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 1_000_000]))
    return frame.append_column("symbol", texts)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip bomb": (bomb, r"unpacks to 1\d\d MB; at most 160 MB are read"),
    "zip bomb that lies": (lying_bomb, "cannot be read"),
    "far corner": (lambda: cell_at("XFD1048576"), "has 1,048,576 lines; at most 500,000"),
    "far column": (lambda: cell_at("XFD3"), "has a cell XFD3; at most 64 columns"),
    "one cell far below": (lambda: cell_at("BL499999"), "takes more than 600 MB of memory"),
    "encrypted": (lambda: old_office(encrypted=True), "is encrypted. Open it in Excel, remove"),
    "old": (lambda: old_office(encrypted=False), r"is an old Excel workbook \(.xls\)"),
    "other zip": (lambda: repacked(GOOD_BOOK, lambda *_: None, x=b"y"), "a zip archive; unpack"),
    "binary workbook": (
        lambda: repacked(GOOD_BOOK, lambda *_: None, xl__workbook_bin=b"").replace(
            b"workbook_bin", b"workbook.bin"
        ),
        r"in binary form \(.xlsb\)",
    ),
    "open document": (
        lambda: repacked(GOOD_BOOK, lambda *_: None, content_xml=b"").replace(b"t_xml", b"t.xml"),
        "an OpenDocument file",
    ),
    "cut off workbook": (lambda: GOOD_BOOK[: len(GOOD_BOOK) // 2], "cannot be read"),
    "entities": (
        lambda: repacked(
            GOOD_BOOK,
            lambda name, part: part.replace(
                b"<sheetData>",
                b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">]><sheetData><row><c t="str"><v>&a;</v></c>'
                b"</row>",
            ),
        ),
        "cannot be read",
    ),
    "too many rows": (
        lambda: parquet(bars(500_001, "1min").round(0)),
        "has 500,001 lines; at most 500,000",
    ),
    "too many columns": (
        lambda: parquet(bars().assign(**{f"x{i}": 1.0 for i in range(70)})),
        "The table has 77 columns; at most 64",
    ),
    "dictionary bomb": (lambda: many_rows(long_text), "has a cell of 1,000,000 bytes"),
    "dictionary bomb, Feather": (
        lambda: arrow(long_text().select(["symbol", *PRICES])),
        "has a cell of 1,000,000 bytes",
    ),
    "unknown zone": (
        lambda: arrow(
            pa.table({"time": pa.array([0] * 60, pa.timestamp("s", "Not/AZone")),
                      **{name: [1.0] * 60 for name in PRICES}})
        ),
        "the zone 'Not/AZone', which is unknown",
    ),
    "cut off Parquet": (lambda: parquet(bars())[:-100], "is a Parquet file that cannot be read"),
    "cut off Feather": (lambda: feather(bars())[:-100], "is a Feather file that cannot be read"),
    "Feather 1": (lambda: b"FEA1" + bytes(100), "is a Feather file of version 1"),
    "encrypted Parquet": (lambda: b"PARE" + bytes(100) + b"PARE", "is an encrypted Parquet file"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_have_clear_words_within_the_budget(
    processes: ReaderProcesses, case: str
) -> None:
    make, words = HOSTILE[case]
    data = make()
    processes.largest = (0.0, 0)
    with pytest.raises(InvalidCandles, match=words) as found:
        processes.read(data, "data.xlsx")
    assert str(found.value).count("data.xlsx") <= 1  # no message within another
    seconds, most = processes.largest
    assert seconds < 10
    assert most < 700 * 2**20  # looked at fifty times a second, and ended above 600


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_end_in_words(processes: ReaderProcesses, kind: str) -> None:
    good, rng = WRITERS[kind](bars()), random.Random(5)
    for _ in range(40):
        data = bytearray(good)
        for _ in range(rng.choice([1, 3, 30])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        with suppress(InvalidCandles):
            assert len(processes.read(bytes(data), f"x.{kind}").candles) >= 32


def test_the_contents_decide_and_not_the_name() -> None:
    expected = read(bars().to_csv().encode())
    found = read(parquet(bars()), "BTCUSDT-1h.csv")
    assert_same(found, expected)
    assert found.report.assumptions[0] == (
        "the name ends in .csv, but the contents are Parquet, read as such"
    )
    found = read(bars().to_csv().encode(), "BTCUSDT-1h.xlsx")
    assert_same(found, expected)
    assert "the contents are text, read as such" in found.report.assumptions[0]


def test_macros_are_not_run_and_said() -> None:
    data = repacked(GOOD_BOOK, lambda _, part: part, xl__vbaProject_bin=b"x").replace(
        b"vbaProject_bin", b"vbaProject.bin"
    )
    assert "the workbook has macros, which are not run" in read(data).report.assumptions


def test_the_name_of_a_file_gives_its_symbol() -> None:
    for kind in FORMATS:
        assert read(WRITERS[kind](bars()), f"BTCUSDT_1h.{kind}").candles.symbol == "BTCUSDT"


@pytest.mark.parametrize("kind", FORMATS)
def test_folders_of_any_format_are_bars_of_a_corpus(kind: str, tmp_path: Path) -> None:
    frame = bars(60, "1D")
    (tmp_path / f"BTCUSDT.{kind}").write_bytes(WRITERS[kind](frame))
    frame.to_csv(tmp_path / "ETHUSDT.csv")
    found = list_files(tmp_path, None)
    assert [each.symbol for each in found] == ["BTCUSDT", "ETHUSDT"]
    one, other = (read_bars(tmp_path / each.file).reset_index(drop=True) for each in found)
    pd.testing.assert_frame_equal(one, other, check_dtype=False, check_exact=True)
    (tmp_path / f"BTCUSDT.{kind}").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InvalidCandles, match="cannot be read as candles"):
        read_bars(tmp_path / f"BTCUSDT.{kind}")


@pytest.mark.parametrize("kind", FORMATS)
def test_commands_take_any_format(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    for ending in ("csv", kind):
        path = tmp_path / f"BTCUSDT.{ending}"
        frame = bars(60)
        path.write_bytes(frame.to_csv().encode() if ending == "csv" else WRITERS[kind](frame))
        assert cli.main(["forecast", str(path), "--model", "ewma", "--horizon", "3"]) == 0
        written.append(capsys.readouterr().out)
    assert written[0] == written[1]


def test_the_bundled_samples_as_workbooks() -> None:
    for path in sorted(Path("assets/samples").glob("*.csv"))[:2]:
        data = path.read_bytes()
        table = pd.read_csv(io.BytesIO(data))
        for kind in FORMATS:
            found = read(WRITERS[kind](table), path.with_suffix(f".{kind}").name)
            assert_same(found, read(data, path.name), exact=kind != "xlsx")
