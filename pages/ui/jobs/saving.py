"""Save forecasts of the pages in the store of this machine, in the background."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import streamlit as st

from kronos.candles import Candles
from kronos.errors import InvalidRequest, StoreError
from kronos.forecast import Forecast
from kronos.store.switch import OFF, VARIABLE, is_off
from pages.ui.frame.access import may_administer, not_offered
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted
from pages.ui.jobs.services import Service
from pages.ui.jobs.session import was_pressed

ROOM = 256
"""Forecasts that wait for the store at most; further ones are not taken."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""Seconds until a failed save is tried again: the first time, and at most; doubled each time."""
CLOSING = 10.0
"""Seconds that the end of the server waits for the store."""
POLL_SECONDS = 2.0
PATIENCE = 1.0
"""Seconds that a page waits for the store before it says that a forecast is not saved yet."""
logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Unsaved:
    """A forecast to be saved.

    Attributes:
        forecast: The forecast.
        candles: The candles that it is of.
        source: Name of the source of the candles.
        key: Names it in `SaveQueue.not_saved`; empty where nobody asks.
        problem: Why the last attempt failed; empty before one.
    """

    forecast: Forecast
    candles: Candles
    source: str
    key: str = ""
    problem: str = ""

    @property
    def title(self) -> str:
        """Instrument, interval and origin."""
        return f"{self.candles.symbol} {self.candles.interval} from {self.forecast.origin}"


