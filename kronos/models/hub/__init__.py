"""Checkpoint files from the Hugging Face hub: downloaded once, verified, kept in its cache.

The only part of `kronos` that uses the network. The official client does the transfer and
owns the cache layout, so a checkpoint fetched by any other tool is found here, and the other
way round. Around it stand the things it does not promise: an answer within seconds when the
hub is unreachable, bytes that match a digest before anybody reads them, progress that can be
cancelled, and errors that say what to do.

    repository.py   what a repository at a pinned revision consists of
    settings.py     endpoint, cache folder, token: read from the environment at every call
    cache.py        finding, verifying and removing files on disk; no request ever
    transfer.py     asking the hub and downloading
    waiting.py      bounded waiting for the network
    explain.py      the client's errors in plain words
"""

from __future__ import annotations

from kronos.models.hub.cache import cached_folder, problem, remove, verify
from kronos.models.hub.repository import RemoteFile, Repository
from kronos.models.hub.settings import cache_folder, endpoint
from kronos.models.hub.transfer import Progress, fetch

__all__ = [
    "Progress",
    "RemoteFile",
    "Repository",
    "cache_folder",
    "cached_folder",
    "endpoint",
    "fetch",
    "problem",
    "remove",
    "verify",
]
