"""The machine and the process: bundled files, folders of the user, memory, files, the collector.

Needs the standard library alone and is cheap to import.
"""

from __future__ import annotations

import atexit
import errno
import gc
import hashlib
import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

__all__ = [
    "asset_path",
    "atomic_write",
    "collector_paused",
    "connection_text",
    "exit_without_collecting",
    "free_bytes",
    "is_out_of_memory",
    "may_be_there",
    "n_processors",
    "open_regular",
    "parse_json",
    "peak_bytes",
    "printable",
    "process_bytes",
    "read_json",
    "read_text",
    "sha256_of",
    "shown",
    "storage_problem",
    "total_bytes",
    "user_cache",
    "user_data",
]

_APPLICATION = "kronos-fan"
_PACKAGE = Path(__file__).resolve().parent
# A wheel carries the checkout's assets/ folder as kronos/_assets (see pyproject.toml).
_INSTALLED = _PACKAGE / "_assets"
_CHECKOUT = _PACKAGE.parent / "assets"
_SPACE = "Free some space and try again."
_PLACE = "Name another place, or give this user the right to use this one."
_ADVICE = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "Raise the largest size of a file (ulimit -f), or name another place.",
    errno.EIO: "Check the disk.",
    errno.EROFS: "Name a place on a disk that can be written.",
    errno.EACCES: _PLACE,
    errno.EPERM: _PLACE,
    errno.ENOTDIR: _PLACE,
}
# Each client has its own words for a connection that fails: curl, requests, httpx, the system.
_CONNECTIONS = (
    (r"[Rr]esolve (?:host:? ?)?'?(?P<name>[A-Za-z0-9][A-Za-z0-9.-]*[A-Za-z0-9])",
     "no address is known for the name {name}; this machine may be offline"),
    (r"Name or service not known|nodename nor servname|getaddrinfo|in name resolution",
     "no address is known for its name; this machine may be offline"),
    (r"CONNECT tunnel failed, response (?P<status>\d{3})",
     "the proxy refuses the connection (status {status})"),
    (r"over proxy (?P<name>[^\s]+).*(?:[Cc]ould not|Failed to) connect",
     "the proxy {name} cannot be reached"),
    (r"Connection refused|curl: \(7\)", "nothing accepts connections at its address"),
    (r"curl: \((?:35|51|58|60|77)\)|[Cc]ertificate|CERTIFICATE_VERIFY_FAILED",
     "its certificate cannot be verified, as with a proxy that reads the traffic or a wrong clock"),
    (r"BadStatusLine|IncompleteRead|LineTooLong|got more than|RemoteDisconnected|reset by peer"
     r"|Broken pipe|closed connection|curl: \((?:1|18|52|55|56|61|100)\)",
     "its answer breaks off, or is no HTTP that can be read"),
)  # fmt: skip
_CODE = re.compile(r"^(?:Failed to perform, )?(?:curl: \(\d{1,3}\) |\[Errno -?\d{1,5}\] )")
# Libraries in Rust report errors of the system as text.
_NUMBER = re.compile(r"\(os error (\d{1,4})\)")
_STATUS, _MEMORY = Path("/proc/self/status"), Path("/proc/meminfo")


def asset_path(*parts: str) -> Path:
    """Path of a bundled file or folder, in a checkout and in an installed wheel alike.

    Args:
        parts: Components below assets/, such as "samples", "GOOG_1d.csv". They are names from
            the code, never from a user.

    Returns:
        The absolute path. It need not exist: the caller knows what a missing file means.

    Raises:
        ValueError: A component is absolute or leads out of the assets folder.
    """
    relative = Path(*parts)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"An asset is named by components below assets/, found {parts!r}.")
    root = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    return root / relative


def user_data(*parts: str) -> Path:
    """Path below this user's data folder, for files that no program can make again."""
    from platformdirs import user_data_path

    return user_data_path(_APPLICATION).joinpath(*parts)


def user_cache(*parts: str) -> Path:
    """Path below this user's cache folder, which may be deleted at any time."""
    from platformdirs import user_cache_path

    return user_cache_path(_APPLICATION).joinpath(*parts)


@contextmanager
def atomic_write(
    path: Path, *, is_only_writer: bool = False, flush: bool = False
) -> Iterator[Path]:
    """Replace a file as a whole: a reader finds the old content or the new one.

        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")

    Args:
        path: The file. Its folder must exist.
        is_only_writer: No other thread or process writes this file meanwhile. The partial file then
            has a fixed name, so that killed runs leave one of them at most.
        flush: Wait until the content is on the disk before the file gets its name.

    Yields:
        The partial file to write, in the same folder. It replaces `path` when the block ends, and
        is removed when the block raises.

    Raises:
        OSError: The file cannot be written, also where the block raises such an error as text.
    """
    suffix = "" if is_only_writer else f".{os.getpid()}-{threading.get_ident()}"
    partial = path.with_name(f"{path.name}{suffix}.partial")
    try:
        yield partial
        if flush:
            with partial.open("rb") as opened:
                os.fsync(opened.fileno())
        os.replace(partial, path)
    except Exception as error:
        number = _number(error)
        if number is None or isinstance(error, OSError):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        with suppress(OSError):  # a folder that cannot be used has no partial file
            partial.unlink(missing_ok=True)


