"""Scores of all stored forecasts as one table: a row for each prediction and step with a bar.

All code that learns from the past reads this table. To learn without look-ahead, take the rows
whose `resolved_at` lies before the moment of learning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from kronos.calendars import asset_class
from kronos.evaluation.bands import BandCount
from kronos.evaluation.scores import LEVELS
from kronos.events import Event
from kronos.events.bars import event_days
from kronos.store.database import damaged
from kronos.store.integrity import checked
from kronos.store.schema import path_evaluations, predictions, signal_evaluations
from kronos.store.store import Store

__all__ = ["COLUMNS", "count_bands", "read_quantiles", "read_record", "summarise"]

_FACTS = (
    *("instrument", "source", "interval", "calendar", "zone", "model_name", "model_version"),
    *("origin", "horizon", "seed", "created_at"),
)
_NUMBERS = (
    *("actual_return", "scale", "crps", "pinball", "interval_score", "inside_band", "width"),
    *("pit", "absolute_error", "direction", "log_score"),
)
_OF_STEP = ("step", "revision", "timestamp", *_NUMBERS, "crps_estimator", "ahead", "resolved_at")
_OF_PATH = ("prediction_id", "revision", "qlike")
_SAMPLING = {"T": "T", "top_p": "top_p", "top_k": "top_k", "n_paths": "sample_count"}
_NAMED = {"inside_band": "inside", "model_name": "model", "model_version": "version"}
COLUMNS = (
    *("prediction_id", "instrument", "source", "interval", "asset_class", "calendar", "zone"),
    *("model", "version", "T", "top_p", "top_k", "n_paths", "seed", "origin", "horizon"),
    *("created_at", "step", "timestamp"),
    *("actual_return", "scale", "crps", "crps_estimator", "pinball", "interval_score", "inside"),
    *("width", "pit", "absolute_error", "direction", "ahead", "out_of_sample", "event_day"),
    *("resolved_at", "log_score", "qlike"),
)
"""Columns of the table, in order."""
CutOff = Callable[[str, str], date | None]
"""Name and revision of a model -> first day after its training bars; None where unknown. See
`kronos.models.cut_off`."""
_CHUNK = 500
"""Predictions per statement."""
_KEY = ["model", "interval", "made"]


@checked
def read_record(
    store: Store,
    cut_off: CutOff,
    *,
    instrument: str | None = None,
    interval: str | None = None,
    source: str | None = None,
    model: str | None = None,
    events: Sequence[Event] | None = None,
) -> pd.DataFrame:
    """The newest evaluation of every step with a bar.

    Args:
        store: What to read.
        cut_off: Ends of the training bars of each model; the store knows no model.
        instrument: Only this one; None for all, as with the next three.
        interval: Only this bar width.
        source: Only forecasts of this source's bars.
        model: Only forecasts of this model.
        events: Events that make event days; None takes those of this machine.

    Returns:
        Columns `COLUMNS`, by origin, prediction and step. Scores are in log-returns from the
        origin, as in `kronos.evaluation.scores.StepScores`; `inside` and `direction` are 1, 0 or
        NaN; `scale` is the volatility at the origin times the root of the step, NaN where
        unknown. `ahead`: stored before the bar had ended. `out_of_sample`: the origin lies after
        the training bars of the model; NA where these are unknown. `event_day`: a scheduled
        release falls on the bar's day; NA on days that no table of events covers. `log_score`, and
        `qlike` of the whole path: NaN without paths, and in rows of earlier versions.
        Moments are in UTC.

    Raises:
        StoreError: The store cannot be used.
    """
    given = {
        "instrument": instrument,
        "interval": interval,
        "source": source,
        "model_name": model,
    }
    wanted = [predictions.c[name] == value for name, value in given.items() if value is not None]
    chosen = sa.select(predictions.c.id).where(*wanted)
    steps_of = signal_evaluations.c.prediction_id
    facts = sa.select(
        predictions.c.id.label("prediction_id"),
        *(_plain(predictions.c[name]) for name in _FACTS),
        *(predictions.c.parameters[key].as_float().label(name) for name, key in _SAMPLING.items()),
    )
    steps = sa.select(steps_of, *(_plain(signal_evaluations.c[name]) for name in _OF_STEP))
    # Two reads of one state: a join would spend most of its time on facts repeated in every row.
    with store.database.reading() as connection:
        known = _frame(connection.execute(facts.where(*wanted)))
        table = _frame(connection.execute(steps.where(steps_of.in_(chosen)) if wanted else steps))
        whole = _frame(connection.execute(sa.select(*(path_evaluations.c[n] for n in _OF_PATH))))
    table = table.sort_values(["prediction_id", "step", "revision"], ignore_index=True)
    table = table.drop_duplicates(["prediction_id", "step"], keep="last", ignore_index=True)
    newest = whole.sort_values("revision").drop_duplicates("prediction_id", keep="last")
    of_path = newest.set_index("prediction_id")["qlike"]
    known["qlike"] = known["prediction_id"].map(of_path).astype(float)
    table = _with_facts(table[table["actual_return"].notna()], known, cut_off)
    table = table.sort_values(["origin", "prediction_id", "step"], ignore_index=True)
    for name in ("timestamp", "resolved_at"):
        table[name] = _moments(table[name])
    for name in _NUMBERS:
        table[name] = table[name].astype(float)
    table["ahead"] = table["ahead"].astype(bool)
    table = table.rename(columns=_NAMED)
    table["event_day"] = event_days(table, events)
    return table[list(COLUMNS)]


@checked
def read_quantiles(store: Store, record: pd.DataFrame) -> np.ndarray:
    """The stored quantiles of the rows of a record, in log-returns from the origin.

    Args:
        store: The store of the record.
        record: Some rows of `read_record`, with `prediction_id` and `step`.

    Returns:
        (len(record), L) at `kronos.evaluation.scores.LEVELS`, ascending.

    Raises:
        StoreError: The store cannot be used.
    """
    out = np.full((len(record), len(LEVELS)), np.nan)
    rows_of = record.reset_index(drop=True).groupby("prediction_id", sort=False).indices
    steps = record["step"].to_numpy()
    columns = (predictions.c.id, predictions.c.last_close, _plain(predictions.c.quantiles))
    ids = list(rows_of)
    with store.database.reading() as connection:
        for start in range(0, len(ids), _CHUNK):
            wanted = predictions.c.id.in_(ids[start : start + _CHUNK])
            for name, last_close, text in connection.execute(sa.select(*columns).where(wanted)):
                values = np.array(json.loads(text) if isinstance(text, str) else text)
                if not (0 < last_close < np.inf and (values > 0).all()):
                    found = f"prices of the forecast {name} are not above zero"
                    raise damaged(store.database.address, found)
                rows = rows_of[name]
                out[rows] = np.log(values[steps[rows] - 1] / last_close)
    return out


@checked
def summarise(store: Store) -> pd.DataFrame:
    """Mean scores of every model, by interval and by when the forecast was stored.

    Returns:
        One row for each model, interval and `made` ("ahead" of the outcome or "afterwards"):
        predictions, steps, missing (steps without a bar), crps, interval_score and width over
        the volatility at the origin times the root of the step, coverage of the 80% band, mae of
        the median in log-returns, and direction (share of moves whose sign the median had).
        Steps of predictions without a volatility count in all but the scaled columns.
    """
    columns = ("id", "model_name", "model_version", "interval")
    with store.database.reading() as connection:
        rows = connection.execute(sa.select(*(predictions.c[name] for name in columns))).all()
    facts = pd.DataFrame(rows, columns=list(columns))
    table = store.evaluations().merge(facts, left_on="prediction_id", right_on="id")
    table["model"] = table["model_name"] + " " + table["model_version"].str[:12]
    table["made"] = np.where(table["ahead"].astype(bool), "ahead", "afterwards")
    is_missing = table["outcome"] == "missing"
    numbers = ("crps", "interval_score", "width", "inside_band", "absolute_error", "direction")
    for name in (*numbers, "scale"):
        table[name] = table[name].astype(float)
    for name in numbers[:3]:
        table[name] /= table["scale"]
    grouped = table.assign(known=~is_missing, missing=is_missing).groupby(_KEY, sort=True)
    return pd.DataFrame(
        {
            "predictions": grouped["prediction_id"].nunique(),
            "steps": grouped["known"].sum(),
            "missing": grouped["missing"].sum(),
            "crps": grouped["crps"].mean(),
            "interval_score": grouped["interval_score"].mean(),
            "coverage": grouped["inside_band"].mean(),
            "width": grouped["width"].mean(),
            "mae": grouped["absolute_error"].mean(),
            "direction": grouped["direction"].mean(),
        }
    ).reset_index()


@checked
def count_bands(store: Store) -> list[BandCount]:
    """How often 80% bands held, by model, interval and asset class.

    Counts forecasts of the distribution that a model learned: T = 1, top-p = 1 and top-k = 0.
    The database counts, so that nothing of the size of the record is read.

    Raises:
        StoreError: The store cannot be used.
    """
    newer = signal_evaluations.alias()
    inside = signal_evaluations.c.inside_band
    is_newest = ~sa.exists().where(
        newer.c.prediction_id == signal_evaluations.c.prediction_id,
        newer.c.step == signal_evaluations.c.step,
        newer.c.revision > signal_evaluations.c.revision,
    )
    drawn = predictions.c.parameters
    facts = predictions.c
    keys = (facts.model_name, facts.model_version, facts.interval, facts.calendar, facts.instrument)
    query = (
        sa.select(
            *keys,
            sa.func.count(sa.distinct(facts.id)),
            sa.func.count(),
            sa.func.sum(sa.case((inside, 1), else_=0)),
        )
        .join(signal_evaluations, signal_evaluations.c.prediction_id == facts.id)
        .where(inside.is_not(None), is_newest)
        .where(drawn["T"].as_float() == 1.0, drawn["top_p"].as_float() == 1.0)
        .where(drawn["top_k"].as_integer() == 0)
        .group_by(*keys)
    )
    counts: dict[tuple[str, str, str, str], list[int]] = {}
    with store.database.reading() as connection:
        for name, version, interval, calendar, symbol, *numbers in connection.execute(query):
            kind = (name, version, asset_class(calendar, symbol), interval)
            total = counts.setdefault(kind, [0, 0, 0])
            counts[kind] = [before + int(more) for before, more in zip(total, numbers, strict=True)]
    return [BandCount(*kind, *total) for kind, total in sorted(counts.items())]


def _frame(found: sa.CursorResult[Any]) -> pd.DataFrame:
    # Plain tuples: pandas looks for many missing attributes on every other kind of row.
    return pd.DataFrame([tuple(row) for row in found], columns=list(found.keys()))


def _with_facts(steps: pd.DataFrame, facts: pd.DataFrame, cut_off: CutOff) -> pd.DataFrame:
    """The steps with the facts of their predictions, computed once for each prediction."""
    for name in ("origin", "created_at"):
        facts[name] = _moments(facts[name])
    facts[["top_k", "n_paths"]] = facts[["top_k", "n_paths"]].astype(int)
    facts["asset_class"] = _of_groups(facts, ["calendar", "instrument"], asset_class)
    facts["out_of_sample"] = _out_of_sample(facts, cut_off)
    return steps.merge(facts, on="prediction_id")


def _moments(column: pd.Series) -> pd.Series:
    return pd.to_datetime(column, utc=True, format="ISO8601").dt.as_unit("ns")


def _plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column without conversion, which would take most of the time of a read."""
    if isinstance(column.type, sa.Double | sa.Integer):
        return column
    return sa.type_coerce(column, sa.types.NullType()).label(column.name)


def _out_of_sample(table: pd.DataFrame, cut_off: CutOff) -> pd.Series:
    first_days = _of_groups(table, ["model_name", "model_version"], cut_off)
    known = first_days.notna()
    days = first_days[known].map(lambda day: day.isoformat()).astype(str)
    origins = table.loc[known, "origin"].dt.strftime("%Y-%m-%d")
    out = pd.Series(pd.NA, index=table.index, dtype="boolean")
    out[known] = origins >= days
    return out


def _of_groups(table: pd.DataFrame, keys: list[str], function: Any) -> pd.Series:
    """A function of a few columns, computed once for each combination."""
    pairs = table[keys].drop_duplicates()
    known = {pair: function(*pair) for pair in pairs.itertuples(index=False, name=None)}
    rows = table[keys].itertuples(index=False, name=None)
    return pd.Series([known[row] for row in rows], index=table.index, dtype=object)