class SaveQueue:
    """Saves forecasts in a thread of its own. Any thread may call.

    A forecast that cannot be saved goes to the end of the line and is tried again, with a growing
    delay while nothing can be saved. One that the store refuses for itself is dropped.

    Attributes:
        n_lost: Forecasts that found no room.
    """

    def __init__(
        self, save: Callable[[Unsaved], object], *, first_delay: float = FIRST_DELAY
    ) -> None:
        """Args:
        save: Saves one; raises `InvalidRequest` where that one can never be saved, anything else
            where the store cannot be used.
        first_delay: Seconds until a failed save is tried again.
        """
        self._save = save
        self._first_delay = first_delay
        self._line: deque[Unsaved] = deque()
        self._refused: dict[str, str] = {}  # reasons by key, of the last ROOM
        self._changed = threading.Condition()
        self._delay, self._retry_at = 0.0, 0.0  # monotonic
        self._is_closed = False
        self._problem = ""
        self.n_lost = 0
        self._thread = threading.Thread(target=self._work, name="saving", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why the last forecast could not be saved, and what becomes of it; empty if it could."""
        with self._changed:
            return self._described()

    @property
    def has_room(self) -> bool:
        """Whether one more forecast would be taken."""
        return len(self._line) < ROOM and not self._is_closed

    def put(self, unsaved: Unsaved) -> bool:
        """Queue a forecast for the store; never blocks. False if there is no room for it."""
        with self._changed:
            if not self.has_room:
                self.n_lost += 1
                return False
            self._refused.pop(unsaved.key, None)
            self._line.append(unsaved)
            self._changed.notify_all()
            return True

    def not_saved(self, keys: Collection[str], *, patience: float = 0.0) -> str | None:
        """Why forecasts are not in the store.

        Args:
            keys: Their keys.
            patience: Seconds to wait for those that are about to be saved.

        Returns:
            None if all are saved; empty while they wait and nothing has failed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: all(each.problem for each in self._line if each.key in keys), patience
            )
            refused = next((self._refused[key] for key in keys if key in self._refused), None)
            if refused is not None:
                return refused
            return self._described() if any(each.key in keys for each in self._line) else None

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the store has, or has failed to take, everything that was put before."""
        with self._changed:
            return self._changed.wait_for(lambda: all(each.problem for each in self._line), timeout)

    def close(self, timeout: float = CLOSING) -> None:
        """Take no more, try once more to save what waits, and name in the log what cannot be."""
        with self._changed:
            self._is_closed = True
            for each in self._line:
                each.problem = ""
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            for each in self._line:
                logger.error("Not saved: %s. %s", each.title, each.problem or self._problem)

    def _described(self) -> str:
        """The problem with what waits and what was lost; needs the lock."""
        parts = [self._problem]
        if self._problem and self._line:
            verb = "waits and is" if len(self._line) == 1 else "wait and are"
            parts.append(
                f"{counted(len(self._line), 'forecast')} {verb} saved once the store can be used."
            )
        if len(self._line) >= ROOM:
            parts.append(f"The line is full at {ROOM}: further ones are not taken.")
        return " ".join(part for part in parts if part)

    def _work(self) -> None:
        while (unsaved := self._next()) is not None:
            problem, is_refused = "", False
            try:
                self._save(unsaved)
            except InvalidRequest as error:
                problem, is_refused = str(error), True
                logger.warning("Refused by the store: %s. %s", unsaved.title, error)
            except StoreError as error:
                problem = str(error)
                logger.warning("Not saved yet: %s. %s", unsaved.title, error)
            # The boundary of the thread: whatever escaped would end all later saves in silence.
            except BaseException as error:
                problem = f"{type(error).__name__}: {error}".rstrip(": ") + "."
                logger.exception("Not saved yet: %s", unsaved.title)
            self._settle(unsaved, problem, is_refused=is_refused)
            del unsaved

    def _next(self) -> Unsaved | None:
        """The forecast to save now, which stays in the line; None after the end."""
        with self._changed:
            while True:
                fresh = next((each for each in self._line if not each.problem), None)
                if fresh is not None:
                    return fresh
                if self._is_closed:
                    return None
                seconds = self._retry_at - time.monotonic()
                if self._line and seconds <= 0:
                    return self._line[0]
                self._changed.wait(seconds if self._line else None)

    def _settle(self, unsaved: Unsaved, problem: str, *, is_refused: bool) -> None:
        with self._changed:
            self._line.remove(unsaved)
            if problem and not is_refused:
                unsaved.problem = self._problem = problem
                self._line.append(unsaved)
                self._delay = min(max(2 * self._delay, self._first_delay), LONGEST_DELAY)
                self._retry_at = time.monotonic() + self._delay
            else:
                if is_refused and unsaved.key:
                    self._refused[unsaved.key] = problem
                    while len(self._refused) > ROOM:
                        del self._refused[next(iter(self._refused))]
                if not is_refused:
                    self._delay = self._retry_at = 0.0
                others = [each.problem for each in self._line if each.problem]
                self._problem = others[0] if others else ""
            self._changed.notify_all()


@Service
def save_queue() -> SaveQueue:
    """The queue in front of the store of this machine."""
    made = SaveQueue(_save_in_store)
    atexit.register(made.close)
    return made


def _save_in_store(unsaved: Unsaved) -> None:
    import kronos.store

    kronos.store.save(unsaved.forecast, unsaved.candles, source=unsaved.source)


def save_forecast(forecast: Forecast, candles: Candles, source: str, key: str = "") -> bool:
    """Queue a forecast for the store, unless the user switched the store off; never blocks.

    Returns:
        Whether it was taken.
    """
    return not is_off() and save_queue().put(Unsaved(forecast, candles, source, key))


def save_shown(candles: Candles, source: str, shown: Mapping[str, Forecast]) -> None:
    """Save the forecasts on the page for which the user pressed Run, with a line on the result.

    Args:
        candles: The candles on the page.
        source: Name of the source that has their later bars; empty for an uploaded file.
        shown: The forecasts on the page, by the keys of their requests. A forecast that started
            without a press of Run is not saved.
    """
    requested = {key: forecast for key, forecast in shown.items() if was_pressed(key)}
    if not requested:
        return
    if is_off():
        _say(f"Forecasts are not saved: {VARIABLE} is {OFF}.")
        return
    if not may_administer():
        _say(not_offered("Entries in the record"))
        return
    if not source:
        _say(
            "Not saved: forecasts of uploaded files stay in this session, as all users of this "
            "server see its record."
        )
        return
    taken: set[str] = st.session_state.setdefault("kept forecasts", set())
    for key in requested.keys() - taken:
        if save_forecast(requested[key], candles, source, key):
            taken.add(key)
    if _problem(requested.keys(), taken, patience=PATIENCE) is None:
        _say("Saved in the record of this server, which scores it once the actual bars are known.")
    else:
        st.fragment(_draw_unsaved, run_every=POLL_SECONDS)(requested.keys(), taken)


def _problem(keys: Collection[str], taken: set[str], *, patience: float = 0) -> str | None:
    """Why forecasts are not saved; empty while they are about to be, None once they are."""
    if not taken >= set(keys):
        return save_queue().problem or "Too many forecasts wait for the store."
    return save_queue().not_saved(keys, patience=patience)


def _draw_unsaved(keys: Collection[str], taken: set[str]) -> None:
    """The line on forecasts that are not saved, drawn again until they are."""
    problem = _problem(keys, taken)
    if problem is None or (not taken >= set(keys) and save_queue().has_room):
        st.rerun()
    elif problem:
        st.warning(f"Not saved: {plain(problem)}", icon=":material/bookmark_remove:")
    else:
        _say("Not saved yet: the store is busy.")


def _say(text: str) -> None:
    st.caption(f":material/bookmark: {plain(text)}")
