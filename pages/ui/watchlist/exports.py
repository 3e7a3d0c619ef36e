"""A run as files: a table for a spreadsheet, everything as JSON, the list itself as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from kronos.export import cell_text
from pages.ui.fan.readouts import sampling_error
from pages.ui.frame.text import DISCLAIMER
from pages.ui.watchlist.request import WatchRequest
from pages.ui.watchlist.rows import LEVELS, Row
from pages.ui.watchlist.run import WatchRun
from pages.ui.watchlist.table import status_text


def watch_csv(run: WatchRun) -> bytes:
    """One row a line; shares as fractions, prices in the currency of the bars, times ISO 8601."""
    lines = [_cells(i, run) | _settings(run.request) for i in range(len(run.rows))]
    columns = dict.fromkeys(name for line in sorted(lines, key=len)[::-1] for name in line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    for line in lines:
        guarded = {k: cell_text(v) if isinstance(v, str) else v for k, v in line.items()}
        writer.writerow(guarded)
    return text.getvalue().encode()


def watch_json(run: WatchRun) -> bytes:
    """Every setting and line, with the quantiles of every bar."""
    rows = [_cells(i, run) | _quantiles(row) for i, row in enumerate(run.rows)]
    request = run.request
    facts = {
        "disclaimer": DISCLAIMER,
        **_settings(request),
        "revision": request.revision,
        "parameters": asdict(request.sampling),
        "rows": rows,
    }
    return json.dumps(facts, indent=2, allow_nan=False).encode()


def list_text(symbols: Sequence[str]) -> bytes:
    """The symbols, one a line."""
    return "".join(f"{symbol}\n" for symbol in symbols).encode()


def _settings(request: WatchRequest) -> dict[str, object]:
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
        "fetched_at": summary.fetched_at.isoformat(),
        "forecast_until": summary.timestamps[-1].isoformat(),
        "context_bars": summary.n_context,
        "context_sha256": summary.context_hash,
    }


def _quantiles(row: Row) -> dict[str, object]:
    if row.summary is None:
        return {}
    return {
        "timestamps": [stamp.isoformat() for stamp in row.summary.timestamps],
        "close_quantiles": {
            f"p{level * 100:g}": curve.tolist()
            for level, curve in zip(LEVELS, row.summary.quantiles, strict=True)
        },
    }
