"""The store of forecasts: what was predicted, kept as it was, and what became of it.

    import kronos.store
    saved = kronos.store.save(forecast, candles)
    kronos.store.open_store().get(saved.id).quantiles

It is an SQLite file in the user's data folder, or the database that a URL names. Importing this
package imports no database library; its functions do.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kronos.candles import Candles
    from kronos.forecast import Forecast
    from kronos.store.prediction import KeptPaths
    from kronos.store.store import Saved, Store

__all__ = ["open_store", "save"]

_lock = threading.Lock()
_stores: dict[tuple[int, str], Store] = {}


def open_store(url: str | None = None) -> Store:
    """The store, made or brought up to date where that is needed; one object per process.

    Args:
        url: The path of an SQLite file, or a URL such as postgresql://user:password@host/name.
            None takes the environment variable KRONOS_STORE, and where that is not set a file
            in the user's data folder.

    Raises:
        InvalidRequest: The URL names no database that can be used.
        StoreError: The database cannot be used; the kinds are in `kronos.errors`.
    """
    from kronos.store.database import store_url
    from kronos.store.store import Store

    # Connections must not be shared with the process this one was forked from.
    key = (os.getpid(), store_url(url).render_as_string(hide_password=False))
    with _lock:
        if key not in _stores:
            _stores[key] = Store(url)
            # An SQLite file that is closed is one file again, without a log beside it.
            atexit.register(_stores[key].close)
        return _stores[key]


def save(
    forecast: Forecast,
    candles: Candles,
    *,
    source: str | None = None,
    event_context: Mapping[str, Any] | None = None,
    paths: KeptPaths = "close",
    url: str | None = None,
) -> Saved:
    """Stores a forecast. The same request is stored once: the first row stays as it is.

    The members of an ensemble are stored with it, under their own names.

    Args:
        forecast: What was forecast.
        candles: What it was made of; bars after the origin do no harm.
        source: Name of the source of the candles, by which their later bars can be asked for;
            None takes `candles.source`.
        event_context: What the model was told of events; a part of the request. JSON-ready.
        paths: Which columns of the paths to keep beside the quantiles of the close: "close" is
            what exact scores need, "all" are whole candles, "none" leaves approximate scores.
        url: As for `open_store`.

    Raises:
        InvalidRequest: The forecast is not one of these candles, or cannot be scored.
        StoreError: The store cannot be used.
    """
    return open_store(url).save(
        forecast, candles, source=source, event_context=event_context, paths=paths
    )