def storage_problem(error: BaseException) -> str | None:
    """What is wrong with a disk, a folder or a file, and what to do; None for other errors.

    Args:
        error: Any error. That the file of a name is not there is no problem of storage.
    """
    number = _number(error)
    if number not in _ADVICE:
        return None
    name = getattr(error, "filename", None)
    what = "A file" if name is None else printable(os.fsdecode(name))
    return f"{what} cannot be used: {os.strerror(number)}. {_ADVICE[number]}"


def _number(error: BaseException) -> int | None:
    """The system's number of an error."""
    if isinstance(error, OSError):
        return error.errno
    found = _NUMBER.search(str(error))
    return None if found is None else int(found[1])


def may_be_there(path: Path) -> bool:
    """Whether a file is there or cannot be looked for; then its reader says why."""
    try:
        # Since Python 3.14 Path.is_file hides every error, a refusal too.
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for reading, if it is one: to open a pipe waits, and a device has no end.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no regular file.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no regular file")
    with open(path, "rb") as opened:
        yield opened


def read_text(path: str | os.PathLike[str], *, limit: int = 1 << 20) -> str:
    """Text of a file in UTF-8 that anybody may have written.

    Args:
        path: The file.
        limit: Most bytes that are read.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no regular file, too large, or no UTF-8.
    """
    with open_regular(path) as opened:
        data = opened.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it has more than {limit:,} bytes")
    return data.decode("utf-8")


def read_json(path: str | os.PathLike[str], *, limit: int = 1 << 20) -> Any:
    """Contents of a JSON file that anybody may have written; raises as `read_text`."""
    return parse_json(read_text(path, limit=limit))


def parse_json(text: str) -> Any:
    """Value of a JSON text that anybody may have written.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or names a field twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it names the field {name!r:.40} twice")
        found[name] = value
    return found


def printable(text: object, most: int = 400) -> str:
    """Text from a file or its name, cut, that every page and terminal can show."""
    short = str(text)
    short = short if len(short) <= most else f"{short[: most - 3]}..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)


def shown(value: object) -> str:
    """A value from a file as Python writes it, cut."""
    try:
        return printable(repr(value), 40)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists within lists
        return f"a {type(value).__name__} that is too long to show"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def process_bytes() -> int | None:
    """Resident memory of this process; None where the system does not report it."""
    resident = _kilobytes(_STATUS, "VmRSS")
    if resident is not None:
        return resident
    try:  # Systems without /proc, macOS and Windows among them.
        import psutil

        return int(psutil.Process().memory_info().rss)
    except (ImportError, OSError):
        return None


def peak_bytes() -> int:
    """Largest resident memory of this process so far; the present one where no peak is known."""
    peak = _kilobytes(_STATUS, "VmHWM")
    if peak is not None:
        return peak
    import psutil

    known = psutil.Process().memory_info()
    return int(getattr(known, "peak_wset", known.rss))  # Windows has a peak, macOS none


def total_bytes() -> int | None:
    """Memory of the machine; None where the system does not report it."""
    total = _kilobytes(_MEMORY, "MemTotal")
    return total if total is not None else _virtual("total")


def free_bytes() -> int | None:
    """Memory available without swapping; None where the system does not report it."""
    free = _kilobytes(_MEMORY, "MemAvailable")
    return free if free is not None else _virtual("available")


def _virtual(name: str) -> int | None:
    try:
        import psutil

        return int(getattr(psutil.virtual_memory(), name))
    except (ImportError, OSError, RuntimeError):
        return None


def connection_text(reason: str) -> str:
    """Why a connection failed, in the words of a network and not of a library.

    Args:
        reason: The text of the client's error.
    """
    for pattern, words in _CONNECTIONS:
        if found := re.search(pattern, reason):
            return words.format(**found.groupdict())
    return _CODE.sub("", reason)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, on any device."""
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError on a GPU; on the CPU a plain RuntimeError that says so.
    text = str(error).casefold()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't alloc" in text)


def n_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _kilobytes(path: Path, name: str) -> int | None:
    """Bytes of a line such as "VmRSS:   1234 kB"."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector of the process, for large imports.

    Importing torch makes hundreds of thousands of objects and no garbage; the collector would walk
    them again and again while their number grows.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def exit_without_collecting() -> None:
    """Let the interpreter exit without a last garbage collection.

    For a program that owns its process. Files and threads are closed as usual.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
