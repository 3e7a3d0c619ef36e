"""API keys: a file of names, limits and hashes. The key itself is shown once and not stored.

A key is 32 random bytes, so that its plain SHA-256 cannot be searched.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from kronos.errors import InvalidRequest, StoreUnavailable
from kronos.system import atomic_write, read_json, user_data

__all__ = ["DEFAULT_LIMIT", "ApiKey", "Keys", "is_loopback", "keys_file", "require_key"]

DEFAULT_LIMIT = "600/minute"
_LIMIT = re.compile(r"([1-9]\d{0,6})/(second|minute|hour|day)")
_NAME = re.compile(r"[\w.@ -]{1,64}")
_MARK = "kf_"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key.

    Attributes:
        name: Who uses it.
        sha256: Of the key.
        limit: Requests in a time, such as "600/minute".
        created: Moment, ISO 8601.
    """

    name: str
    sha256: str
    limit: str
    created: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidRequest(
                "The name of a key has 1 to 64 letters, digits, spaces and .@-_, found "
                f"{self.name[:70]!r}."
            )
        if not _LIMIT.fullmatch(self.limit):
            raise InvalidRequest(
                f"A limit is a number of requests in a time, such as {DEFAULT_LIMIT} or 5/second, "
                f"found {self.limit[:40]!r}."
            )


def keys_file() -> Path:
    """Where the keys of this user's servers are stored."""
    return user_data("api-keys.json")


class Keys:
    """The keys in a file; a running server reads a changed file within its next request.

    Args:
        path: The file; default: that of the user.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or keys_file()
        self._lock = threading.Lock()
        self._read: tuple[int, int] | None = None
        self._known: dict[str, ApiKey] = {}

    def add(self, name: str, limit: str = DEFAULT_LIMIT) -> str:
        """Make a key; the text that is returned can not be had again.

        Raises:
            InvalidRequest: The name is taken, or name or limit cannot be used.
            StoreUnavailable: The file cannot be read or written.
        """
        key = _MARK + secrets.token_urlsafe(32)
        created = pd.Timestamp.now("UTC").floor("s").isoformat()
        made = ApiKey(name, _digest(key), limit, created)

        def change(known: list[ApiKey]) -> list[ApiKey]:
            if any(each.name == name for each in known):
                raise InvalidRequest(f"There is a key named {name!r}. Remove it first.")
            return [*known, made]

        self._change(change)
        return key

    def remove(self, name: str) -> None:
        """Forget a key: requests with it are refused from now on.

        Raises:
            InvalidRequest: There is no key of that name.
            StoreUnavailable: The file cannot be read or written.
        """

        def change(known: list[ApiKey]) -> list[ApiKey]:
            left = [each for each in known if each.name != name]
            if len(left) == len(known):
                raise InvalidRequest(f"There is no key named {name[:70]!r}.")
            return left

        self._change(change)

    def all(self) -> tuple[ApiKey, ...]:
        """The keys, the oldest first.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        with self._lock:
            try:
                facts = self._path.stat()
            except FileNotFoundError:
                self._read, self._known = None, {}
                return ()
            except OSError as error:
                raise self._unreadable(error) from error
            if self._read != (facts.st_mtime_ns, facts.st_size):
                self._known = {each.sha256: each for each in self._load()}
                self._read = (facts.st_mtime_ns, facts.st_size)
            return tuple(self._known.values())

    def find(self, key: str) -> ApiKey | None:
        """What is stored of a key; None for one that is unknown."""
        digest = _digest(key)
        return next((each for each in self.all() if hmac.compare_digest(each.sha256, digest)), None)

    def _change(self, change: Callable[[list[ApiKey]], list[ApiKey]]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock", timeout=10):
                known = self._load() if self._path.exists() else []
                rows = [asdict(each) for each in change(known)]
                with atomic_write(self._path) as partial:
                    partial.touch(mode=0o600)
                    partial.write_text(json.dumps(rows, indent=1) + "\n")
        except (OSError, TimeoutError) as error:
            raise StoreUnavailable(
                f"The API keys in {self._path} cannot be changed: {error}. Make the folder "
                "writable for this user."
            ) from error

    def _load(self) -> list[ApiKey]:
        try:
            rows: Any = read_json(self._path)
            return [ApiKey(**row) for row in rows]
        except (OSError, ValueError, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"The API keys in {self._path} cannot be read: {error}. Mend the file, or delete it "
            "and make new keys with kronos keys add."
        )


def require_key(host: str, keys: Keys) -> None:
    """Refuse to serve on an address of other machines while there is no key.

    Raises:
        InvalidRequest: There is none.
    """
    if not is_loopback(host) and not keys.all():
        raise InvalidRequest(
            f"{host} is reached from other machines, and there is no key yet. Make one first: "
            "kronos keys add NAME."
        )


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, is of this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()
