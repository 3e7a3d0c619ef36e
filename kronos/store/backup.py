"""Copies of a store: a backup as an SQLite file, and exports as CSV and JSON.

A backup holds every row, and is itself a store. CSV has a row for each step, JSON a line for each
prediction.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import sqlalchemy as sa

from kronos.errors import InvalidRequest, StoreDamaged
from kronos.export import cell_text
from kronos.store.integrity import checked
from kronos.store.prediction import Prediction
from kronos.store.schema import TABLES, signal_evaluations
from kronos.store.store import Store, add_rows

__all__ = ["back_up", "export_csv", "export_json_lines", "restore"]

_CHUNK = 500
"""Rows per transaction, predictions per read."""
_FACTS = (
    *("id", "instrument", "source", "interval", "origin", "last_close", "volatility"),
    *("model_name", "model_version", "seed", "created_at"),
)
_SCORES = [
    name
    for name in signal_evaluations.columns.keys()  # noqa: SIM118
    # The columns of the files stay those of the first schema.
    if name not in {"prediction_id", "step", "timestamp", "source", "log_score"}
]
Steps = dict[int, dict[str, Any]]


@checked
def back_up(store: Store, path: str | Path) -> dict[str, int]:
    """Writes every row of one moment; other processes may write meanwhile.

    The file appears only when it is complete.

    Returns:
        Rows of every table.

    Raises:
        InvalidRequest: The file exists already, or cannot be written.
        StoreError: The store cannot be used.
    """
    path = Path(path).expanduser().absolute()
    if path.exists():
        raise InvalidRequest(f"{path} exists already. Name a file that does not.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".backup-") as folder:
            partial = Path(folder) / "backup.sqlite3"
            with Store(str(partial)) as copy:
                _copy(store, copy)
                counts = copy.counts()
            _seal(partial)
            # Unlike a rename, this fails if the file has appeared in the meantime.
            os.link(partial, path)
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be written: {error.strerror}. Choose another file."
        ) from error
    return counts


def restore(store: Store, path: str | Path) -> dict[str, int]:
    """Adds the rows of a backup that the store does not have; its own rows stay unchanged.

    The backup is only read, and may be of an earlier version.

    Returns:
        Rows added to every table.

    Raises:
        InvalidRequest: The file cannot be read.
        StoreDamaged: The file is not a store, or is damaged.
        StoreError: The store cannot be used.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise InvalidRequest(f"{path} cannot be read: there is no such file.")
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "backup.sqlite3"
        try:
            with (
                closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as original,
                closing(sqlite3.connect(copied)) as target,
            ):
                original.backup(target)
                sound = target.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
                names = {row[0] for row in target.execute("SELECT name FROM sqlite_master")}
        except sqlite3.Error as error:
            raise StoreDamaged(
                f"{path} is no backup that can be read: {error}. Name another one, and see that "
                f"{folder} has space for a copy."
            ) from error
        if not sound or TABLES[0].name not in names:
            raise StoreDamaged(f"{path} is damaged, or no backup of a store of forecasts.")
        with Store(str(copied)) as backup:
            return _copy(backup, store)


@checked
def export_csv(store: Store, out: TextIO, **chosen: str | None) -> int:
    """Writes one row for every step of every prediction: facts, quantiles and newest scores.

    Args:
        store: The store.
        out: Opened with newline="".
        chosen: As for `Store.predictions`.

    Returns:
        Number of predictions.
    """
    writer: csv.DictWriter[str] | None = None
    n_predictions = 0
    for prediction, steps, _ in _all(store, chosen):
        for row in _csv_rows(prediction, steps):
            if writer is None:
                writer = csv.DictWriter(out, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow({name: _cell(value) for name, value in row.items()})
        n_predictions += 1
    return n_predictions


@checked
def export_json_lines(store: Store, out: TextIO, **chosen: str | None) -> int:
    """Writes one JSON object a line for every prediction, with its newest evaluations.

    Args:
        store: The store.
        out: A text file.
        chosen: As for `Store.predictions`.

    Returns:
        Number of predictions.
    """
    n_predictions = 0
    for prediction, steps, energy in _all(store, chosen):
        facts = asdict(prediction) | {
            "timestamps": list(prediction.timestamps),
            "energy_score": energy,
            "evaluations": [steps[step] for step in sorted(steps)],
        }
        json.dump(_plain(facts), out, allow_nan=False)
        out.write("\n")
        n_predictions += 1
    return n_predictions


def _copy(source: Store, target: Store) -> dict[str, int]:
    """Adds the rows of one store to another, and counts the new ones."""
    added = dict.fromkeys((table.name for table in TABLES), 0)
    with source.database.reading() as connection:
        for table in TABLES:
            query = sa.select(table).order_by(*table.primary_key.columns)
            rows = connection.execute(query.execution_options(yield_per=_CHUNK)).mappings()
            for some in rows.partitions():
                fresh = [dict(row) for row in some]

                def work(
                    writing: sa.Connection,
                    table: sa.Table = table,
                    fresh: list[dict[str, object]] = fresh,
                ) -> int:
                    return len(add_rows(writing, table, fresh))

                added[table.name] += target.database.write(work)
    return added


def _seal(path: Path) -> None:
    """Makes a closed store one file, flushed to the disk."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with path.open("rb+") as opened:
        os.fsync(opened.fileno())


def _all(
    store: Store, chosen: dict[str, str | None]
) -> Iterator[tuple[Prediction, Steps, float | None]]:
    """Every prediction with its evaluated steps and the energy score of its paths."""
    each: Iterable[Prediction] = iter(store.predictions(**chosen))
    while chunk := list(islice(each, _CHUNK)):
        ids = [prediction.id for prediction in chunk]
        steps: dict[str, Steps] = {}
        for row in store.evaluations(ids).to_dict("records"):
            steps.setdefault(row["prediction_id"], {})[row["step"]] = {
                str(name): value
                for name, value in row.items()
                # Rows of the first schema are exported as they were.
                if name != "prediction_id" and not (name == "log_score" and pd.isna(value))
            }
        energy = store.path_evaluations(ids).set_index("prediction_id")["energy_score"].to_dict()
        for prediction in chunk:
            yield prediction, steps.get(prediction.id, {}), energy.get(prediction.id)


def _csv_rows(prediction: Prediction, steps: Steps) -> Iterator[dict[str, Any]]:
    facts = {name: getattr(prediction, name) for name in _FACTS}
    names = [f"p{100 * level:g}" for level in prediction.levels]
    for i, stamp in enumerate(prediction.timestamps):
        scores = steps.get(i + 1, {})
        yield (
            facts
            | {"step": i + 1, "timestamp": stamp}
            | dict(zip(names, prediction.quantiles[i].tolist(), strict=True))
            | {"probability_up": prediction.probability_up[i]}
            | {name: scores.get(name) for name in _SCORES}
        )


def _cell(value: Any) -> Any:
    plain = _plain(value)
    if isinstance(plain, str):
        return cell_text(plain)
    return "" if plain is None else plain


def _plain(value: Any) -> Any:
    """A value for JSON: times in ISO 8601, None for NaN and NaT."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value
