"""The budget of uploads: how many bytes the server holds for a session, and for all together.

Streamlit keeps every file that a session sends until the session takes it back or ends, whether a
page ever reads it or not. Pages keep what they made of files, and files whose widget is on another
page, as copies. Both count. What is over the budget is refused before its bytes are read; copies
that can be made again leave first.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, cast

import streamlit as st
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.frame.access import setting

SESSION_VARIABLE, SERVER_VARIABLE = "KRONOS_UPLOADS_PER_SESSION_MB", "KRONOS_UPLOADS_MB"
SESSION_MB, SERVER_MB = 80, 400
"""Defaults: what all uploaders of the pages take together is 76 MB."""
MAX_FILES = 400
"""Files of a session. The watchlist takes 200 and training 50."""
_FRAMING = 4096  # bytes of a request beside those of its file
STALL_SECONDS = 30.0
"""Seconds without a byte after which an upload is given up."""
LONGEST_SECONDS = 600.0
"""Seconds after which an upload is given up in any case."""
COPY_SECONDS = 3600.0
"""Seconds after which a copy that no page has used is let go."""
_COPIES = "copies of uploads"


@dataclass(slots=True)
class _Copy:
    key: object
    value: Any
    n_bytes: int
    can_be_remade: bool
    used: float


class Copies:
    """What a session keeps of its uploads beside the files that Streamlit holds.

    Any thread may call: the server lets go of copies of sessions that have gone, of old ones, and
    of those that can be made again where an upload needs their room.

    Args:
        session: Name of the session.
    """

    def __init__(self, session: str) -> None:
        self.session = session
        self._lock = threading.Lock()
        self._kept: dict[str, _Copy] = {}
        _all_copies.add(self)

    def get(self, name: str, key: object = None) -> Any:
        """The copy of that name, if it was made for this key; None where there is none."""
        for copies in list(_all_copies):
            copies.release_old()
        with self._lock:
            copy = self._kept.get(name)
            if copy is None or copy.key != key:
                return None
            copy.used = time.monotonic()
            return copy.value

    def put(
        self,
        name: str,
        value: Any,
        n_bytes: int,
        *,
        key: object = None,
        can_be_remade: bool = False,
    ) -> None:
        """Keep a copy in place of the one of that name.

        Args:
            name: What it is.
            value: The copy.
            n_bytes: Its size.
            key: What it was made of.
            can_be_remade: Whether the page makes it again where it is missing.
        """
        with self._lock:
            self._kept[name] = _Copy(key, value, n_bytes, can_be_remade, time.monotonic())

    def drop(self, name: str) -> None:
        """Let go of a copy, if it is there."""
        with self._lock:
            self._kept.pop(name, None)

    def sizes(self) -> list[int]:
        """Bytes of every copy."""
        with self._lock:
            return [copy.n_bytes for copy in self._kept.values()]

    def release(self, *, only_remade: bool = False) -> None:
        """Let go of all copies, or of those that can be made again."""
        with self._lock:
            kept = self._kept.items() if only_remade else ()
            self._kept = {name: copy for name, copy in kept if not copy.can_be_remade}

    def release_old(self) -> None:
        """Let go of copies that no page has used for `COPY_SECONDS`."""
        oldest = time.monotonic() - COPY_SECONDS
        with self._lock:
            kept = self._kept.items()
            self._kept = {name: copy for name, copy in kept if copy.used >= oldest}


_all_copies: weakref.WeakSet[Copies] = weakref.WeakSet()


def copies() -> Copies:
    """The copies of this session, which end with it."""
    if _COPIES not in st.session_state:
        context = get_script_run_ctx()
        st.session_state[_COPIES] = Copies("" if context is None else context.session_id)
    found: Copies = st.session_state[_COPIES]
    return found


class UploadBudget:
    """Refuses uploads over the budget; all other requests go on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._arriving: dict[str, dict[object, int]] = defaultdict(dict)  # bytes, by session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        session = _session_of(scope)
        if session is None:
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 12:
            text = "An upload names its length: send Content-Length."
            await PlainTextResponse(text, 411)(scope, receive, send)
            return
        upload = object()
        refusal = self._admit(session, upload, int(length))
        if refusal:
            await PlainTextResponse(refusal, 413, _close())(scope, receive, send)
            return
        body = _Body(receive)
        try:
            await self._app(scope, body.next, send)
        except ClientDisconnect:
            if not body.is_late:
                raise
            text = "The upload took too long. Send the file again."
            await PlainTextResponse(text, 408, _close())(scope, receive, send)
        finally:
            with self._lock:
                del self._arriving[session][upload]
                if not self._arriving[session]:
                    del self._arriving[session]

    def _admit(self, session: str, upload: object, n_bytes: int) -> str:
        """Take an upload into account; returns why it is refused, "" if it is not."""
        _release_ended_sessions()
        refusal = self._refusal(session, upload, n_bytes)
        if refusal:
            for each in [*(c for c in _all_copies if c.session == session), *_all_copies]:
                each.release(only_remade=True)
                if not (refusal := self._refusal(session, upload, n_bytes)):
                    break
        return refusal

    def _refusal(self, session: str, upload: object, n_bytes: int) -> str:
        """Why an upload is refused; "" where it is taken into account."""
        held = _held()
        with self._lock:
            arriving = {name: sum(parts.values()) for name, parts in self._arriving.items()}
            own = sum(held.get(session, [])) + arriving.get(session, 0)
            everybody = sum(map(sum, held.values())) + sum(arriving.values())
            n_files = len(held.get(session, [])) + len(self._arriving.get(session, {}))
            for each in list(_all_copies):
                n_kept = sum(each.sizes())
                everybody += n_kept
                own += n_kept if each.session == session else 0
            session_mb, server_mb = budget()
            if own + n_bytes - _FRAMING > session_mb * 10**6 or n_files >= MAX_FILES:
                return (
                    f"This session has uploaded {n_files:,} files with {own / 1e6:,.1f} MB. The "
                    f"limit is {session_mb:g} MB and {MAX_FILES} files. Remove some files first."
                )
            if everybody + n_bytes - _FRAMING > server_mb * 10**6:
                return (
                    f"The uploads of all visitors have {everybody / 1e6:,.1f} MB and the limit of "
                    f"this server is {server_mb:g} MB. Try again in a few minutes."
                )
            self._arriving[session][upload] = n_bytes
        return ""


