"""The table of a run: one line an instrument, numbers that sort, words where there are none."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pages.ui.fan.readouts import sampling_error
from pages.ui.inputs.instruments import Entry
from pages.ui.watchlist.fan import fan_image
from pages.ui.watchlist.request import WatchRequest
from pages.ui.watchlist.rows import Row, RowState, Summary

OPEN = "Open"
STATE_WORDS: dict[RowState, str] = {
    "waiting": "Waiting",
    "fetching": "Fetching bars",
    "forecasting": "Forecasting",
}
STOPPED = "Stopped"


def watch_table(rows: Sequence[Row], request: WatchRequest, *, is_final: bool) -> pd.DataFrame:
    """One line a row, in the order of the request; percentages are numbers of percent.

    Args:
        rows: The lines.
        request: What they were asked with.
        is_final: Whether nothing moves any more: what is not done then was stopped.
    """
    lines = [
        _line(row, entry, request, is_final=is_final)
        for row, entry in zip(rows, request.entries, strict=True)
    ]
    table = pd.DataFrame(lines)
    table["Newest bar"] = pd.to_datetime(table["Newest bar"], utc=True)
    return table


def status_text(row: Row, *, is_final: bool) -> str:
    """What is to say about a line: how far it is, why it failed, or what to know of its bars."""
    if row.state == "failed":
        return f"Failed: {row.problem}"
    if row.summary is None:
        return STOPPED if is_final else STATE_WORDS[row.state]
    stale = (f"Older bars: {row.summary.stale}",) if row.summary.stale else ()
    return " ".join((*stale, *row.summary.notes)) or "Done"


def counts_text(rows: Sequence[Row]) -> str:
    """How many lines are done and how many failed, in words."""
    n_done = sum(row.state == "done" for row in rows)
    n_failed = sum(row.state == "failed" for row in rows)
    failed = f", {n_failed} failed" if n_failed else ""
    return f"{n_done} of {len(rows)} done{failed}"


def _line(row: Row, entry: Entry, request: WatchRequest, *, is_final: bool) -> dict[str, object]:
    summary = row.summary
    has_page = summary is not None and not entry.is_file
    line: dict[str, object] = {
        "Symbol": row.symbol,
        OPEN: OPEN if has_page else "",
        "Fan": None if summary is None else fan_image(summary),
        **_numbers(summary, request.sampling.sample_count),
        "Newest bar": None if summary is None else summary.newest,
        "Status": status_text(row, is_final=is_final),
        "Last close": float("nan") if summary is None else summary.last_close,
        "Name": "" if summary is None else summary.name or summary.symbol,
        "Bars": "" if summary is None else summary.interval,
        "Currency": "" if summary is None else summary.currency,
    }
    return line


def _numbers(summary: Summary | None, n_paths: int) -> dict[str, float]:
    if summary is None:
        names = ("P(up)", "±", "Expected move", "80% low", "80% high")
        return dict.fromkeys(names, float("nan"))
    low, _, high = summary.moves
    return {
        "P(up)": _percent(summary.probability_up),
        "±": _percent(sampling_error(summary.probability_up, n_paths)),
        "Expected move": _percent(summary.expected_move),
        "80% low": _percent(low),
        "80% high": _percent(high),
    }


def _percent(share: float) -> float:
    return round(100.0 * share, 3)
