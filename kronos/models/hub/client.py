"""Talking to the hub: settings, calls bounded in time, and errors that say what to do.

The official client reads its environment variables once, when it is imported. A mirror set later,
by a notebook cell or a test, would be ignored without a word; so they are read here at every call
and passed on.

A call runs in a thread of its own, so that the thread that wants the result is never stuck in it.
That bounds what the client's own timeouts do not: name resolution, waiting for the lock of another
process, pauses between its retries.
"""

from __future__ import annotations

import base64
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from kronos.errors import CheckpointUnavailable
from kronos.models.hub.repository import Repository
from kronos.system import connection_text

__all__ = [
    "TICK_SECONDS",
    "Call",
    "authorization",
    "cache_folder",
    "disk_full",
    "endpoint",
    "is_offline",
    "not_a_hub",
    "offline",
    "retried",
    "token",
    "unreachable",
]

DEFAULT_ENDPOINT = "https://huggingface.co"
TICK_SECONDS = 0.2
"""How often a waiting thread looks after its call."""
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
"""A longer Retry-After counts as a refusal."""
_TRUE = {"1", "ON", "YES", "TRUE"}
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the client raises on an answer of another form than it expects."""
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

T = TypeVar("T")


def endpoint() -> str:
    """Base address of the hub: HF_ENDPOINT (a mirror) or the public hub, without a final slash.

    A user and password in HF_ENDPOINT are left out: the address is shown and logged. The mirror
    gets them in a header (`authorization`).

    Raises:
        CheckpointUnavailable: HF_ENDPOINT is not a web address.
    """
    parts = _endpoint_parts()
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")


def authorization() -> str:
    """Header with the user and password of HF_ENDPOINT, for the mirror alone; empty without."""
    parts = _endpoint_parts()
    if parts.username is None and parts.password is None:
        return ""
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _endpoint_parts() -> SplitResult:
    found = os.environ.get("HF_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
    try:
        parts = urlsplit(found.rstrip("/"))
        # Reading the port is what finds it out of range.
        is_web_address = parts.scheme in {"http", "https"} and bool(
            parts.hostname and parts.port != 0
        )
        # An @ behind the host is one of a password that is not percent-encoded.
        rest = f"{parts.path}{parts.query}{parts.fragment}"
        is_web_address = is_web_address and "@" not in rest and not parts.query
    except ValueError:
        is_web_address = False
    if not is_web_address:
        # What stands before the last @ may be a password.
        shown = "...@" + found.rpartition("@")[2] if "@" in found else found
        shown = shown.partition("?")[0][:100]
        raise CheckpointUnavailable(
            f"HF_ENDPOINT must be a web address such as {DEFAULT_ENDPOINT}, found {shown!r}. "
            "Percent-encode special characters of a password; correct it or unset it."
        ) from None
    return parts


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


class Call(Generic[T]):
    """A function that runs in a daemon thread.

    The function gets an event that is set when its result is no longer wanted.
    """

    def __init__(self, function: Callable[[threading.Event], T]) -> None:
        from kronos.models.hub.connection import Connections

        self._function = function
        self._connections = Connections(endpoint(), authorization())
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._values: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="kronos-hub", daemon=True).start()

    def _run(self) -> None:
        try:
            with self._connections:
                self._values.append(self._function(self._stop))
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread
            self._error = error
        finally:
            self._ended.set()

    def result(self, look: Callable[[], None], repo: Repository) -> T:
        """Wait for the function and call `look` meanwhile, which may raise to give up.

        Raises:
            CheckpointUnavailable: The network, the hub or the disk failed the function.
        """
        import httpx2

        from kronos.models.hub.connection import Refused

        try:
            while not self._ended.wait(TICK_SECONDS):
                look()
        except BaseException:
            # The client notices at once, and removes its partial file.
            self._stop.set()
            self._connections.end()
            self._ended.wait(1.0)
            raise
        if isinstance(self._error, Refused):
            raise not_a_hub(repo, str(self._error)) from self._error
        if isinstance(self._error, _UNREADABLE):
            found = f"with something that cannot be read ({type(self._error).__name__})"
            raise not_a_hub(repo, found) from self._error
        if isinstance(self._error, (OSError, httpx2.HTTPError)):
            raise _explained(self._error, repo) from self._error
        if self._error is not None:
            raise self._error
        return self._values[0]


def retried(attempt: Callable[[], T], stop: threading.Event) -> T:
    """Call `attempt`, again after a transient failure, a bounded number of times."""
    pause = FIRST_PAUSE_SECONDS
    for n_left in reversed(range(ATTEMPTS)):
        try:
            return attempt()
        except Exception as error:
            wait = _pause_after(error, pause)
            if wait is None or n_left == 0 or stop.wait(wait):
                raise
            pause *= 2
    raise AssertionError("the last attempt returns or raises")


def _pause_after(error: BaseException, pause: float) -> float | None:
    """Seconds to wait before another attempt, or None when it would not help."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return _pause_after(error.__cause__, pause)
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code not in _TRANSIENT:
            return None
        wanted = error.response.headers.get("Retry-After", "")
        wait = float(wanted) if wanted.isdigit() else pause
        return wait if wait <= LONGEST_PAUSE_SECONDS else None
    if isinstance(error, httpx2.TimeoutException):
        return None  # It has had its time.
    # The client reports a file cut short as an OSError without a number.
    is_cut = isinstance(error, OSError) and error.errno is None
    return pause if is_cut or isinstance(error, httpx2.TransportError) else None


