"""A run as a table, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from kronos.export import cell_text
from pages.ui.fan.readouts import sampling_error
from pages.ui.frame.excel import workbook
from pages.ui.frame.text import DISCLAIMER, number_text
from pages.ui.inputs.instruments import Entry
from pages.ui.watchlist.figure import fan_image
from pages.ui.watchlist.work import LEVELS, Row, RowState, Summary, WatchRequest, WatchRun

OPEN = "Open"
STATE_WORDS: dict[RowState, str] = {
    "waiting": "Waiting",
    "fetching": "Fetching bars",
    "forecasting": "Forecasting",
}
STOPPED = "Stopped"
_TIMES = ("newest_bar", "fetched_at", "forecast_until")


def watch_table(
    rows: Sequence[Row], request: WatchRequest, *, is_final: bool, follows: bool = False
) -> pd.DataFrame:
    """One row per line, in the order of the request; shares are in percent.

    Args:
        rows: The lines.
        request: The request of the run.
        is_final: Whether the run has ended: a line that is not done then was stopped.
        follows: Whether the lines are followed: each shows what its last bar changed.
    """
    lines = [
        _line(row, entry, request, is_final=is_final, follows=follows)
        for row, entry in zip(rows, request.entries, strict=True)
    ]
    table = pd.DataFrame(lines)
    for name in ("Origin", "Newest bar", *(("Next bar",) if follows else ())):
        table[name] = pd.to_datetime(table[name], utc=True)
    return table


def status_text(row: Row, *, is_final: bool) -> str:
    """State of a line: its progress, its error, or notes on its bars."""
    if row.state == "failed":
        return f"Failed: {row.problem}"
    if row.summary is None:
        return STOPPED if is_final else STATE_WORDS[row.state]
    if row.problem:
        return f"No newer bars: {row.problem}"
    stale = (f"Older bars: {row.summary.stale}",) if row.summary.stale else ()
    return " ".join((*stale, *row.summary.notes)) or "Done"


def change_cell(row: Row) -> str:
    """What a line that is followed changed at its last bar, in few words."""
    change = row.change
    if change is None:
        return ""
    points = 100.0 * change.p_up.value
    return number_text(
        "P(up) {:+.0f} · median {:+.2%} · width {:+.0%}", points, change.median, change.width
    )


def counts_text(rows: Sequence[Row]) -> str:
    """The counts of done and failed lines in words."""
    n_done = sum(row.state == "done" for row in rows)
    n_failed = sum(row.state == "failed" for row in rows)
    failed = f", {n_failed} failed" if n_failed else ""
    return f"{n_done} of {len(rows)} done{failed}"


def _line(
    row: Row, entry: Entry, request: WatchRequest, *, is_final: bool, follows: bool
) -> dict[str, object]:
    summary = row.summary
    line: dict[str, object] = {
        "Symbol": row.symbol,
        OPEN: OPEN if summary is not None else "",
        "Fan": None if summary is None else fan_image(summary),
        **_numbers(summary, request.sampling.sample_count),
        "Last close": float("nan") if summary is None else summary.last_close,
        "Newest bar": None if summary is None else summary.newest,
        # The columns after it are behind a scroll bar on most screens.
        "Status": status_text(row, is_final=is_final),
        **({"Change": change_cell(row), "Next bar": row.closes} if follows else {}),
        "Bars": "" if summary is None else summary.interval,
        "Origin": None if summary is None else summary.newest,
        "Name": "" if summary is None else summary.name or summary.symbol,
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


def watch_csv(run: WatchRun) -> bytes:
    """One row per line; shares as fractions, prices in the currency of the bars, times ISO 8601."""
    lines = [_cells(i, run) | _setting_cells(run.request) for i in range(len(run.rows))]
    columns = dict.fromkeys(name for line in sorted(lines, key=len)[::-1] for name in line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    for line in lines:
        guarded = {k: cell_text(v) if isinstance(v, str) else v for k, v in line.items()}
        writer.writerow(guarded)
    return text.getvalue().encode()


def watch_workbook(run: WatchRun) -> bytes:
    """The lines and the settings as an Excel workbook; shares as fractions."""
    table = pd.DataFrame([_cells(i, run) for i in range(len(run.rows))])
    for name in _TIMES:
        if name in table:
            # The times of an exchange, of UTC, and with fractions of a second stand side by side.
            table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
    return workbook({"Watchlist": table}, _setting_cells(run.request) | {"note": DISCLAIMER})


def watch_json(run: WatchRun) -> bytes:
    """All settings and lines, with the quantiles of every bar."""
    rows = [_cells(i, run) | _quantile_cells(row) for i, row in enumerate(run.rows)]
    request = run.request
    facts = {
        "disclaimer": DISCLAIMER,
        **_setting_cells(request),
        "revision": request.revision,
        "parameters": asdict(request.sampling),
        "rows": rows,
    }
    return json.dumps(facts, indent=2, allow_nan=False).encode()


def list_text(symbols: Sequence[str]) -> bytes:
    """The symbols, one per line."""
    return "".join(f"{symbol}\n" for symbol in symbols).encode()


def _setting_cells(request: WatchRequest) -> dict[str, object]:
    return {
        "model": request.model,
        "horizon": request.horizon,
        "paths": request.sampling.sample_count,
        "seed": request.sampling.seed,
    }


def _cells(i: int, run: WatchRun) -> dict[str, object]:
    row, entry = run.rows[i], run.request.entries[i]
    summary = row.summary
    cells: dict[str, object] = {
        "symbol": row.symbol,
        "source": "file" if entry.is_file else run.request.source,
        "state": "stopped" if run.is_final and not row.is_final else row.state,
        "status": status_text(row, is_final=run.is_final),
    }
    if summary is None:
        return cells
    low, median, high = summary.quantiles[:, -1].tolist()
    up, n_paths = summary.probability_up, run.request.sampling.sample_count
    return cells | {
        "name": summary.name or summary.symbol,
        "currency": summary.currency,
        "interval": summary.interval,
        "last_close": summary.last_close,
        "probability_up": up,
        "sampling_error": sampling_error(up, n_paths),
        "expected_move": summary.expected_move,
        "p10": low,
        "p50": median,
        "p90": high,
        "newest_bar": summary.newest.isoformat(),
        "fetched_at": summary.fetched_at.isoformat(timespec="seconds"),
        "forecast_until": summary.timestamps[-1].isoformat(),
        "context_bars": summary.n_context,
        "context_sha256": summary.context_hash,
    }


def _quantile_cells(row: Row) -> dict[str, object]:
    if row.summary is None:
        return {}
    return {
        "timestamps": [stamp.isoformat() for stamp in row.summary.timestamps],
        "close_quantiles": {
            f"p{level * 100:g}": curve.tolist()
            for level, curve in zip(LEVELS, row.summary.quantiles, strict=True)
        },
    }
