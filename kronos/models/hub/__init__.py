"""Checkpoint files from the Hugging Face hub: downloaded once, verified, cached.

The only part of `kronos` that uses the network. The official client does the transfer and
owns the cache layout, so a checkpoint fetched by any other tool is found here, and the other
way round. This package adds what the client does not promise: an answer within seconds when the
hub is unreachable, bytes that match a digest before anybody reads them, progress that can be
cancelled, and errors that say what to do.

    repository.py   what a repository at a pinned revision consists of
    client.py       endpoint, cache folder and token; bounded calls and their errors
    connection.py   where the client may connect to, what it reads, and how it is ended
    cache.py        finding, verifying and removing files on disk; no request ever
    transfer.py     questions and the download
    upload.py       a checkpoint published
"""

from __future__ import annotations

from kronos.models.hub.cache import cached_folder, problem, remove, verify
from kronos.models.hub.client import cache_folder, endpoint
from kronos.models.hub.repository import RemoteFile, Repository
from kronos.models.hub.transfer import Progress, fetch, find
from kronos.models.hub.upload import upload

__all__ = [
    "Progress",
    "RemoteFile",
    "Repository",
    "cache_folder",
    "cached_folder",
    "endpoint",
    "fetch",
    "find",
    "problem",
    "remove",
    "upload",
    "verify",
]
