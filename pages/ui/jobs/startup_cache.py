"""A cache of the opening forecast on this machine, so that the next start need not compute it.

The entry's name is the key of its request, which names data, weights and settings, below the digest
of the code that made it: an entry of another version of the code is never shown.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from kronos.errors import InvalidRequest
from kronos.system import sha256_of, user_cache

if TYPE_CHECKING:
    from kronos.serving.service import ForecastService

logger = logging.getLogger(__name__)
_SUFFIX = ".safetensors"
_LIBRARY = Path(str(files("kronos")))


def folder() -> Path:
    """The folder of this version's entries, in the user's cache: it may be deleted at any time."""
    return user_cache("forecasts", _code()[:16])


def is_filled() -> bool:
    """Whether there is an entry; imports nothing heavy."""
    return bool(_entries())


def _entries() -> list[Path]:
    try:
        return list(folder().glob(f"*{_SUFFIX}"))
    except OSError:  # a folder that may not be read
        return []


def put(key: str, service: ForecastService) -> None:
    """Make a finished forecast the only entry; log where that fails."""
    from kronos.export import save_forecast

    status = service.status(key)
    if status is None or status.state != "done":
        return
    try:
        folder().mkdir(parents=True, exist_ok=True)
        save_forecast(status.result, folder() / f"{key}{_SUFFIX}")
        for other in folder().parent.glob(f"*/*{_SUFFIX}"):
            if other != folder() / f"{key}{_SUFFIX}":
                other.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("The opening forecast is not cached for the next start: %s", error)


def offer_cached(service: ForecastService) -> None:
    """Offer the entries to the service as answers."""
    from kronos.export import load_forecast

    for path in _entries():
        if service.status(path.stem) is not None:  # an earlier caller has read it
            continue
        try:
            service.offer(path.stem, load_forecast(path))
        except InvalidRequest as error:
            logger.warning("A cached forecast is left out: %s", error)


@cache
def _code() -> str:
    """Digest of all that makes a forecast: the library's source and the versions it runs with."""
    digest = hashlib.sha256(f"{version('torch')} {version('numpy')}\n".encode())
    for file in sorted(_LIBRARY.rglob("*.py")):
        digest.update(f"{file.relative_to(_LIBRARY)} {sha256_of(file)}\n".encode())
    return digest.hexdigest()
