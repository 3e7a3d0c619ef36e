"""What the reader understood of a file, so that the user can check it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ColumnReading", "CsvReport", "RowGroup", "clock_question"]

_SHOWN = 5
_MOST_CLOCKS = 6


def clock_question(clocks: tuple[str, ...]) -> str:
    """The assumption on the clock of a file that several clocks explain.

    Args:
        clocks: See `CsvReport.clocks`.
    """
    others = ", ".join(clocks[1 : 1 + _MOST_CLOCKS])
    n_more = len(clocks) - 1 - _MOST_CLOCKS
    more = f" and {n_more} more" if n_more > 0 else ""
    return (
        f"the timestamps have no time zone and are read as {clocks[0]}, but the bars fit these "
        f"clocks as well: {others}{more}. Choose the clock of the file"
    )


@dataclass(frozen=True, slots=True)
class ColumnReading:
    """One column of the file.

    Attributes:
        name: As the file spells it ("column 3" where it has no name).
        meaning: timestamp, date, time of day, open, ..., symbol; None if it was ignored.
        why: Why it was ignored or how it was read; empty when that is plain.
    """

    name: str
    meaning: str | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows to which the same thing happened.

    Attributes:
        reason: What happened.
        count: How many rows.
        rows: Line numbers in the file of the first few; line 1 is the first.
    """

    reason: str
    count: int
    rows: tuple[int, ...]

    @classmethod
    def of(cls, reason: str, lines: list[int]) -> RowGroup:
        return cls(reason, len(lines), tuple(lines[:_SHOWN]))

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.rows) else ""
        word = "row" if self.count == 1 else "rows"
        where = f" (line {', '.join(map(str, self.rows))}{more})" if self.rows else ""
        return f"{self.count:,} {word}: {self.reason}{where}"


@dataclass(slots=True)
class CsvReport:
    """Everything the reader decided, in the order it decided it.

    Attributes:
        file_name: As uploaded.
        encoding: How bytes became text, such as "UTF-8 with byte order mark"; or the format.
        delimiter: comma, semicolon, tab or pipe; "" for a format that is no text.
        header_line: Line number of the header; 0 where there is none.
        columns: Every column, in file order.
        time_format: How timestamps are written.
        number_format: Decimal and thousands signs.
        clock: Clock the timestamps were read on.
        clocks: Clocks that the bars do not tell apart, `clock` first; empty where the file or the
            user decides.
        zone: IANA name of the exchange's clock.
        calendar: Calendar and the reason for it, as one sentence.
        interval: Width of a bar.
        rows_read: Data rows in the file.
        rows_kept: Bars read from them.
        dropped: Rows left out, with reasons.
        repaired: Rows changed, with reasons.
        assumptions: What the file leaves open and how it was decided.
    """

    file_name: str
    encoding: str = ""
    delimiter: str = ""
    header_line: int = 0
    columns: list[ColumnReading] = field(default_factory=list)
    time_format: str = ""
    number_format: str = ""
    clock: str = ""
    clocks: tuple[str, ...] = ()
    zone: str = ""
    calendar: str = ""
    interval: str = ""
    rows_read: int = 0
    rows_kept: int = 0
    dropped: list[RowGroup] = field(default_factory=list)
    repaired: list[RowGroup] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    @property
    def ignored_columns(self) -> list[str]:
        return [column.name for column in self.columns if column.meaning is None]

    def drop(self, reason: str, lines: list[int]) -> None:
        """Record rows left out, if there are any."""
        if lines:
            self.dropped.append(RowGroup.of(reason, lines))

    def repair(self, reason: str, lines: list[int]) -> None:
        """Record rows changed, if there are any."""
        if lines:
            self.repaired.append(RowGroup.of(reason, lines))

    def lines(self) -> list[str]:
        """The report as plain sentences, most important first."""
        used = ", ".join(f"{c.name} = {c.meaning}" for c in self.columns if c.meaning)
        of_file = ", ".join(filter(None, (self.encoding, self.delimiter)))
        text = [
            f"{self.rows_kept:,} of {self.rows_read:,} rows kept, interval {self.interval}.",
            f"Columns: {used}.",
            f"Timestamps: {self.time_format}, time zone: {self.clock}.",
            self.calendar,
            f"File: {of_file}; numbers with {self.number_format}.",
        ]
        ignored = self.ignored_columns
        if ignored:
            text.append(f"Ignored columns: {', '.join(ignored)}.")
        text += [f"Assumed: {assumption}" for assumption in self.assumptions]
        text += [f"Dropped {group}." for group in self.dropped]
        text += [f"Changed {group}." for group in self.repaired]
        return text