class _Body:
    """The body of an upload, which ends where nothing more of it arrives: its room is others'."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ends = time.monotonic() + LONGEST_SECONDS
        self._is_whole = False
        self.is_late = False

    async def next(self) -> Message:
        """The next message of the body, as ASGI's `receive`."""
        if self._is_whole:
            return await self._receive()
        try:
            left = min(STALL_SECONDS, self._ends - time.monotonic())
            message = await asyncio.wait_for(self._receive(), left)
        except TimeoutError:
            self.is_late = True
            return {"type": "http.disconnect"}
        self._is_whole = not message.get("more_body")
        return message


def budget() -> tuple[float, float]:
    """Megabytes for a session, and for all together."""
    return (
        _megabytes(SESSION_VARIABLE, "uploads_per_session_mb", SESSION_MB),
        _megabytes(SERVER_VARIABLE, "uploads_mb", SERVER_MB),
    )


def _megabytes(variable: str, name: str, default: float) -> float:
    """A number of megabytes; what is none, or negative, is the default."""
    try:
        value = float(setting(variable, name))
    except (TypeError, ValueError):
        return default
    return value if 0 <= value < float("inf") else default


def _session_of(scope: Scope) -> str | None:
    """The session that a request uploads to; None for any other request."""
    if scope["type"] != "http" or scope["method"] != "PUT":
        return None
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    base = st.get_option("server.baseUrlPath").strip("/")
    parts = path.removeprefix(f"/{base}" if base else "").strip("/").split("/")
    is_upload = len(parts) == 4 and parts[:2] == ["_stcore", "upload_file"]
    return parts[2] if is_upload else None


def _close() -> dict[str, str]:
    # The body was not read: the connection cannot serve another request.
    return {"Connection": "close"}


def _manager() -> MemoryUploadedFileManager | None:
    if not Runtime.exists():
        return None
    return cast("MemoryUploadedFileManager", Runtime.instance().uploaded_file_mgr)


def _held() -> dict[str, list[int]]:
    """Sizes of the files that the server holds, by session."""
    manager = _manager()
    if manager is None:
        return {}
    # Copies at once of what other threads change.
    return {
        session: [len(file.data) for file in list(files.values())]
        for session, files in list(manager.file_storage.items())
    }


def _release_ended_sessions() -> None:
    """Let go of the files of sessions that cannot come back; Streamlit itself does so later."""
    for each in list(_all_copies):
        each.release_old()
    manager = _manager()
    if manager is not None:
        sessions = Runtime.instance()._session_mgr
        for session in list(manager.file_storage):
            if sessions.get_session_info(session) is None:
                manager.remove_session_files(session)
        for each in list(_all_copies):
            if sessions.get_session_info(each.session) is None:
                each.release()