def unreachable(repo: Repository, reason: str) -> CheckpointUnavailable:
    """The hub gave no answer."""
    return CheckpointUnavailable(
        f"{repo.repo_id} is not on this machine and {endpoint()} cannot be reached: {reason}. "
        f"{_way_out()}"
    )


def offline(repo: Repository) -> CheckpointUnavailable:
    """Requests are forbidden, and the cache lacks the files."""
    return CheckpointUnavailable(
        f"{repo.repo_id} at {repo.revision[:8]} is not in {cache_folder()} and HF_HUB_OFFLINE "
        'forbids asking the hub. Unset HF_HUB_OFFLINE, or use the model "bundled".'
    )


def not_a_hub(repo: Repository, found: str) -> CheckpointUnavailable:
    """Something answered, but not in the hub's protocol."""
    return CheckpointUnavailable(
        f"{endpoint()} answered for {repo.repo_id}, but {found}. That is a login page, a proxy or "
        "a mirror that is no faithful copy of the hub. Check HF_ENDPOINT and the proxy settings, "
        'or use the model "bundled".'
    )


def disk_full(repo: Repository, needed: int, free: int) -> CheckpointUnavailable:
    """There is no room for the download."""
    return CheckpointUnavailable(
        f"{repo.repo_id} needs {needed / 1e6:,.0f} MB in {cache_folder()}, where "
        f"{free / 1e6:,.0f} MB are free. Free some space, or point HF_HUB_CACHE elsewhere."
    )


def _explained(error: BaseException, repo: Repository) -> CheckpointUnavailable:
    """The error of the client, of its transport or of the disk in plain words.

    Args:
        error: Raised by a request for a file of `repo`, or by its download.

    Returns:
        The error to raise `from` the original one.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return _explained(error.__cause__, repo)
    if isinstance(error, HfHubHTTPError):
        return _refused(error.response.status_code, error, repo)
    if isinstance(error, httpx2.TooManyRedirects):
        return not_a_hub(repo, "with too many redirects")
    if isinstance(error, httpx2.TimeoutException):
        return unreachable(repo, "it did not answer in time")
    if isinstance(error, httpx2.HTTPError):
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx2.ProxyError):
            reason = f"the proxy refuses the connection ({reason})"
        return unreachable(repo, connection_text(reason))
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CheckpointUnavailable(
            f"The disk filled up while {repo.repo_id} was written to {cache_folder()}. "
            "Free some space, or point HF_HUB_CACHE elsewhere."
        )
    if isinstance(error, OSError) and error.errno is not None:
        return CheckpointUnavailable(
            f"{repo.repo_id} cannot be written to {cache_folder()}: {error.strerror}. Make that "
            "folder writable, or point HF_HUB_CACHE to one that is."
        )
    return unreachable(repo, str(error).strip().split("\n")[0] or type(error).__name__)


def _refused(status: int, error: BaseException, repo: Repository) -> CheckpointUnavailable:
    from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError

    at = endpoint()
    mirror = "" if at == DEFAULT_ENDPOINT else " The mirror in HF_ENDPOINT may lack it."
    if isinstance(error, RevisionNotFoundError):
        text = (
            f"{at} has {repo.repo_id} but not its revision {repo.revision}, the one this version "
            f"is tested with.{mirror} Unset HF_ENDPOINT, or update this package."
            if repo.is_pinned
            else f"{at} has {repo.repo_id} but no revision {repo.revision!r:.80}. Give a branch, a "
            "tag or a commit that it has."
        )
    elif isinstance(error, RemoteEntryNotFoundError):
        text = f"{at} has {repo.repo_id} at {repo.revision[:8]} but not the file that is needed."
        text += (
            f"{mirror} Unset HF_ENDPOINT, or update this package."
            if repo.is_pinned
            else " A checkpoint of this architecture has config.json and model.safetensors at the "
            "top of its repository; pickled weights are not read."
        )
    elif status in {401, 403}:
        text = (
            f"{at} refused access to {repo.repo_id} (HTTP {status}). The repository is public, so "
            "a wrong HF_TOKEN or a mirror that wants a login is the likely cause: unset or "
            "correct HF_TOKEN, or check HF_ENDPOINT."
            if repo.is_pinned
            else f"{at} refused access to {repo.repo_id} (HTTP {status}): there is no such "
            "repository, or it is private. Check its name, or set HF_TOKEN to a token that may "
            "read it."
        )
    elif status == 404:
        text = (
            f"{at} has no repository {repo.repo_id} (HTTP 404).{mirror} Check HF_ENDPOINT, or use "
            "the model `bundled`."
        )
    elif status == 429:
        text = (
            f"{at} limits the rate of requests (HTTP 429) and did not relent. Wait some minutes "
            'and try again, or use the model "bundled".'
        )
    else:
        text = (
            f"{at} failed with HTTP {status} for {repo.repo_id}. Try again later, set HF_ENDPOINT "
            'to a mirror, or use the model "bundled".'
        )
    return CheckpointUnavailable(text)


def _way_out() -> str:
    return (
        'The model "bundled" needs no network. For this one check the network and proxy, set '
        'HF_ENDPOINT to a mirror, or run "kronos models download" on a connected machine and copy '
        f"its hub cache to {cache_folder()}."
    )
