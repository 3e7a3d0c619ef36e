"""Candles from a CSV, Parquet, Feather or Excel file, and a report of how it was read.

The reader accepts the layouts of exports and vendors, reports how it read them, and refuses with
line and column what it cannot decide. It never guesses silently: `CsvReport.assumptions` lists
what the file leaves open, and the user can decide it with `CsvChoices`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd

from data_sources.cleaning import WILD_FACTOR, wild_bars
from data_sources.csv.formats import read_text
from data_sources.csv.numbers import read_numbers
from data_sources.csv.order import in_order, on_clock
from data_sources.csv.report import CsvReport, clock_question
from data_sources.csv.table import Table, read_table
from data_sources.csv.text import MAX_BYTES, MAX_COLUMNS, MAX_ROWS
from data_sources.csv.times import TimeReading, parse_times
from kronos.calendars import Placement, place_bars
from kronos.calendars.clocks import to_utc
from kronos.calendars.intervals import infer_interval, interval_width, is_intraday
from kronos.candles import COLUMNS, PRICES, Candles, fill_volume
from kronos.errors import InvalidCandles

__all__ = [
    "MAX_BYTES",
    "MAX_COLUMNS",
    "MAX_ROWS",
    "MIN_ROWS",
    "CsvChoices",
    "CsvReading",
    "read_csv",
]

MIN_ROWS = 32
"""Fewer bars than this are no context to forecast from."""
_MAX_OVERHANG = 0.005  # share of the price by which open or close may miss high and low
_MAX_BROKEN_SHARE = 0.02
# Share of steps narrower than the chosen interval that may be half bars at the edge of a session.
_MAX_NARROWER = 0.1
# A sparse file still has this share of bars next to each other, and the other steps are gaps of
# whole bars, save this share (nights and lunch breaks).
_MIN_ADJACENT, _MIN_WHOLE = 0.05, 0.75
# A ticker at the start of a file's name.
_ENDING = re.compile(r"\.(csv|txt|tsv|dat|parquet|feather|arrow|xlsx|xlsm)$", re.IGNORECASE)
_AFTER_TICKER = re.compile(r"[_\s,()]|-(?=\d)|-(?=[a-z])")
_TICKER = re.compile(r"\^?(?=[^a-z]{0,15}[A-Z])[A-Z0-9.=\-]{1,15}")


@dataclass(frozen=True, slots=True)
class CsvChoices:
    """What the user says about a file; None leaves it to the reader.

    Attributes:
        clock: Clock on which timestamps without an offset are read: an IANA name or one of
            `kronos.calendars.clocks.CLOCKS`. The clock of the market, `Candles.zone`, follows
            from the calendar.
        day_first: Whether 03/04/2024 is the third of April.
        symbol: Ticker.
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        interval: Width of a bar; refused where it contradicts the spacing of the rows.
    """

    clock: str | None = None
    day_first: bool | None = None
    symbol: str | None = None
    calendar: str | None = None
    interval: str | None = None


@dataclass(frozen=True, slots=True)
class CsvReading:
    """Candles and how they were read."""

    candles: Candles
    report: CsvReport


def read_csv(
    data: bytes, file_name: str, *, choices: CsvChoices | None = None, source: str | None = None
) -> CsvReading:
    """Read candles from the bytes of a file: CSV, Parquet, Feather or Excel (xlsx).

    Its contents decide the format, whatever its name.

    Args:
        data: The file, at most 20 MB, 64 columns and 500,000 rows.
        file_name: Its name, for messages and to find the symbol; no file of that name is read.
        choices: What the user says about it.
        source: Where the bars came from; default "CSV file NAME", or that of its format.

    Raises:
        InvalidCandles: The file cannot be used; the message names line and column.
    """
    choices = choices or CsvChoices()
    name = PurePosixPath(PureWindowsPath(file_name).name).name[:120] or "the file"
    report = CsvReport(name)
    text = read_text(data, name)
    report.encoding = text.encoding
    table = read_table(text, report)
    text.lines.clear()  # half of the memory that a large file takes
    values = _without_blank_prices(_numbers(table, report), report)
    _require_rows(values, report)
    symbol = choices.symbol or table.ticker() or _symbol_in_name(name)
    table = table.only(np.flatnonzero(np.isin(table.lines, values.index)).tolist())
    times = _times(table, choices, report, text.day_zero)
    values, again = in_order(values, times.moments, report, clock=choices.clock)
    values = _with_repaired_ranges(values, report)
    values = _without_wild_prices(values, report)
    _require_rows(values, report)
    positions = pd.Index(table.lines).get_indexer(values.index)
    is_second = np.isin(values.index, again)
    candles = _placed(values, times, positions, is_second, symbol, choices, report)
    return CsvReading(
        replace(candles, source=source or f"{text.kind or 'CSV'} file {name}"), report
    )


def _symbol_in_name(name: str) -> str | None:
    """A ticker at the start of a file name such as BTCUSDT-1h.csv or VOD.L_daily.csv."""
    stem = _ENDING.sub("", name)
    token = _AFTER_TICKER.split(stem, maxsplit=1)[0]
    if _TICKER.fullmatch(token) and token not in (
        *("DATA", "OHLC", "OHLCV", "CSV", "EXPORT", "BARS", "CANDLES", "PRICES"),
    ):
        return token
    return None


def _placed(
    values: pd.DataFrame,
    times: TimeReading,
    positions: np.ndarray,
    is_second: np.ndarray,
    symbol: str | None,
    choices: CsvChoices,
    report: CsvReport,
) -> Candles:
    """Candles of sorted rows, the positions of which refer to `times`.

    Where a clock may have been set back, both runs through that hour are there (`is_second`).
    """
    stamps, written = times.moments[positions], times.written[positions]
    rows = np.unique(stamps.asi8, return_index=True)[1]
    interval, width_note = _interval(stamps[rows], choices.interval)
    placed = place_bars(
        stamps[rows],
        interval=interval,
        written=written[rows],
        symbol=symbol,
        clock=choices.clock,
        calendar=choices.calendar,
    )
    moments = placed.index
    if is_second.any():
        clock = placed.clock if is_intraday(interval) else None
        values, stamps = on_clock(values, stamps, is_second, clock, report)
        moments = moments if clock is None else to_utc(stamps, clock)
    frame = fill_volume(values)
    frame.index = pd.DatetimeIndex(moments, name="timestamp").as_unit("ns")
    frame = _without_clock_collisions(frame, values.index, report)
    report.interval, report.zone, report.clock = interval, placed.zone, placed.clock
    report.calendar = placed.reason
    report.clocks = placed.clocks
    report.rows_kept = len(frame)
    notes = (width_note, _clock_note(placed, choices.clock, has_offsets=times.utc is not None))
    report.assumptions += [note for note in notes if note]
    return Candles(
        frame,
        interval,
        placed.zone,
        placed.calendar,
        symbol or PurePosixPath(report.file_name).stem,
        "",
    )


def _clock_note(placed: Placement, chosen: str | None, *, has_offsets: bool) -> str:
    """The assumption on the clock of the timestamps; "" where the file or the user decides it."""
    if chosen is None and has_offsets:
        return ""
    if placed.clocks:
        return clock_question(placed.clocks)
    if chosen is None:
        return f"the timestamps have no time zone and are read as {placed.clock}"
    if chosen in (placed.clock, placed.zone):
        return ""
    why = (
        "the timestamps carry their offset from UTC"
        if has_offsets
        else f"dates are whole days of the market ({placed.zone})"
    )
    return f"the chosen clock {chosen} is not needed: {why}"


def _numbers(table: Table, report: CsvReport) -> pd.DataFrame:
    """Prices, volume and amount as float64, indexed by line number."""
    cells = {name: table.cells[name] for name in COLUMNS if name in table.cells}
    values, style = read_numbers(
        cells,
        titles={name: table.columns.title(name) for name in cells},
        lines=table.lines,
        delimiter=table.delimiter,
        scaled=frozenset(cells) - frozenset(PRICES),
    )
    report.number_format = str(style)
    if style.is_assumed:
        report.assumptions.append(f"numbers such as 1,234 are written with {style}")
    frame = pd.DataFrame({name: values[name] for name in cells}, index=pd.Index(table.lines))
    return _known_volumes(frame, report)


def _known_volumes(frame: pd.DataFrame, report: CsvReport) -> pd.DataFrame:
    missing = {name: f"there is no {name}" for name in COLUMNS[4:]}
    for name in COLUMNS[4:]:
        if name not in frame:
            continue
        column = frame[name]
        if (column < 0).any():
            line = column.index[column < 0][0]
            raise InvalidCandles(
                f"Line {line}, column {name}: must be at least 0, found {column[line]:g}."
            )
        if column.isna().all():
            frame = frame.drop(columns=name)
            missing[name] = f"the column {name} is empty"
        elif column.isna().any():
            meaning = "read as 0" if name == "volume" else "estimated from volume and prices"
            report.repair(f"no {name}; {meaning}", column.index[column.isna()].tolist())
    if "volume" not in frame:
        report.assumptions.append(f"{missing['volume']}; the model reads it as 0")
    elif "amount" not in frame:
        report.assumptions.append(f"{missing['amount']}; it is volume times the mean price")
    return frame


def _require_rows(values: pd.DataFrame, report: CsvReport) -> None:
    if len(values) >= MIN_ROWS:
        return
    dropped = "; ".join(str(group) for group in report.dropped)
    raise InvalidCandles(
        f"{report.file_name} has {len(values)} usable rows of {report.rows_read}; at least "
        f"{MIN_ROWS} are needed." + (f" Left out: {dropped}." if dropped else "")
    )


def _times(table: Table, choices: CsvChoices, report: CsvReport, day_zero: str) -> TimeReading:
    times = parse_times(
        table.cells["timestamp"],
        clock_cells=table.cells.get("time of day"),
        column=table.columns.title("timestamp"),
        lines=table.lines,
        day_first=choices.day_first,
        day_zero=day_zero,
    )
    report.time_format = times.description
    report.assumptions += times.assumptions
    return times


def _without_clock_collisions(
    frame: pd.DataFrame, lines: pd.Index, report: CsvReport
) -> pd.DataFrame:
    """Bars without those that a clock change puts on, or before, the bar before them."""
    moments = pd.DatetimeIndex(frame.index).asi8
    ahead = np.append(True, moments[1:] > np.maximum.accumulate(moments)[:-1])
    report.drop("falls into the hour that a clock change repeats", lines[~ahead].tolist())
    return frame[ahead]


def _without_blank_prices(values: pd.DataFrame, report: CsvReport) -> pd.DataFrame:
    """Rows with all four prices; rows without trading are dropped and reported.

    Raises:
        InvalidCandles: A price is negative, or 0 beside prices that are not; names line and
            column.
    """
    prices = values[list(PRICES)].to_numpy()
    blank = np.isnan(prices).any(axis=1)
    report.drop("a price is blank", values.index[blank].tolist())
    all_zero = (prices == 0).all(axis=1)
    report.drop("all prices are 0 (no trading)", values.index[all_zero].tolist())
    bad = (prices <= 0) & ~all_zero[:, None]
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise InvalidCandles(
            f"Line {values.index[row]}, column {PRICES[column]}: prices must be above 0, found "
            f"{prices[row, column]:g}. Series that cross zero (spreads, rates) are not supported."
        )
    return values[~(blank | all_zero)]


def _with_repaired_ranges(values: pd.DataFrame, report: CsvReport) -> pd.DataFrame:
    """Rows whose high and low are widened to open and close where they miss them slightly.

    Vendors that round or adjust prices one by one leave such rows. A miss of more than
    `_MAX_OVERHANG`, or a high below the low, drops the row.

    Raises:
        InvalidCandles: So many rows are broken that the columns must be wrong.
    """
    opens, high, low, close = (values[name].to_numpy() for name in PRICES)
    top, bottom = np.maximum(opens, close), np.minimum(opens, close)
    with np.errstate(over="ignore"):  # a tiny close beside a large one: infinite, so beyond
        overhang = np.maximum(top - high, low - bottom) / close
    is_beyond = (overhang > _MAX_OVERHANG) | (high < low * (1 - _MAX_OVERHANG))
    if is_beyond.sum() > max(3, _MAX_BROKEN_SHARE * len(values)):
        row = int(np.argmax(is_beyond))
        raise InvalidCandles(
            f"Line {values.index[row]}: high {high[row]:g} and low {low[row]:g} do not hold open "
            f"{opens[row]:g} and close {close[row]:g}, and neither do those of "
            f"{int(is_beyond.sum()):,} rows in all. Check which column is which."
        )
    report.drop(
        f"open or close lies more than {_MAX_OVERHANG:.1%} outside high and low",
        values.index[is_beyond].tolist(),
    )
    is_slight = (overhang > 0) & ~is_beyond
    report.repair("high or low widened to hold open and close", values.index[is_slight].tolist())
    repaired = values.assign(high=np.maximum(high, top), low=np.minimum(low, bottom))
    return repaired[~is_beyond]


def _without_wild_prices(values: pd.DataFrame, report: CsvReport) -> pd.DataFrame:
    """Rows without those that have a price far outside those of the rows before and after."""
    is_wild = wild_bars(values)
    if is_wild.any():
        first = values.loc[is_wild, list(PRICES)].iloc[0]
        found = ", ".join(f"{name} {first[name]:g}" for name in PRICES)
        report.drop(
            f"a price is more than {WILD_FACTOR:.0f} times outside those of the bars before and "
            f"after; the first has {found}",
            values.index[is_wild].tolist(),
        )
    return values[~is_wild]


def _interval(index: pd.DatetimeIndex, chosen: str | None) -> tuple[str, str]:
    """Width of a bar, and the assumption behind it ("" if none).

    Args:
        index: Sorted distinct open times, at least two.
        chosen: The user's choice; None to infer it from the rows.

    Raises:
        InvalidCandles: Nothing was chosen and the rows do not show a supported interval, or
            the chosen one is unknown or contradicts the rows.
    """
    if chosen is None:
        return infer_interval(index), ""
    width = int(interval_width(chosen).total_seconds())
    try:
        found = infer_interval(index)
    except InvalidCandles:
        found = None
    if found == chosen:
        return chosen, ""
    steps = _steps(index, width)
    adjacent = int((steps == width).sum())
    is_whole = (steps >= width) & (steps % width == 0)
    if (steps < width).mean() <= _MAX_NARROWER:
        if adjacent >= _MIN_ADJACENT * steps.size and is_whole.mean() >= _MIN_WHOLE:
            return chosen, (
                f"the bars are {chosen} wide, as chosen; only {adjacent:,} of {steps.size:,} "
                "steps are that wide, and the wider ones are taken for missing bars"
            )
        if found is None and width <= np.quantile(steps, 0.05) < 2 * width:
            # Sessions that no whole number of bars fills have steps such as 3 hours 30 minutes.
            return chosen, f"the bars are {chosen} wide, as chosen; their spacing does not show it"
    widths, counts = np.unique(steps, return_counts=True)
    common = ", ".join(
        f"{pd.Timedelta(seconds=int(widths[i]))} ({counts[i]:,} of {steps.size:,})"
        for i in np.argsort(-counts, kind="stable")[:3]
    )
    advice = f"Choose {found} or leave the interval open" if found else "Choose another interval"
    raise InvalidCandles(
        f"The interval {chosen} was chosen, but it does not fit the bars: their most common "
        f"spacings are {common}. {advice}, or resample the data."
    )


def _steps(index: pd.DatetimeIndex, width: int) -> np.ndarray:
    """Seconds from bar to bar; for days and weeks, clock changes (23 or 25 hours) count as 24."""
    steps = np.diff(index.as_unit("s").asi8)
    if width < 86400:
        return steps
    days = np.rint(steps / 86400).astype(np.int64)
    return np.where((days >= 1) & (np.abs(steps - days * 86400) <= 3600), days * 86400, steps)
