"""Save forecasts of the pages in the store of this machine, in the background."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
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
"""Forecasts that wait for the store; further ones are dropped, and counted."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Unsaved:
    """A forecast to be saved.

    Attributes:
        forecast: The forecast.
        candles: The candles that it is of.
        source: Name of the source of the candles.
    """

    forecast: Forecast
    candles: Candles
    source: str


class SaveQueue:
    """Saves forecasts in a thread of its own. Any thread may call.

    Attributes:
        problem: Why the last forecast could not be saved; empty if it could.
        n_lost: Forecasts that found no room.
    """

    def __init__(self, save: Callable[[Unsaved], object]) -> None:
        """Args:
        save: Saves one; raises `StoreError` where the store cannot be used.
        """
        self._save = save
        self._waiting: queue.Queue[Unsaved] = queue.Queue(ROOM)
        self.problem = ""
        self.n_lost = 0
        threading.Thread(target=self._work, name="saving", daemon=True).start()

    def put(self, unsaved: Unsaved) -> None:
        """Queue a forecast for the store; never blocks."""
        try:
            self._waiting.put_nowait(unsaved)
        except queue.Full:
            self.n_lost += 1
            self.problem = f"The store was too slow for {counted(self.n_lost, 'forecast')}."

    def wait(self) -> None:
        """Block until the store has everything that was put before."""
        self._waiting.join()

    def _work(self) -> None:
        while True:
            unsaved = self._waiting.get()
            try:
                self._save(unsaved)
                self.problem = ""
            except (StoreError, InvalidRequest) as error:
                self.problem = str(error)
                logger.warning("A forecast was not saved: %s", error)
            finally:
                self._waiting.task_done()


@Service
def save_queue() -> SaveQueue:
    """The queue in front of the store of this machine."""
    return SaveQueue(_save_in_store)


def _save_in_store(unsaved: Unsaved) -> None:
    import kronos.store

    kronos.store.save(unsaved.forecast, unsaved.candles, source=unsaved.source)


def save_forecast(forecast: Forecast, candles: Candles, source: str) -> None:
    """Queue a forecast for the store, unless the user switched the store off; never blocks."""
    if not is_off():
        save_queue().put(Unsaved(forecast, candles, source))


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
    saved: set[str] = st.session_state.setdefault("kept forecasts", set())
    for key in requested.keys() - saved:
        saved.add(key)
        save_forecast(requested[key], candles, source)
    problem = save_queue().problem
    if not problem:
        _say("Saved in the record of this server, which scores it once the actual bars are known.")
    elif st.session_state.get("keeping problem") != problem:
        st.session_state["keeping problem"] = problem
        st.warning(f"Forecasts are not saved: {plain(problem)}", icon=":material/bookmark_remove:")


def _say(text: str) -> None:
    st.caption(f":material/bookmark: {plain(text)}")
