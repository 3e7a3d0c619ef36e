"""Candles come out of a CSV file as they went in, however it is written, or not at all."""

from __future__ import annotations

import io
import pickle
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_sources.csv.reader import MAX_BYTES, CsvChoices, CsvReading, read_csv
from kronos.candles import COLUMNS
from kronos.errors import InvalidCandles

HOLIDAYS_2024 = (
    *("01-15", "02-19", "03-29", "05-27", "06-19", "07-04", "09-02", "11-28", "12-25"),
)


def bars(n: int = 60, freq: str = "1h", start: str = "2024-03-04", digits: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    close = (100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))).round(digits)
    opens = np.append(100.0, close[:-1])
    return pd.DataFrame(
        {
            "open": opens,
            "high": (np.maximum(opens, close) + 0.5).round(digits),
            "low": (np.minimum(opens, close) - 0.5).round(digits),
            "close": close,
            "volume": rng.integers(1000, 5_000_000, n).astype(float),
        },
        index=pd.date_range(start, periods=n, freq=freq, name="timestamp"),
    )


def written(frame: pd.DataFrame, **options: object) -> bytes:
    return frame.to_csv(**options).encode()  # type: ignore[call-overload]


def read(data: bytes | str, name: str = "BTCUSDT-1h.csv", **choices: object) -> CsvReading:
    data = data.encode() if isinstance(data, str) else data
    return read_csv(data, name, choices=CsvChoices(**choices) if choices else None)  # type: ignore[arg-type]


def assert_holds(reading: CsvReading, frame: pd.DataFrame) -> None:
    """The reading holds the bars of a naive UTC frame."""
    found = reading.candles.frame
    assert found.index.tz_localize(None).tolist() == frame.index.tolist()
    names = [name for name in COLUMNS if name in frame]
    np.testing.assert_allclose(found[names].to_numpy(), frame[names].to_numpy(), rtol=1e-12)


