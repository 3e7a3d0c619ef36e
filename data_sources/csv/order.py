"""Rows in time order, one for each time, and the hour that a clock repeats when it is set back.

A file of local times has that hour twice: 01:00, 01:30, 01:00, 01:30. Whether the second run is
another hour or a copy of the first depends on the clock of the file, which follows from the rows.
So both runs stay until the clock is known, and `on_clock` decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_sources.csv.report import CsvReport
from kronos.calendars.clocks import COMMON_CLOCKS, repeats

__all__ = ["in_order", "on_clock"]

_HOUR = 3_600_000_000  # microseconds
_UNSORTED = "not in time order; sorted"


def in_order(
    values: pd.DataFrame, stamps: pd.DatetimeIndex, report: CsvReport, *, clock: str | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows in time order, one for each time: of several, the one written last.

    In a file that runs backwards the line further up is the one written last.

    Args:
        values: Indexed by line number.
        stamps: (T,) time of each row; naive where the clock is unknown.
        report: Takes the rows that are dropped or moved.
        clock: Clock of the file, if the user says it.

    Returns:
        The rows, and the lines of those that run through an hour a second time where a clock may
        have been set back; they follow those of the first run.
    """
    clocks = COMMON_CLOCKS if clock is None else (clock, *COMMON_CLOCKS)
    second = _second_runs(values, stamps, clocks)
    moments = _moments(stamps, second)
    if not (np.diff(moments) >= 0).all():
        backwards = _second_runs(values[::-1], stamps[::-1], clocks)[::-1]
        turned = _moments(stamps, backwards)
        if (np.diff(turned) <= 0).all():
            report.assumptions.append("rows stand newest first and were turned round")
            used = len(values) - 1 - _used(values[::-1], turned[::-1], report)
            return values.iloc[used], values.index.to_numpy()[backwards]
    return values.iloc[_used(values, moments, report)], values.index.to_numpy()[second]


def on_clock(
    values: pd.DataFrame,
    stamps: pd.DatetimeIndex,
    second: np.ndarray,
    clock: str | None,
    report: CsvReport,
) -> tuple[pd.DataFrame, pd.DatetimeIndex]:
    """Rows with both runs through the hours that a clock repeats, and one for any other time.

    Args:
        values: Rows as `in_order` leaves them, indexed by line number.
        stamps: (T,) their naive times.
        second: (T,) whether they belong to a second run.
        clock: Clock of the file; None for dates, of which none is there twice.
        report: Takes the rows that are dropped, moved, or kept twice.

    Returns:
        The rows and their naive times, in the order of time.
    """
    second = second & repeats(stamps, clock) if clock else np.zeros(len(stamps), bool)
    if second.any():
        report.assumptions.append(
            f"the clock {clock} is set back within these bars: the hour that it repeats is there "
            f"twice, and both are kept (again from line {values.index[second].min()})"
        )
    used = _used(values, _moments(stamps, second), report)
    return values.iloc[used], stamps[used]


def _used(values: pd.DataFrame, moments: np.ndarray, report: CsvReport) -> np.ndarray:
    """Positions of the rows that are used, in the order of `moments`, (T,) int64."""
    lines = values.index.to_numpy()
    report.repair(_UNSORTED, np.sort(lines[moments < np.maximum.accumulate(moments)]).tolist())
    order = np.argsort(moments, kind="stable")
    is_last = np.append(np.diff(moments[order]) != 0, True)
    used, lost = order[is_last], order[~is_last]
    if lost.size:
        group = np.cumsum(is_last) - is_last
        winners = used[group[~is_last]]
        numbers = values.to_numpy(float)
        same = np.isclose(numbers[lost], numbers[winners], 1e-9, atol=0.0, equal_nan=True)
        same = same.all(axis=1)
        report.drop("the same bar again", np.sort(lines[lost[same]]).tolist())
        report.drop(
            "the same time as another row with other values; the one written last was kept",
            np.sort(lines[lost[~same]]).tolist(),
        )
    return used


def _second_runs(
    values: pd.DataFrame, stamps: pd.DatetimeIndex, clocks: Sequence[str]
) -> np.ndarray:
    """Rows that run through an hour again, in one that some clock repeats: (T,) bool.

    A run whose rows are all equal to those before is a copy.
    """
    second = np.zeros(len(stamps), bool)
    if stamps.tz is not None:
        return second
    hours = stamps.floor("h")
    micros = stamps.as_unit("us").asi8
    is_new = np.append(True, np.diff(hours.asi8) != 0)
    stretch = np.cumsum(is_new) - 1
    n_back = np.cumsum(np.append(False, np.diff(micros) <= 0) & ~is_new)
    second = n_back > n_back[np.flatnonzero(is_new)][stretch]
    candidates = pd.DatetimeIndex(hours[second].unique())
    if not len(candidates):
        return second
    repeated = np.logical_or.reduce([repeats(candidates, clock) for clock in clocks])
    second &= hours.isin(candidates[repeated])
    numbers = values.to_numpy(float)
    for number in np.unique(stretch[second]):
        rows = np.flatnonzero(stretch == number)
        again = rows[second[rows]]
        first = {micros[row]: row for row in rows[~second[rows]]}
        if all(
            micros[row] in first
            and np.allclose(numbers[row], numbers[first[micros[row]]], 1e-9, 0.0, equal_nan=True)
            for row in again
        ):
            second[again] = False
    return second


def _moments(stamps: pd.DatetimeIndex, second: np.ndarray) -> np.ndarray:
    """(T,) int64 that grow as time does, the second run through an hour after the first."""
    micros = stamps.as_unit("us").asi8
    return (micros // _HOUR * 2 + second) * _HOUR + micros % _HOUR
