"""The store of forecasts: predictions as they were made, and their outcomes.

    import kronos.store
    saved = kronos.store.save(forecast, candles)
    kronos.store.open_store().get(saved.id).quantiles

    switch.py      the variable that names the store or switches it off
    database.py    its URL, and transactions
    address.py     what of its URL may be shown
    schema.py      tables and migrations
    prediction.py  a forecast as rows
    store.py       adding and reading rows
    scoring.py     bars compared with predictions
    resolving.py   the series that wait for bars
    listing.py     pages of stored forecasts with their outcomes
    record.py      all scores as one table
    backup.py      copies, CSV and JSON

The store is an SQLite file in the user's data folder, or the database that a URL names. Importing
this package imports no database library; its functions do.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kronos.candles import Candles
    from kronos.forecast import Forecast
    from kronos.store.prediction import StoredPaths
    from kronos.store.store import SaveResult, Store

__all__ = ["open_store", "save"]

_lock = threading.Lock()
_stores: dict[tuple[int, str], Store] = {}


def open_store(url: str | None = None) -> Store:
    """Opens the store, and creates or upgrades it where needed; one object per process and URL.

    Args:
        url: The path of an SQLite file, or a URL such as postgresql://user:password@host/name.
            None takes the environment variable KRONOS_STORE, and where that is not set a file
            in the user's data folder.

    Raises:
        InvalidRequest: The URL names no usable database.
        StoreError: The database cannot be used; the kinds are in `kronos.errors`.
    """
    from kronos.store.database import store_url
    from kronos.store.store import Store

    # Connections must not be shared with the process this one was forked from.
    # A digest: the whole URL may hold a password.
    text = store_url(url).render_as_string(hide_password=False)
    key = (os.getpid(), hashlib.sha256(text.encode()).hexdigest())
    with _lock:
        if key not in _stores:
            _stores[key] = Store(url)
            # Closing folds the log beside an SQLite file back into it.
            atexit.register(_stores[key].close)
        return _stores[key]


def save(
    forecast: Forecast,
    candles: Candles,
    *,
    source: str | None = None,
    event_context: Mapping[str, Any] | None = None,
    paths: StoredPaths = "close",
    url: str | None = None,
) -> SaveResult:
    """Stores a forecast. The same request is stored once: its first row stays unchanged.

    The members of an ensemble are stored with it, under their own names.

    Args:
        forecast: A raw forecast.
        candles: Its candles; bars after the origin are not read.
        source: Name of the source of the candles, from which later bars are fetched; None takes
            `candles.source`.
        event_context: Facts about the event rows of the request. JSON-ready.
        paths: Columns of the paths to store beside the quantiles of the close: "close" suffices
            for exact scores, "all" stores whole candles, "none" leaves approximate scores.
        url: As for `open_store`.

    Raises:
        InvalidRequest: The forecast is not of these candles, or cannot be scored.
        StoreError: The store cannot be used.
    """
    return open_store(url).save(
        forecast, candles, source=source, event_context=event_context, paths=paths
    )
