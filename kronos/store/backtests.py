"""Storing forecasts together with what became of them, many in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kronos.candles import Candles
from kronos.forecast import Forecast
from kronos.store.outcomes import KnownBars, find_news
from kronos.store.paths import KeptPaths, paths_row
from kronos.store.prediction import Prediction, prediction_row
from kronos.store.schema import path_evaluations, prediction_paths, predictions, signal_evaluations
from kronos.store.scoring import evaluate
from kronos.store.store import Store, add_rows

__all__ = ["Backtest", "save_backtests"]


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """A forecast from an origin in the past.

    Attributes:
        forecast: What was forecast.
        known: The bars up to the origin; 500 of them are enough.
        source: Name of the source of the bars.
        bars: All bars, to score with.
    """

    forecast: Forecast
    known: Candles
    source: str
    bars: KnownBars


def save_backtests(
    store: Store, backtests: Sequence[Backtest], *, paths: KeptPaths = "none"
) -> int:
    """Stores forecasts and the scores of their steps; all of them, or none if it fails.

    Scores are those of the paths, whether these are kept or not. What is there already stays.

    Args:
        store: Where to.
        backtests: The forecasts.
        paths: As for `kronos.store.save`.

    Returns:
        How many of the forecasts were not there before.

    Raises:
        InvalidRequest: As for `kronos.store.save`.
        StoreError: The store cannot be used.
    """
    now = store.clock()
    rows: list[dict[str, Any]] = []
    kept: dict[str, dict[str, Any]] = {}
    steps: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    for backtest in backtests:
        row = prediction_row(
            backtest.forecast, backtest.known, source=backtest.source, event_context=None, now=now
        )
        rows.append(row)
        if (stored := paths_row(row["id"], backtest.forecast, paths)) is not None:
            kept[row["id"]] = stored
        prediction = Prediction.of_row(row)
        news = find_news(prediction, backtest.bars, {})
        if news is not None and news.rows:
            found = evaluate(prediction, news, backtest.forecast.log_returns(), {}, None)
            steps += [step | {"recorded_at": now.to_pydatetime()} for step in found.steps]
            whole += [path | {"recorded_at": now.to_pydatetime()} for path in found.paths]

    def work(connection: sa.Connection) -> int:
        added = {key for (key,) in add_rows(connection, predictions, rows)}
        add_rows(connection, prediction_paths, [kept[key] for key in added if key in kept])
        for table, fresh in ((signal_evaluations, steps), (path_evaluations, whole)):
            # What was scored before may have been corrected since: its scores are not touched.
            add_rows(connection, table, [r for r in fresh if r["prediction_id"] in added])
        return len(added)

    return store.database.write(work)
