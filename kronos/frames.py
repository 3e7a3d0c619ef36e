"""Tables and columns of other libraries as those of pandas."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd

from kronos.errors import InvalidCandles

__all__ = ["Column", "Table", "as_column", "as_frame"]


class _Arrow(Protocol):
    """What polars, pyarrow, DuckDB and others offer to hand their data over."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


Table = pd.DataFrame | _Arrow
"""A table of bars."""
Column = pd.Index | pd.Series | _Arrow
"""A column of one."""


def as_frame(table: Table) -> pd.DataFrame:
    """A table of pandas, polars, Arrow, or any library with Arrow's stream interface.

    Raises:
        InvalidCandles: It is none of these.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if not hasattr(table, "__arrow_c_stream__"):
        raise InvalidCandles(
            "Candles must be a table of pandas, polars or Arrow, found "
            f"{type(table).__name__}. Collect a lazy table first."
        )
    import pyarrow as pa

    try:
        return pd.DataFrame(pa.table(table).to_pandas())
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InvalidCandles(f"The {type(table).__name__} cannot be read: {error}.") from error


def as_column(values: Any) -> Any:
    """A column of another library as one of pandas; anything else as it is."""
    if isinstance(values, pd.Series | pd.Index) or not hasattr(values, "__arrow_c_stream__"):
        return values
    import pyarrow as pa

    try:
        return pa.chunked_array(values).to_pandas()
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InvalidCandles(f"The {type(values).__name__} cannot be read: {error}.") from error
