"""Where the hub is and where its cache lies, read from the environment at every call.

The official client reads these variables once, when it is imported. A mirror set later, by a
notebook cell or a test, would be ignored without a word; so they are read here and passed on.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from kronos.errors import CheckpointUnavailable

__all__ = ["cache_folder", "client", "endpoint", "is_offline", "token"]

DEFAULT_ENDPOINT = "https://huggingface.co"
_CHUNK_BYTES = 1 << 18
_TRUE = {"1", "ON", "YES", "TRUE"}


def endpoint() -> str:
    """Base address of the hub: HF_ENDPOINT (a mirror) or the public hub, without a final slash.

    Raises:
        CheckpointUnavailable: HF_ENDPOINT is not a web address.
    """
    found = os.environ.get("HF_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
    address = found.rstrip("/")
    try:
        parts = urlsplit(address)
        # Reading the port is what finds it out of range.
        is_web_address = parts.scheme in {"http", "https"} and bool(
            parts.hostname and parts.port != 0
        )
    except ValueError:
        is_web_address = False
    if not is_web_address:
        raise CheckpointUnavailable(
            f"HF_ENDPOINT must be a web address such as {DEFAULT_ENDPOINT}, found {found!r}. "
            "Correct it or unset it."
        )
    return address


def cache_folder() -> Path:
    """The hub's cache: HF_HUB_CACHE, or hub/ below HF_HOME, or the client's default."""
    if explicit := os.environ.get("HF_HUB_CACHE"):
        folder = Path(explicit)
    elif home := os.environ.get("HF_HOME"):
        folder = Path(home) / "hub"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = Path(base) / "huggingface" / "hub"
    return Path(os.path.expandvars(folder)).expanduser()


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids every request."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def token() -> str | bool:
    """The token of HF_TOKEN, or False: send none.

    The published checkpoints are public, and the hub answers 401 to a stale token even for
    public files. So a login stored on this machine is never sent, least of all to a mirror.
    """
    return os.environ.get("HF_TOKEN", "").strip() or False


def client() -> ModuleType:
    """The huggingface_hub package, imported on first use and set up for this project.

    The settings hold for the whole process: no telemetry, and plain HTTP instead of the Xet
    protocol. Xet hides stalls, cannot be stopped at a chunk, and mirrors do not speak it.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    import huggingface_hub
    from huggingface_hub import constants

    # For the case that somebody imported the client before.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.HF_HUB_DISABLE_XET = True
    # The client reports, can be stopped, and resumes at the end of a chunk only. Its 10 MB would
    # be most of a minute on a slow line.
    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK_BYTES
    return huggingface_hub
