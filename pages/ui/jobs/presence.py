"""Which sessions are there: what a session waits for is left a moment after its page was closed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.jobs.services import Service

GRACE = 3.0
"""Seconds after which a session that has no connection counts as gone: a page that is loaded again
connects, and joins what it waited for, within a moment."""
LOOK_EVERY = 0.5
FORGET_AFTER = 3600.0
"""Seconds after which a session that is gone is forgotten; Streamlit has dropped it long before."""
logger = logging.getLogger(__name__)


class Leavable(Protocol):
    """What an owner can leave altogether: a forecast service or a queue."""

    def leave_all(self, *, owner: str) -> tuple[str, ...]:
        """Stop waiting for everything; returns the keys."""


@dataclass(slots=True)
class _Session:
    waits: dict[str, Leavable] = field(default_factory=dict)  # by owner
    gone_since: float | None = None
    left: set[str] = field(default_factory=set)  # keys of what was left while it was gone


class Presence:
    """Leaves what sessions wait for once they are gone. Any thread may call.

    Long runs, which outlive their pages, do not take part.

    Args:
        is_connected: Whether a session, by its name at Streamlit, has a connection.
        grace: Seconds without a connection after which a session counts as gone.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        is_connected: Callable[[str], bool],
        *,
        grace: float = GRACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_connected = is_connected
        self._grace = grace
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._is_closed = threading.Event()

    def start(self) -> None:
        """Look again and again, in a thread of its own."""
        threading.Thread(target=self._work, name="presence", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()

    def note(self, session: str, owner: str, waits: Leavable) -> None:
        """Record that an owner of a session waits for something."""
        with self._lock:
            self._sessions.setdefault(session, _Session()).waits[owner] = waits

    def take_left(self, session: str, key: str) -> bool:
        """Whether a job was left while the session was away; says so once."""
        with self._lock:
            found = self._sessions.get(session)
            if found is None or key not in found.left:
                return False
            found.left.remove(key)
            return True

    def look(self) -> None:
        """Leave what sessions wait for that have been without a connection for too long."""
        now = self._clock()
        with self._lock:
            known = list(self._sessions.items())
        for name, session in known:
            if self._is_connected(name):
                session.gone_since = None
                continue
            if session.gone_since is None:
                session.gone_since = now
            if now - session.gone_since >= self._grace:
                self._leave(session)
            if now - session.gone_since >= FORGET_AFTER:
                with self._lock:
                    self._sessions.pop(name, None)

    def _leave(self, session: _Session) -> None:
        with self._lock:
            waits, session.waits = session.waits, {}
        for owner, queue in waits.items():
            keys = queue.leave_all(owner=owner)
            with self._lock:
                session.left.update(keys)

    def _work(self) -> None:
        while not self._is_closed.wait(LOOK_EVERY):
            try:
                self.look()
            # The boundary of the thread: an error that escaped would keep the jobs of all sessions.
            except Exception:
                logger.exception("Sessions that are gone could not be looked for")


@Service
def presence() -> Presence:
    """The sessions of this server."""
    made = Presence(_is_connected)
    made.start()
    return made


def note_waiting(owner: str, waits: Leavable) -> None:
    """Record that an owner of the session whose script runs now waits for something."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        presence().note(context.session_id, owner, waits)


def take_left(key: str) -> bool:
    """Whether a job of this session was left while the session was away; says so once."""
    context = get_script_run_ctx(suppress_warning=True)
    return context is not None and presence().take_left(context.session_id, key)


def _is_connected(session: str) -> bool:
    """Whether a session has a connection; without a server nobody can tell."""
    return not runtime.exists() or runtime.get_instance().is_active_session(session)
