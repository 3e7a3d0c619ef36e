"""Checkpoint files on disk: found, verified against their digest, removed. No request, ever.

The layout is the hub client's own: `models--OWNER--NAME/snapshots/COMMIT/FILE` is a link to
`blobs/DIGEST`, where the digest of a large file is its SHA-256 and that of a small one its git
blob SHA-1. So the digest the hub reported can be checked again years later without the hub.

Hashing the largest checkpoint takes more than a second, so a file that passed is recorded in
`models--OWNER--NAME/.verified/COMMIT.json` with its size, modification time, change time and
inode. Writing to a file or replacing it changes at least one of them, and then it is hashed
again. Only decay of the medium under an untouched file escapes that; `kronos models verify`
always hashes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from kronos.errors import CheckpointCorrupt
from kronos.models.hub.client import cache_folder
from kronos.models.hub.repository import WEIGHTS_NAME, RemoteFile, Repository, is_commit
from kronos.system import atomic_write, read_json

__all__ = [
    "cached_file",
    "cached_folder",
    "check",
    "last_commit",
    "note_commit",
    "problem",
    "remove",
    "sweep",
    "verify",
]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1 = re.compile(r"[0-9a-f]{40}")
_ABANDONED_SECONDS = 3600.0
"""A live download writes at least every half minute; an hour of silence means it was killed."""


def storage(repo: Repository) -> Path:
    """The folder of the cache that belongs to the repository; it need not exist."""
    return cache_folder() / ("models--" + repo.repo_id.replace("/", "--"))


def cached_file(repo: Repository, file: RemoteFile) -> Path | None:
    """Path of a file that is here at the pinned revision, or None. Its bytes are not checked."""
    path = storage(repo) / "snapshots" / repo.revision / file.name
    return path if path.is_file() else None


def cached_folder(repo: Repository) -> Path | None:
    """Folder that holds every file of the repository, or None when one is missing."""
    paths = [cached_file(repo, file) for file in repo.files]
    first = paths[0]
    return first.parent if first is not None and None not in paths else None


def last_commit(repo: Repository) -> str | None:
    """The commit of a branch or tag when the hub was last asked; None where it never was."""
    try:
        found = _reference(repo).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return found if is_commit(found) else None


def note_commit(repo: Repository, commit: str) -> None:
    """Keep the commit of a branch or tag, as the client does; best effort."""
    with contextlib.suppress(OSError):
        path = _reference(repo)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_text(commit, encoding="ascii")


def _reference(repo: Repository) -> Path:
    return storage(repo) / "refs" / repo.revision


def problem(repo: Repository) -> str:
    """What a cheap look finds wrong with a cached repository: sizes only. Empty when nothing."""
    for file in repo.files:
        path = cached_file(repo, file)
        if path is not None and file.size is not None and path.stat().st_size != file.size:
            return (
                f"{repo.repo_id} {file.name} has {path.stat().st_size:,} bytes, "
                f"expected {file.size:,}"
            )
    return ""


def verify(repo: Repository) -> Path:
    """Hash every cached file of the repository; the record of earlier checks is not used.

    Returns:
        The folder that holds the files.

    Raises:
        CheckpointCorrupt: A digest does not match; the file has been removed.
        FileNotFoundError: The repository is not in the cache.
    """
    folder = cached_folder(repo)
    if folder is None:
        raise FileNotFoundError(f"{repo.repo_id} at {repo.revision} is not in {cache_folder()}.")
    for file in repo.files:
        check(repo, file, folder / file.name, trust_record=False)
    return folder


def check(
    repo: Repository,
    file: RemoteFile,
    path: Path,
    *,
    reported: str | None = None,
    trust_record: bool = True,
) -> None:
    """Compare a cached file with its digest, before anybody reads it.

    Args:
        repo: The repository it belongs to.
        file: The file; its own SHA-256, where given, outranks every other digest.
        path: Its path in the cache.
        reported: Digest the hub reported for this download.
        trust_record: Skip the hashing when the file is untouched since it last passed.

    Raises:
        CheckpointCorrupt: The digest does not match, or there is none to compare with. The file
            has been removed, so the next attempt downloads it anew.
    """
    record = _read_record(repo).get(file.name, {})
    expected = _expected_digest(file, path, reported, record)
    stamp = _stamp(path)
    if expected is not None:
        if trust_record and record == {**stamp, "digest": expected}:
            return
        found = _digest(path, expected)
        if found == expected:
            _write_record(repo, file.name, {**stamp, "digest": expected})
            return
        fault = f"its digest is {found}, expected {expected}"
    else:
        fault = "no SHA-256 is known for it"
    _discard(path)
    raise CheckpointCorrupt(
        f"{file.name} of {repo.repo_id} at {repo.revision[:8]} cannot be trusted: {fault}. It was "
        "removed; load the model again to download it anew. If that repeats, the mirror in "
        "HF_ENDPOINT or something on the way alters files."
    )


def remove(*repositories: Repository) -> int:
    """Delete the pinned revisions from the cache; other revisions there stay.

    Returns:
        Bytes freed.
    """
    from huggingface_hub import scan_cache_dir

    folder, freed = cache_folder(), 0
    if folder.is_dir():
        plan = scan_cache_dir(folder).delete_revisions(*(repo.revision for repo in repositories))
        # The client knows which files are kept once for several repositories.
        freed = plan.expected_freed_size
        plan.execute()
    for repo in repositories:
        # A damaged repository is skipped by the client's scan.
        before = _bytes_below(storage(repo))
        shutil.rmtree(storage(repo) / "snapshots" / repo.revision, ignore_errors=True)
        _record_path(repo).unlink(missing_ok=True)
        if not _has_entries(storage(repo) / "snapshots"):
            shutil.rmtree(storage(repo), ignore_errors=True)
        freed += before - _bytes_below(storage(repo))
    return freed


def sweep(repo: Repository) -> None:
    """Remove the files of killed downloads, which the client cannot resume."""
    oldest = time.time() - _ABANDONED_SECONDS
    for path in (storage(repo) / "blobs").glob("*.incomplete"):
        # Another process may finish or sweep the same file at this moment.
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def incomplete_bytes(repo: Repository) -> int:
    """Bytes in unfinished downloads of the repository, by this or any other process."""
    total = 0
    for path in (storage(repo) / "blobs").glob("*.incomplete"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _expected_digest(
    file: RemoteFile, path: Path, reported: str | None, record: dict[str, Any]
) -> str | None:
    """The required digest: ours, or the hub's (reported, in the blob's name, or recorded)."""
    blob = Path(os.readlink(path)).name if path.is_symlink() else None
    for digest in (file.sha256, reported, blob, record.get("digest")):
        if digest and _SHA256.fullmatch(digest):
            return digest
        # The hub reports SHA-1 for small files only; for weights it would be too weak.
        if digest and _GIT_SHA1.fullmatch(digest) and file.name != WEIGHTS_NAME:
            return digest
    return None


def _digest(path: Path, like: str) -> str:
    """SHA-256 of the file, or its git blob SHA-1 when `like` is one."""
    with path.open("rb") as opened:
        if _SHA256.fullmatch(like):
            return hashlib.file_digest(opened, "sha256").hexdigest()
        content = opened.read()
    head = b"blob %d\0" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


def _stamp(path: Path) -> dict[str, int]:
    facts = path.stat()
    return {
        "size": facts.st_size,
        "mtime_ns": facts.st_mtime_ns,
        "ctime_ns": facts.st_ctime_ns,
        "inode": facts.st_ino,
    }


def _record_path(repo: Repository) -> Path:
    return storage(repo) / ".verified" / f"{repo.revision}.json"


def _read_record(repo: Repository) -> dict[str, dict[str, Any]]:
    try:
        record = read_json(_record_path(repo))
    except (OSError, ValueError):
        return {}
    entries = record.items() if isinstance(record, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, dict)}


def _write_record(repo: Repository, name: str, entry: dict[str, Any]) -> None:
    """Best effort: on a read-only cache the file is hashed at every load."""
    path = _record_path(repo)
    text = json.dumps({**_read_record(repo), name: entry}, indent=2)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")


def _discard(path: Path) -> None:
    """Remove a cached file and the blob it leads to, as far as that lies in the cache."""
    root = cache_folder().resolve()
    while True:
        target = path.parent / os.readlink(path) if path.is_symlink() else None
        with contextlib.suppress(OSError):
            path.unlink()
        if target is None or not target.parent.resolve().is_relative_to(root):
            return
        path = target


def _bytes_below(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def _has_entries(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
