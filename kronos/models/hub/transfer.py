"""Requests and downloads that never hang, and that the caller can stop at any time.

The caller's thread reports progress, passes a cancellation on, and gives up when nothing moves,
while the client works in another thread (`client.Call`).
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kronos.errors import CheckpointCorrupt, CheckpointUnavailable, InvalidRequest
from kronos.models.hub import cache
from kronos.models.hub.client import (
    TICK_SECONDS,
    Call,
    cache_folder,
    disk_full,
    endpoint,
    is_offline,
    not_a_hub,
    offline,
    retried,
    token,
    unreachable,
)
from kronos.models.hub.repository import (
    CONFIG_NAME,
    RemoteFile,
    Repository,
    is_commit,
    repository,
)

__all__ = ["Progress", "fetch", "find"]

Progress = Callable[[int, int], None]
"""Called as progress(done_bytes, total_bytes) some five times a second, in the caller's thread.
A total of 0 means that it is not known yet. Raising stops the download."""

PROBE_SECONDS = 4.0
"""How long the hub may take to begin an answer."""
ANSWER_SECONDS = 10.0
"""How long a query may take in all, attempts and pauses included."""
STALL_SECONDS = 30.0
"""How long a download may stand still."""
SLOWEST_BYTES = 1 << 16
"""Bytes a second below which a whole download is given up, after the time of one that stalls."""
MOST_UNANNOUNCED = 1 << 30
"""Most bytes of a file whose size nobody names."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPO_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,95}/[0-9A-Za-z][0-9A-Za-z._-]{0,95}")
_REVISION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,95}")
_PLAIN_NAME = re.compile(r"[0-9A-Za-z_-]{6,128}")


@dataclass(slots=True)
class _Flight:
    """One download as its callers see it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class _MissingFile:
    """A missing file, with the digest and size that the hub reports."""

    repo: Repository
    file: RemoteFile
    digest: str
    size: int


class _Stopped(Exception):
    """Ends the client's work inside its thread, once the call is stopped."""


_flights: dict[tuple[Repository, ...], _Flight] = {}
_flights_lock = threading.Lock()


def fetch(repositories: Sequence[Repository], *, progress: Progress | None = None) -> list[Path]:
    """Download repositories that are not in the cache, and verify every file.

    When everything is cached, no request is made. Two threads that want the same repositories
    share one download.

    Args:
        repositories: Repositories at pinned revisions.
        progress: Called while downloading; see `Progress`. Raising stops the download.

    Returns:
        One folder per repository, each holding its files.

    Raises:
        CheckpointUnavailable: Not cached, and the hub cannot be reached or refuses. Raised within
            seconds when the hub cannot be reached.
        CheckpointCorrupt: A file does not match its digest; it has been removed.
    """
    report = progress or (lambda done, total: None)
    key = tuple(repositories)
    if _missing(key):
        with _flights_lock:
            flight = _flights.setdefault(key, _Flight())
        while not flight.lock.acquire(timeout=TICK_SECONDS):
            report(flight.done, flight.total)
        try:
            _download_missing(key, flight, report)
        finally:
            flight.lock.release()
    for repo in key:
        for file in repo.files:
            if path := cache.cached_file(repo, file):
                cache.check(repo, file, path)
    return [_folder(repo) for repo in key]


def find(repo_id: str, revision: str, *, progress: Progress | None = None) -> Repository:
    """A checkpoint repository that this project does not know, at the commit of a revision.

    Where the hub gives no answer, the commit is the one that it last gave for this branch or tag.

    Args:
        repo_id: Owner and name.
        revision: A branch, a tag, or a commit, which needs no request.
        progress: Called while waiting; raising stops.

    Raises:
        InvalidRequest: The name or the revision cannot be one.
        CheckpointUnavailable: The hub cannot be reached and was never asked, or refuses.
    """
    if not _REPO_ID.fullmatch(repo_id):
        raise InvalidRequest(
            f"{repo_id!r:.200} is no repository: give owner and name, such as acme/kronos-crypto."
        )
    if not _REVISION.fullmatch(revision):
        raise InvalidRequest(f"{revision!r:.200} is no branch, tag or commit.")
    if is_commit(revision):
        return repository(repo_id, revision)
    report = progress or (lambda done, total: None)
    named = Repository(repo_id, revision, (RemoteFile(CONFIG_NAME),))
    try:
        if is_offline():
            raise offline(named)
        commit = _metadata(named, CONFIG_NAME, lambda: report(0, 0)).commit_hash or ""
        if not is_commit(commit):
            raise not_a_hub(named, f"with the commit {commit[:40]!r}")
    except CheckpointUnavailable:
        known = cache.last_commit(named)
        if known is None:
            raise
        return repository(repo_id, known)
    cache.note_commit(named, commit)
    return repository(repo_id, commit)


def _missing(repositories: Sequence[Repository]) -> list[tuple[Repository, RemoteFile]]:
    return [
        (repo, file)
        for repo in repositories
        for file in repo.files
        if cache.cached_file(repo, file) is None
    ]


def _folder(repo: Repository) -> Path:
    folder = cache.cached_folder(repo)
    if folder is None:
        raise CheckpointUnavailable(
            f"{repo.repo_id} vanished from {cache_folder()} while it was loaded. Load it again."
        )
    return folder


