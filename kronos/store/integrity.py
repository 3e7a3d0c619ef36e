"""Damage of a store, found when an operation fails on what it reads.

A database returns damaged values as they are: text that is no UTF-8, JSON that ends early, a word
in a column of numbers. Whatever fails on such a value, the error of the operation is
`StoreDamaged`; a sound store raises its errors unchanged. The check reads every row and runs only
after a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import sqlalchemy as sa

from kronos.errors import KronosError, StoreDamaged
from kronos.store.database import Database, damaged
from kronos.store.prediction import Prediction, read_paths
from kronos.store.schema import TABLES, prediction_paths, predictions

__all__ = ["checked", "find_damage", "finding_damage"]

Operation = TypeVar("Operation", bound=Callable[..., Any])


class OfDatabase(Protocol):
    """A store."""

    database: Database


def checked(
    operation: Operation,
) -> Operation:
    """Make an operation of a store raise `StoreDamaged` where it fails on damaged rows."""

    @wraps(operation)
    def call(store: OfDatabase, *args: Any, **options: Any) -> Any:
        with finding_damage(store.database):
            return operation(store, *args, **options)

    return cast(Operation, call)


@contextmanager
def finding_damage(database: Database) -> Iterator[None]:
    """Raise `StoreDamaged` in place of an unforeseen error, if the store is damaged."""
    try:
        yield
    except KronosError:
        raise
    except Exception as error:
        found = find_damage(database)
        if found is None:
            raise
        raise damaged(database.address, found) from error


def find_damage(database: Database) -> str | None:
    """What is damaged, in words; None if every row can be read."""
    try:
        for table in TABLES:
            for row in _rows(database, table):
                found = _unreadable(table, row)
                if found is not None:
                    return found
    except StoreDamaged as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 (any error of reading a row is what is looked for)
        return f"{type(error).__name__} while reading its rows: {error}"
    return None


def _rows(database: Database, table: sa.Table) -> Iterator[dict[str, Any]]:
    with database.reading() as connection:
        for row in connection.execute(sa.select(table).execution_options(yield_per=500)).mappings():
            yield dict(row)


def _unreadable(table: sa.Table, row: dict[str, Any]) -> str | None:
    """What is wrong with a row of a table."""
    for column in table.columns:
        value = row[column.name]
        if value is None:
            if not column.nullable:
                return f"a row of {table.name} has no {column.name}"
        elif not isinstance(column.type, sa.JSON) and not isinstance(value, _kinds(column)):
            return f"{column.name} in a row of {table.name} is {type(value).__name__}"
    horizon = 0
    if table is predictions:
        found = Prediction.of_row(row)
        horizon = found.horizon
        shapes = (found.quantiles.shape, found.probability_up.shape, (len(found.timestamps),))
        expected = ((horizon, len(found.levels)), (horizon,), (horizon,))
        numbers = np.concatenate([found.levels, found.quantiles.ravel(), found.probability_up])
        is_sound = shapes == expected and np.issubdtype(numbers.dtype, np.number)
        names = {"T", "top_p", "top_k", "sample_count", "n_context"}
        if (
            not is_sound
            or not isinstance(row["parameters"], dict)
            or names - set(row["parameters"])
        ):
            return f"the forecast {found.id} has values that do not fit together"
    elif table is prediction_paths:
        n_values = len(row["data"]) // 8
        read_paths(row, n_values // max(row["n_paths"] * len(row["columns"]), 1))
    return None


def _kinds(column: sa.Column[Any]) -> tuple[type, ...]:
    """Types of the values of a column."""
    kind = column.type.python_type
    return (int, float) if kind is float else (kind,)