class TestWriting:
    """One table, written in many ways, is read as the same bars."""

    @pytest.mark.parametrize(
        "names",
        [
            ("Date", "Open", "High", "Low", "Close", "Volume"),
            ("timestamps", "open", "high", "low", "close", "volume"),
            ("datetime", " OPEN ", "HIGH", "LOW", "CLOSE ", "VOL"),
            ("Open time", "1. open", "2. high", "3. low", "4. close", "5. volume"),
            ("Date", "Open*", "High*", "Low*", "Close*", "Vol."),
            ("<DATE>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>"),
            ("Gmt time", "Open", "High", "Low", "Close", "Volume (BTC)"),
            ("Date", "Open [USD]", "High [USD]", "Low [USD]", "Close [USD]", "Volume USD"),
            ("t", "o", "h", "l", "c", "v"),
            ("", "Open", "High", "Low", "Close/Last", "Volume"),
            ("时间", "开盘", "最高", "最低", "收盘", "成交量"),
            ("Datum", "Eröffnung", "Hoch", "Tief", "Schlusskurs", "Volumen"),
            ("Date", "Open", "High", "Low", "Price", "Vol."),
        ],
    )
    def test_column_names(self, names: tuple[str, ...]) -> None:
        frame = bars()
        reading = read(frame.rename_axis(names[0]).set_axis(list(names[1:]), axis=1).to_csv())
        assert_holds(reading, frame)
        assert [c.meaning for c in reading.report.columns] == [
            reading.report.columns[0].meaning,
            *COLUMNS[:5],
        ]

    @pytest.mark.parametrize(
        ("separator", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe")]
    )
    @pytest.mark.parametrize("decimal", [".", ","])
    def test_delimiters_and_decimals(self, separator: str, name: str, decimal: str) -> None:
        frame = bars()
        reading = read(written(frame, sep=separator, decimal=decimal))
        assert_holds(reading, frame)
        assert reading.report.delimiter == name

    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
    )
    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    def test_encodings_and_line_ends(self, encoding: str, line_end: str) -> None:
        frame = bars()
        text = "Währung: €\n" + frame.to_csv(sep=";")
        reading = read(text.replace("\n", line_end).encode(encoding))
        assert_holds(reading, frame)

    @pytest.mark.parametrize(
        "date_format",
        [
            *("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y/%m/%d %H:%M", "%Y.%m.%d %H:%M"),
            *("%d.%m.%Y %H:%M:%S.000", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%m/%d/%y %I:%M %p"),
            *("%d-%b-%Y %H:%M", "%b %d, %Y %H:%M", "%Y%m%d %H%M%S", "%Y%m%d%H%M", "%Y%m%d%H%M%S"),
            *("%Y-%m-%d %H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+00:00", "%Y-%m-%d %H:%M UTC"),
        ],
    )
    def test_timestamps(self, date_format: str) -> None:
        frame = bars(24 * 20)
        assert_holds(read(written(frame, date_format=date_format, sep="\t")), frame)

    @pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
    def test_epochs(self, per_second: int) -> None:
        frame = bars()
        seconds = frame.index.as_unit("s").asi8
        data = frame.set_axis(pd.Index(seconds * per_second, name="timestamp")).to_csv()
        reading = read(data)
        assert_holds(reading, frame)
        assert "since 1970" in reading.report.time_format

    def test_date_and_time_in_two_columns(self) -> None:
        frame = bars()
        split = frame.reset_index()
        split.insert(0, "<TIME>", split["timestamp"].dt.strftime("%H:%M"))
        split.insert(0, "<DATE>", split.pop("timestamp").dt.strftime("%Y.%m.%d"))
        assert_holds(read(split.to_csv(index=False, sep="\t")), frame)

    def test_offsets_are_followed(self) -> None:
        frame = bars(24 * 14)
        abroad = frame.tz_localize("UTC").tz_convert("America/New_York")
        assert_holds(read(written(abroad)), frame)

    def test_excel_day_numbers(self) -> None:
        frame = bars()
        days = (frame.index - pd.Timestamp("1899-12-30")) / pd.Timedelta(days=1)
        reading = read(frame.set_axis(pd.Index(days, name="Date")).to_csv())
        assert_holds(reading, frame)
        assert any("Excel" in note for note in reading.report.assumptions)

    def test_thousands_separators(self) -> None:
        frame = bars() * 1000
        quoted = frame.map("{:,.2f}".format)
        assert_holds(read(written(quoted)), frame)
        continental = quoted.map(lambda cell: cell.translate(str.maketrans(",.", ".,")))
        assert_holds(read(written(continental, sep=";")), frame)
        spaced = quoted.map(lambda cell: "$" + cell.replace(",", "\u00a0"))
        assert_holds(read(written(spaced)), frame)

    def test_volumes_in_thousands_and_millions(self) -> None:
        frame = bars()
        frame["volume"] = np.where(np.arange(60) % 2, 12_300_000.0, 4_500.0)
        text = frame.assign(volume=["4.5K", "12.30M"] * 30).to_csv()
        assert_holds(read(text), frame)

    def test_files_without_a_header(self) -> None:
        frame = bars()
        metatrader = frame.set_axis(frame.index.strftime("%Y.%m.%d,%H:%M"))
        text = metatrader.to_csv(header=False, quoting=3, escapechar="\\").replace("\\", "")
        reading = read(text)
        assert_holds(reading, frame)
        assert any("no header" in note for note in reading.report.assumptions)

    def test_exchange_klines_without_a_header(self) -> None:
        frame = bars()
        table = frame.set_axis(frame.index.as_unit("ms").asi8)
        for extra in ("close_time", "quote", "trades", "taker_base", "taker_quote", "ignore"):
            table[extra] = 12.5
        reading = read(table.to_csv(header=False))
        assert_holds(reading, frame)
        assert (reading.candles.frame["amount"] == 12.5).all()

    def test_headers_of_three_lines(self) -> None:
        frame = bars(60, "D")
        text = frame.to_csv(header=False)
        top = "Price,Open,High,Low,Close,Volume\nTicker,BTC-USD,BTC-USD,BTC-USD,BTC-USD,BTC-USD\n"
        reading = read(top + "Date,,,,,\n" + text, name="export.csv")
        assert_holds(reading, frame)
        assert reading.candles.symbol == "BTC-USD"

    def test_preamble_comments_and_footer(self) -> None:
        frame = bars()
        text = (
            "https://example.com/download\n# exchange: X\n\n" + frame.to_csv() + "\nEnd, of file\n"
        )
        reading = read(text)
        assert_holds(reading, frame)
        assert {group.reason for group in reading.report.dropped} == {
            "text before the header",
            "no prices",
        }

    @settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(
        separator=st.sampled_from([";", "\t", "|", ","]),
        decimal=st.sampled_from([".", ","]),
        date_format=st.sampled_from(["%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M"]),
        order=st.permutations(list(range(40))),
        scale=st.floats(1e-4, 1e5),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    )
    def test_round_trip(
        self,
        separator: str,
        decimal: str,
        date_format: str,
        order: list[int],
        scale: float,
        encoding: str,
    ) -> None:
        frame = bars(40, "8h", digits=6) * scale
        text = frame.iloc[order].to_csv(sep=separator, decimal=decimal, date_format=date_format)
        reading = read(text.encode(encoding))
        assert_holds(reading, frame)
        assert reading.report.rows_kept == reading.report.rows_read == 40


class TestRows:
    def test_duplicates_are_dropped_and_named(self) -> None:
        frame = bars()
        changed = frame.iloc[[20]].assign(close=frame["close"].iloc[20] + 0.01)
        table = pd.concat([frame.iloc[:11], frame.iloc[[10]], frame.iloc[11:], changed])
        reading = read(written(table))
        frame.iloc[20] = changed.iloc[0]
        assert_holds(reading, frame)
        groups = {group.reason: group.rows for group in reading.report.dropped}
        assert groups["the same bar again"] == (12,)
        assert next(v for k, v in groups.items() if "written last" in k) == (23,)

    def test_newest_first_is_turned_round(self) -> None:
        frame = bars()
        reading = read(written(frame[::-1]))
        assert_holds(reading, frame)
        assert any("newest first" in note for note in reading.report.assumptions)

    def test_blank_prices_are_dropped(self) -> None:
        frame = bars()
        frame.loc[frame.index[30], "close"] = np.nan
        reading = read(written(frame, na_rep="null"))
        assert_holds(reading, frame.drop(frame.index[30]))
        (group,) = reading.report.dropped
        assert (group.reason, group.rows) == ("a price is blank", (32,))

    def test_highs_and_lows_that_miss_slightly_are_widened(self) -> None:
        frame = bars()
        row = frame.index[7]
        frame.loc[row, "high"] = max(frame.loc[row, "open"], frame.loc[row, "close"]) - 0.01
        reading = read(written(frame))
        repaired = reading.candles.frame.iloc[7]
        assert repaired["high"] == max(repaired["open"], repaired["close"])
        (group,) = reading.report.repaired
        assert group.rows == (9,)

    def test_highs_and_lows_that_miss_widely_drop_the_row(self) -> None:
        frame = bars()
        frame.loc[frame.index[7], "high"] = 50.0
        reading = read(written(frame))
        assert_holds(reading, frame.drop(frame.index[7]))

    @pytest.mark.parametrize("factor", [60.0, 1e28, 1 / 60])
    @pytest.mark.parametrize("row", [0, 30, 59])
    def test_a_price_far_from_its_neighbours_drops_the_row_and_is_named(
        self, factor: float, row: int
    ) -> None:
        frame = bars(digits=6)
        frame.iloc[row, 1 if factor > 1 else 2] *= factor
        reading = read(written(frame))
        assert_holds(reading, frame.drop(frame.index[row]))
        (group,) = reading.report.dropped
        assert group.rows == (row + 2,)
        assert "more than 50 times outside those of the bars before and after" in group.reason
        assert f"{frame.iloc[row, 1 if factor > 1 else 2]:g}" in group.reason

    def test_a_price_within_the_factor_is_kept(self) -> None:
        frame = bars()
        frame.iloc[30, 1] *= 40
        assert_holds(read(written(frame)), frame)

    def test_missing_volume_is_reported(self) -> None:
        reading = read(written(bars().drop(columns="volume")))
        assert not reading.candles.has_volume
        assert any("no volume" in note for note in reading.report.assumptions)

    def test_ignored_columns_are_listed(self) -> None:
        frame = bars().assign(**{"Adj Close": 1.0, "Change %": "1.5%", "trades": 7})
        reading = read(written(frame))
        assert reading.report.ignored_columns == ["Adj Close", "Change %", "trades"]
        assert any("adjusted close" in note for note in reading.report.assumptions)

    def test_the_report_reads_as_sentences(self) -> None:
        lines = read(written(bars(24 * 10))).report.lines()
        assert lines[0] == "240 of 240 rows kept, interval 1h."
        assert any("24/7" in line for line in lines)


class TestTime:
    def test_day_and_month_are_told_apart_by_the_rows(self) -> None:
        frame = bars(24 * 8, start="2024-03-02")
        for date_format in ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"):
            reading = read(written(frame, date_format=date_format))
            assert_holds(reading, frame)
            assert any("are read with the" in note for note in reading.report.assumptions)

    def test_one_ambiguous_day_is_refused_until_the_user_decides(self) -> None:
        frame = bars(40, "15min", start="2024-03-04 08:00")
        data = written(frame, date_format="%d/%m/%Y %H:%M")
        with pytest.raises(InvalidCandles, match="day first or"):
            read(data)
        assert_holds(read(data, day_first=True, calendar="24/7"), frame)
        other = frame.set_axis(
            frame.index + (pd.Timestamp("2024-04-03") - pd.Timestamp("2024-03-04"))
        )
        assert_holds(read(data, day_first=False, calendar="24/7"), other)

    def test_a_choice_the_dates_contradict_is_refused(self) -> None:
        data = written(bars(24 * 20), date_format="%d/%m/%Y %H:%M")
        with pytest.raises(InvalidCandles, match="Choose the other order"):
            read(data, day_first=False)

    def test_dates_of_shares_belong_to_the_exchange(self) -> None:
        days = pd.bdate_range("2024-01-02", "2024-12-31").drop(
            pd.DatetimeIndex([f"2024-{day}" for day in HOLIDAYS_2024])
        )
        frame = bars(len(days)).set_axis(days)
        for zoned in (frame, frame.tz_localize("UTC"), frame.tz_localize("America/New_York")):
            candles = read(written(zoned), name="AAPL.csv").candles
            assert (candles.calendar, candles.zone) == ("XNYS", "America/New_York")
            assert candles.local_index.tz_localize(None).tolist() == days.tolist()

    def test_a_chosen_clock_is_that_of_the_file_and_not_of_the_market(self) -> None:
        frame = bars(24 * 14)
        candles = read(written(frame), clock="Asia/Tokyo").candles
        assert (candles.calendar, candles.zone) == ("24/7", "UTC")
        moments = frame.index.tz_localize("Asia/Tokyo").tz_convert("UTC")
        assert candles.frame.index.tolist() == moments.tolist()

    @pytest.mark.parametrize("clock", ["UTC", "America/New_York", "Asia/Tokyo"])
    def test_session_bars_are_read_on_the_market_clock(self, clock: str) -> None:
        days = pd.bdate_range("2024-01-02", "2024-06-28").drop(
            pd.DatetimeIndex([f"2024-{day}" for day in HOLIDAYS_2024 if day < "07"])
        )
        wall = pd.DatetimeIndex(
            [day + pd.Timedelta(minutes=570 + 60 * i) for day in days for i in range(7)]
        )
        stamps = wall.tz_localize("America/New_York").tz_convert(clock).tz_localize(None)
        frame = bars(len(wall)).set_axis(stamps)
        for choices in ({"clock": clock}, {"clock": clock, "calendar": "XNYS"}):
            reading = read(written(frame), name="bars.csv", **choices)
            candles = reading.candles
            assert (candles.calendar, candles.zone) == ("XNYS", "America/New_York")
            assert candles.local_index.tz_localize(None).tolist() == wall.tolist()
            assert reading.report.clock == clock
            assert not any("clock" in note for note in reading.report.assumptions)

    def test_a_clock_stands_in_for_that_of_an_unknown_market(self) -> None:
        candles = read(written(bars(24 * 14)), clock="Asia/Tokyo", calendar="weekdays").candles
        assert candles.zone == "Asia/Tokyo"

    @pytest.mark.parametrize("clock", ["UTC", "Europe/Athens", "New York + 7 h"])
    def test_hours_of_gold_are_read_on_the_clock_that_keeps_their_pause(self, clock: str) -> None:
        hours = pd.date_range("2024-02-05", "2024-04-26", freq="h", tz="UTC")
        local = hours.tz_convert("America/New_York")
        opened = local - pd.Timedelta(hours=18)
        trades = (local.hour != 17) & (opened.tz_localize(None).day_of_week.isin([6, 0, 1, 2, 3]))
        stamps = local[trades]
        if clock == "New York + 7 h":
            wall = stamps.tz_localize(None) + pd.Timedelta(hours=7)
        else:
            wall = stamps.tz_convert(clock).tz_localize(None)
        reading = read(written(bars(len(wall)).set_axis(wall)), name="XAUUSD_1h.csv")
        assert (reading.candles.calendar, reading.report.clock) == ("metals", clock)
        assert reading.report.clocks == ()
        assert reading.candles.frame.index.tolist() == stamps.tz_convert("UTC").tolist()

    def test_a_clock_that_the_bars_do_not_show_is_asked_for_and_can_be_chosen(self) -> None:
        frame = bars(48, start="2024-01-16 03:00")
        data = written(frame)
        reading = read(data, name="EURUSD.csv")
        assert reading.report.clock == reading.report.clocks[0] == "UTC"
        assert "Asia/Tokyo" in reading.report.clocks
        assert any("fit these clocks as well" in note for note in reading.report.assumptions)
        for clock in reading.report.clocks:
            chosen = read(data, name="EURUSD.csv", clock=clock)
            assert (chosen.report.clock, chosen.report.clocks) == (clock, ())
        assert pickle.loads(pickle.dumps(reading.report)).clocks == reading.report.clocks

    def test_an_unnecessary_clock_is_reported(self) -> None:
        frame = bars(24 * 14)
        reading = read(written(frame.tz_localize("UTC")), clock="Asia/Tokyo")
        assert_holds(reading, frame)
        assert any("Asia/Tokyo is not needed" in note for note in reading.report.assumptions)

    @pytest.mark.parametrize(
        ("offset", "minutes"), [("+14:00", 840), ("-0930", -570), ("+05:45", 345), ("+03", 180)]
    )
    def test_offsets_up_to_14_hours_are_followed(self, offset: str, minutes: int) -> None:
        frame = bars(24 * 14)
        there = frame.set_axis(
            (frame.index + pd.Timedelta(minutes=minutes)).strftime("%Y-%m-%d %H:%M") + offset
        )
        assert_holds(read(written(there.rename_axis("timestamp"))), frame)

    @pytest.mark.parametrize("offset", ["+99:99", "+14:01", "-15:00", "+01:60", "UTC+2400"])
    def test_offsets_that_no_clock_has_are_refused(self, offset: str) -> None:
        table = bars().reset_index().astype(str)
        table["timestamp"] += "+00:00"
        table.loc[10, "timestamp"] = f"2024-03-04 10:00:00{offset}"
        with pytest.raises(InvalidCandles, match=r"Line 12: .* is no offset from UTC"):
            read(table.to_csv(index=False))

    @pytest.mark.parametrize(
        ("freq", "chosen", "found"),
        [
            *(("D", "5m", "1d"), ("D", "1w", "1d"), ("h", "45m", "1h"), ("h", "30m", "1h")),
            *(("30min", "1h", "30m"), ("h", "1d", "1h")),
        ],
    )
    def test_an_interval_that_contradicts_the_bars_is_refused(
        self, freq: str, chosen: str, found: str
    ) -> None:
        with pytest.raises(InvalidCandles, match=rf"{chosen} was chosen.* Choose {found} or"):
            read(written(bars(24 * 10, freq)), interval=chosen)

    def test_an_interval_that_agrees_changes_nothing(self) -> None:
        data = written(bars(24 * 10))
        assert read(data, interval="1h").report.lines() == read(data).report.lines()

    def test_sparse_bars_have_the_chosen_interval_and_a_note(self) -> None:
        dense = bars(3000, "5min")
        frame = dense[np.random.default_rng(5).random(3000) < 0.15]
        reading = read(written(frame), interval="5m")
        assert_holds(reading, frame)
        assert any("taken for missing bars" in note for note in reading.report.assumptions)

    def test_sessions_that_no_whole_number_of_bars_fills_have_the_chosen_interval(self) -> None:
        stamps = pd.DatetimeIndex(
            [
                day + pd.Timedelta(minutes=minute)
                for day in pd.bdate_range("2024-03-04", periods=20)
                for minute in (570, 780)
            ]
        )
        data = written(bars(40).set_axis(stamps))
        with pytest.raises(InvalidCandles):
            read(data)
        reading = read(data, interval="2h")
        assert reading.candles.interval == "2h"
        assert any("does not show it" in note for note in reading.report.assumptions)


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "is empty"),
            (b" \n\n ", "is empty"),
            (b"\x89PNG\r\n\x1a\n" + bytes(500), "PNG image"),
            (b"PK\x03\x04" + bytes(500), "Excel workbook that cannot be read"),
            (b"\x1f\x8b\x08" + bytes(500), "gzip"),
            (b"%PDF-1.7\n", "PDF"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b'{"chart": 1}', "JSON"),
            (b"Date,Open,High,Low,Close\n2024-01-01,1,\x002,1,1\n", "NUL byte in line 2"),
            (bytes(range(1, 32)) * 40, "not a text file"),
            (b"hello\nworld\n", "No header line"),
            (b"Date,Close\n" + b"2024-01-01,1\n" * 50, "No header line"),
            (b"Date,Open,High,Close\n" + b"2024-01-01,1,1,1\n" * 50, "no column for low"),
            (b"Open,High,Low,Close\n" + b"1,1,1,1\n" * 50, "no time column"),
            (b"Date,Open,High,Low,Close\n", "no rows"),
            (b"Date,Open,High,Low,Close\n2024-01-01,1,1,1,1\n", "1 usable rows of 1"),
            (b"Date,Open,High,Low,Close," + b"x" * 70_000, "longer than 64 KB"),
            (b"a," * 40_000 + b"\n", "longer than 64 KB"),
            (b"Date,Open,High,Low,Close," + b"x," * 100 + b"\n1\n", "at most 64"),
            (b"Date,Open,High,Low,Close\n" + b"x" * 70_000, "Line 2 .* longer than 64 KB"),
            (b"Date,Open,High,Low,Close\n" + b"\n" * 600_000, "at most 500,000 rows"),
            (b"x" * (20 * 2**20 + 1), "at most 20 MB"),
        ],
    )
    def test_other_files_are_refused(self, data: bytes, says: str) -> None:
        with pytest.raises(InvalidCandles, match=says):
            read(data)

    @pytest.mark.parametrize(
        ("column", "value", "says"),
        [
            ("close", "abc", "Line 12, column close: 'abc' is not a number"),
            ("close", "z", "Line 12, column close: 'z' is not a number"),
            ("high", "=1+1", "Line 12, column high: '=1\\+1' is not a number"),
            ("close", "-5", "Line 12, column close: prices must be above 0"),
            ("open", "0", "Line 12, column open: prices must be above 0"),
            ("volume", "-5", "Line 12, column volume: must be at least 0"),
            ("volume", "many", "Line 12, column volume: 'many' is not a number"),
            ("timestamp", "soon", "Line 12, column timestamp: 'soon' is not a timestamp"),
            ("timestamp", "", "Line 12, column timestamp: an empty cell"),
            ("timestamp", "2024-02-31 10:00", "Line 12, column timestamp: there is no day 31"),
            ("timestamp", "1750-01-01 10:00", "Line 12, column timestamp: .* outside 1900"),
            ("timestamp", "2024-03-04 10:00Z", "offset from UTC"),
        ],
    )
    def test_a_bad_cell_is_named(self, column: str, value: str, says: str) -> None:
        table = bars().reset_index().astype(str)
        table.loc[10, column] = value
        with pytest.raises(InvalidCandles, match=says):
            read(table.to_csv(index=False))

    def test_swapped_columns_are_noticed(self) -> None:
        table = bars().rename(columns={"high": "low", "low": "high"})
        with pytest.raises(InvalidCandles, match="Check which column is which"):
            read(written(table))

    def test_several_symbols_are_refused(self) -> None:
        table = bars().assign(symbol=["A", "B"] * 30)
        with pytest.raises(InvalidCandles, match="2 symbols \\('A', 'B'\\)"):
            read(written(table))
        wide = pd.concat([bars(), bars()], axis=1)
        with pytest.raises(InvalidCandles, match=r"columns 2, 7.*several instruments side by side"):
            read(written(wide))
        top = "Price,Open,High,Low,Close,Volume\nTicker,A,B,A,B,A\nDate,,,,,\n"
        with pytest.raises(InvalidCandles, match="several symbols \\(A, B\\)"):
            read(top + bars(60, "D").to_csv(header=False))

    @pytest.mark.parametrize("is_ragged", [False, True])
    def test_two_columns_of_one_title_must_be_equal(self, is_ragged: bool) -> None:
        end = "\nEnd\n" if is_ragged else ""
        frame = bars()
        frame["volume"] = 5.0
        twice = frame.set_axis(["Open", "High", "Low", "Close", "Volume"], axis=1)
        twice.insert(5, "volume ", frame["volume"])
        reading = read(twice.to_csv() + end)
        assert_holds(reading, frame)
        assert any("columns 6 and 7" in note for note in reading.report.assumptions)
        twice.iloc[10, 5] = 7.0
        with pytest.raises(InvalidCandles, match=r"Columns 6 and 7 .*'Volume'.* line 12 .*'7\.0'"):
            read(twice.to_csv() + end)

    @pytest.mark.parametrize("title", ["timestamp", "amount", "symbol"])
    def test_any_used_title_may_stand_only_once(self, title: str) -> None:
        table = bars().reset_index().astype(str).assign(amount="1", symbol="A")
        other = table[title].where(table.index != 3, table[title].iloc[4] + "0")
        table.insert(len(table.columns), title, other, allow_duplicates=True)
        with pytest.raises(InvalidCandles, match=f"both named '{title}' but differ: line 5"):
            read(table.to_csv(index=False))

    def test_numbers_that_break_the_row_are_explained(self) -> None:
        text = bars().to_csv().splitlines()
        text[5] += ",123"
        with pytest.raises(InvalidCandles, match="Line 6 has 7 cells but the header names 6"):
            read("\n".join(text))

    def test_mixed_decimals_are_refused(self) -> None:
        table = bars().astype(str)
        table.iloc[4, 0] = "1.234,56"
        with pytest.raises(InvalidCandles, match=r"mixed: .*1\.234,56.* \(line 6, column open\)"):
            read(written(table, sep=";"))

    def test_a_quotation_mark_that_never_closes_is_named(self) -> None:
        text = bars(20_000, "1min").to_csv().splitlines()
        text[5] = '"' + text[5]
        with pytest.raises(InvalidCandles):
            read("\n".join(text))

    @settings(deadline=None, max_examples=60)
    @given(data=st.binary(max_size=2000) | st.text(max_size=500).map(str.encode))
    def test_noise_is_refused_and_never_crashes(self, data: bytes) -> None:
        with pytest.raises(InvalidCandles):
            read(data, name="noise.csv")

    @settings(deadline=None, max_examples=25)
    @given(
        row=st.integers(1, 60),
        column=st.integers(0, 5),
        cell=st.text(max_size=12).filter(lambda text: "\x00" not in text),
    )
    def test_any_cell_may_hold_anything(self, row: int, column: int, cell: str) -> None:
        table = bars().reset_index().astype(str)
        table.iloc[row - 1, column] = cell
        buffer = io.StringIO()
        table.to_csv(buffer, index=False)
        try:
            reading = read(buffer.getvalue().encode("utf-8", "replace"))
        except InvalidCandles:
            return
        assert reading.report.rows_kept >= 32


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        *(("BTCUSDT-1h.csv", "BTCUSDT"), ("VOD.L_daily.csv", "VOD.L"), ("^GSPC.csv", "^GSPC")),
        *(("C:\\data\\AAPL.csv", "AAPL"), ("../../etc/EURUSD_1h.csv", "EURUSD")),
        *(("prices of ibm.csv", "prices of ibm"), ("DATA_1.csv", "DATA_1")),
    ],
)
def test_symbols_are_found_in_file_names(name: str, symbol: str) -> None:
    assert read(written(bars(24 * 10)), name=name).candles.symbol == symbol


def test_the_page_takes_uploads_as_large_as_the_reader_does() -> None:
    settings_file = Path(__file__).parents[2] / ".streamlit" / "config.toml"
    server = tomllib.loads(settings_file.read_text())["server"]
    assert server["maxUploadSize"] * 2**20 == MAX_BYTES


def test_many_rows_are_read() -> None:
    assert read(written(bars(20_000, "5min"))).report.rows_kept == 20_000
