"""The store of forecasts: adding predictions and reading them back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast
from kronos.store.database import Database, store_url
from kronos.store.integrity import checked, finding_damage
from kronos.store.prediction import (
    Prediction,
    StoredPaths,
    earlier_id,
    paths_row,
    prediction_row,
    read_paths,
)
from kronos.store.schema import (
    TABLES,
    path_evaluations,
    prediction_paths,
    predictions,
    signal_evaluations,
    upgrade,
)

__all__ = ["SaveResult", "Store", "add_rows", "stored_earlier"]

_CHUNK = 200
"""Rows per statement or transaction."""


@dataclass(frozen=True, slots=True)
class SaveResult:
    """Result of storing a forecast.

    Attributes:
        id: The prediction's id.
        is_new: Whether it was stored now; False where the same request was stored before.
    """

    id: str
    is_new: bool


class Store:
    """Predictions and evaluations in one database, for any number of threads and processes.

    Rows are added and never changed. A method that writes returns after the commit.

    Args:
        url: As for `kronos.store.open_store`.
        clock: Returns the present moment, UTC; default: the machine's clock.

    Raises:
        InvalidRequest: The URL names no usable database.
        StoreError: The database cannot be used.
    """

    def __init__(
        self, url: str | None = None, *, clock: Callable[[], pd.Timestamp] | None = None
    ) -> None:
        self.database = Database(store_url(url))
        self.clock = clock or (lambda: pd.Timestamp.now("UTC"))
        upgrade(self.database)

    @property
    def address(self) -> str:
        """Address of the store for printing."""
        return self.database.address

    @checked
    def save(
        self,
        forecast: Forecast,
        candles: Candles,
        *,
        source: str | None = None,
        event_context: Mapping[str, Any] | None = None,
        paths: StoredPaths = "close",
    ) -> SaveResult:
        """Stores a forecast and its members; see `kronos.store.save`."""
        now = self.clock()
        stored = []
        for each in (forecast, *forecast.members):
            row = prediction_row(each, candles, source=source, event_context=event_context, now=now)
            stored.append((row, paths_row(row["id"], each, paths)))

        def work(connection: sa.Connection) -> SaveResult:
            results = []
            for row, paths_of_row in stored:
                (known,) = stored_earlier(connection, [row])
                is_new = known is None and bool(add_rows(connection, predictions, [row]))
                if is_new and paths_of_row is not None:
                    add_rows(connection, prediction_paths, [paths_of_row])
                results.append(SaveResult(known or row["id"], is_new))
            return results[0]

        return self.database.write(work)

    @checked
    def get(self, prediction_id: str) -> Prediction:
        """A prediction by its id, or by the beginning of its id.

        Raises:
            InvalidRequest: No prediction has that id, or more than one.
        """
        if not prediction_id or set(prediction_id) - set("0123456789abcdef"):
            raise InvalidRequest(
                f"The id of a forecast has 64 digits from 0 to f, found {prediction_id!r}."
            )
        whole = len(prediction_id) == 64
        column = predictions.c.id
        wanted = column == prediction_id if whole else column.startswith(prediction_id)
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(predictions).where(wanted).limit(2)).mappings()
            found = [Prediction.of_row(dict(row)) for row in rows]
        if len(found) != 1:
            how_many = "more than one forecast" if found else "no forecast"
            raise InvalidRequest(f"There is {how_many} with the id {prediction_id} in the store.")
        return found[0]

    @checked
    def paths(self, prediction: Prediction) -> dict[str, np.ndarray]:
        """The stored columns of a prediction's paths, each (N, H); empty where none are stored.

        Raises:
            StoreDamaged: The bytes do not have their digest.
        """
        wanted = prediction_paths.c.prediction_id == prediction.id
        with self.database.reading() as connection:
            row = connection.execute(sa.select(prediction_paths).where(wanted)).mappings().first()
        return {} if row is None else read_paths(dict(row), prediction.horizon)

    def predictions(
        self,
        *,
        instrument: str | None = None,
        interval: str | None = None,
        source: str | None = None,
        model: str | None = None,
    ) -> Iterator[Prediction]:
        """Predictions, oldest origin first; given arguments must be equal."""
        given = {
            "instrument": instrument,
            "interval": interval,
            "source": source,
            "model_name": model,
        }
        query = sa.select(predictions).order_by(predictions.c.origin, predictions.c.id)
        for name, value in given.items():
            if value is not None:
                query = query.where(predictions.c[name] == value)
        with finding_damage(self.database), self.database.reading() as connection:
            for row in connection.execute(query.execution_options(yield_per=_CHUNK)).mappings():
                yield Prediction.of_row(dict(row))

    @checked
    def series(self) -> list[tuple[str, str, str]]:
        """(source, instrument, interval) of every series with predictions, sorted."""
        columns = (predictions.c.source, predictions.c.instrument, predictions.c.interval)
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(*columns).distinct().order_by(*columns))
            return [(source, instrument, interval) for source, instrument, interval in rows]

    @checked
    def first_origin(self, *, instrument: str, interval: str, source: str) -> pd.Timestamp:
        """Origin of the oldest prediction of a series, UTC; NaT without one."""
        given = {"instrument": instrument, "interval": interval, "source": source}
        query = sa.select(sa.func.min(predictions.c.origin))
        for name, value in given.items():
            query = query.where(predictions.c[name] == value)
        with self.database.reading() as connection:
            return pd.Timestamp(connection.scalar(query))

    @checked
    def evaluations(self, prediction_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """The newest revision of every evaluated step, one row each, columns as in the table.

        Args:
            prediction_ids: Only these; None for all.
        """
        return self._newest(
            signal_evaluations, ["prediction_id", "step"], prediction_ids=prediction_ids
        )

    @checked
    def path_evaluations(self, prediction_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """The newest energy score of every prediction, where it has one."""
        return self._newest(path_evaluations, ["prediction_id"], prediction_ids=prediction_ids)

    @checked
    def counts(self) -> dict[str, int]:
        """Rows of every table."""
        with self.database.reading() as connection:
            return {
                table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                for table in TABLES
            }

    def close(self) -> None:
        """Closes the idle connections."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _newest(
        self, table: sa.Table, key: list[str], *, prediction_ids: Sequence[str] | None
    ) -> pd.DataFrame:
        query = sa.select(table).order_by(*(table.c[name] for name in [*key, "revision"]))
        rows: list[Any] = []
        with self.database.reading() as connection:
            if prediction_ids is None:
                rows += connection.execute(query).all()
            for start in range(0, len(prediction_ids or ()), _CHUNK):
                some = list(prediction_ids or ())[start : start + _CHUNK]
                rows += connection.execute(query.where(table.c.prediction_id.in_(some))).all()
        frame = pd.DataFrame(rows, columns=table.columns.keys())
        return frame.drop_duplicates(key, keep="last", ignore_index=True)


def stored_earlier(
    connection: sa.Connection, rows: Sequence[Mapping[str, Any]]
) -> list[str | None]:
    """Ids under which an earlier version stored the forecasts of rows; None where it did not."""
    ids = [earlier_id(row) for row in rows]
    wanted = sa.select(predictions.c.id).where(predictions.c.id.in_(ids))
    known = set(connection.execute(wanted).scalars())
    return [each if each in known else None for each in ids]


def add_rows(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[Any, ...]]:
    """Adds the rows whose keys are new.

    Returns:
        The primary keys of the added rows.
    """
    if not rows:
        return []
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    keys = table.primary_key.columns
    # Drivers disagree on the number of added rows, so that their keys are returned.
    statement = insert(table).on_conflict_do_nothing(index_elements=list(keys)).returning(*keys)
    return [tuple(row) for row in connection.execute(statement, [dict(row) for row in rows])]