def _download_missing(
    repositories: Sequence[Repository], flight: _Flight, report: Progress
) -> None:
    missing = _missing(repositories)
    if not missing:  # Another thread downloaded them while this one waited.
        return
    if is_offline():
        raise offline(missing[0][0])
    flight.done, flight.total = 0, 0
    wanted = []
    for repo, file in missing:
        cache.sweep(repo)
        wanted.append(_query(repo, file, lambda: report(0, 0)))
    flight.total = sum(item.size for item in wanted)
    _require_space(wanted[0].repo, flight.total)
    finished = 0
    for item in wanted:
        _download(item, finished, flight, report)
        finished += item.size
        flight.done = finished
        report(flight.done, flight.total)


def _require_space(repo: Repository, needed: int) -> None:
    folder = cache_folder()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise disk_full(repo, needed, free)


def _metadata(repo: Repository, name: str, tick: Callable[[], None]) -> Any:
    """What the hub reports of a file: commit, digest and size, each None where it says nothing.

    Raises:
        CheckpointUnavailable: No answer in time, or a refusal.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    base, credentials = endpoint(), token()
    url = hf_hub_url(repo.repo_id, name, revision=repo.revision, endpoint=base)
    call = Call(
        lambda stop: retried(
            lambda: get_hf_file_metadata(
                url, token=credentials, timeout=PROBE_SECONDS, endpoint=base
            ),
            stop,
        )
    )
    deadline = time.monotonic() + ANSWER_SECONDS

    def look() -> None:
        tick()
        if time.monotonic() > deadline:
            raise unreachable(repo, f"no answer within {ANSWER_SECONDS:.0f} seconds")

    return call.result(look, repo)


def _query(repo: Repository, file: RemoteFile, tick: Callable[[], None]) -> _MissingFile:
    """Digest and size of a file as the hub reports them; refuses answers that are not the hub's.

    Raises:
        CheckpointUnavailable: No answer in time, a refusal, or an answer in another protocol.
        CheckpointCorrupt: The hub offers other bytes than the pinned ones.
    """
    base, facts = endpoint(), _metadata(repo, file.name, tick)
    if facts.commit_hash is None or facts.etag is None:
        raise not_a_hub(repo, "without the headers that name the commit and the digest")
    if facts.commit_hash != repo.revision:
        raise not_a_hub(repo, f"with commit {facts.commit_hash[:40]!r} for {repo.revision}")
    if not _PLAIN_NAME.fullmatch(facts.etag):  # It becomes a file name in the cache.
        raise not_a_hub(repo, f"with the unusable digest {facts.etag[:80]!r}")
    if file.sha256 and _SHA256.fullmatch(facts.etag) and facts.etag != file.sha256:
        raise CheckpointCorrupt(
            f"{base} offers {file.name} of {repo.repo_id} with SHA-256 {facts.etag}, but this "
            f"version is pinned to {file.sha256}. Nothing was downloaded. Unset HF_ENDPOINT, or "
            "update this package."
        )
    if file.size is not None and facts.size not in {None, file.size}:
        raise CheckpointCorrupt(
            f"{base} offers {file.name} of {repo.repo_id} with {facts.size:,} bytes, but this "
            f"version is pinned to {file.size:,}. Nothing was downloaded. Unset HF_ENDPOINT, or "
            "update this package."
        )
    size = facts.size if facts.size is not None else (file.size or 0)
    return _MissingFile(repo, file, digest=facts.etag, size=size)


def _download(item: _MissingFile, finished: int, flight: _Flight, report: Progress) -> None:
    """Downloads one file into the cache and verifies it."""
    from huggingface_hub import hf_hub_download

    from kronos.models.hub.connection import Refused

    base, credentials, folder = endpoint(), token(), cache_folder()
    bar_lock = threading.Lock()
    most = item.size or MOST_UNANNOUNCED

    def transfer(stop: threading.Event) -> str:
        class Bar:
            """Receives the client's reports, and ends its work once the call is stopped."""

            def __init__(self, *_: Any, initial: int = 0, **__: Any) -> None:
                self.update(initial)

            def update(self, n_bytes: int) -> None:
                if stop.is_set():
                    raise _Stopped
                with bar_lock:
                    flight.done += n_bytes
                if flight.done - finished > most:
                    raise Refused(f"with more than the {most:,} bytes of {item.file.name}")

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: object) -> None:
                return None

        def once() -> str:
            flight.done = finished
            return hf_hub_download(
                item.repo.repo_id,
                item.file.name,
                revision=item.repo.revision,
                cache_dir=folder,
                endpoint=base,
                token=credentials,
                etag_timeout=PROBE_SECONDS,
                tqdm_class=Bar,
            )

        return retried(once, stop)

    began = moved = time.monotonic()
    last = (-1, -1)
    most_seconds = STALL_SECONDS + most / SLOWEST_BYTES

    def look() -> None:
        nonlocal moved, last
        # Another process may hold the client's lock and download for both.
        now = (flight.done, cache.incomplete_bytes(item.repo))
        if now != last:
            moved, last = time.monotonic(), now
        elif time.monotonic() - moved > STALL_SECONDS:
            raise unreachable(item.repo, f"the download stood still for {STALL_SECONDS:.0f} s")
        if time.monotonic() - began > most_seconds:
            raise unreachable(
                item.repo, f"the download of {most:,} bytes took more than {most_seconds:,.0f} s"
            )
        report(flight.done, max(flight.total, flight.done) if flight.total else 0)

    path = Path(Call(transfer).result(look, item.repo))
    cache.check(item.repo, item.file, path, reported=item.digest)
