"""What this session has asked for, and how far it is.

Session state holds keys and requests only; results stay with the worker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from kronos.candles import Candles
from kronos.errors import Busy, KronosError
from kronos.forecast import Forecast
from kronos.serving.jobs import JobStatus
from pages.ui.inputs.request import ForecastSettings
from pages.ui.jobs import caches, queues
from pages.ui.jobs.run import Run
from pages.ui.jobs.session import note_pressed, owner


@dataclass(frozen=True, slots=True)
class Asked(Run):
    """A request of this session.

    Attributes:
        is_cancelled: Whether the user took it back.
    """

    is_cancelled: bool = False


def asked() -> Asked | None:
    """What was asked for last."""
    return st.session_state.get("asked")


def ask(settings: ForecastSettings, candles: Candles) -> None:
    """Start a forecast, or join the one that is already computing the same.

    Raises:
        Busy: the queue is full; what was asked for before goes on.
        KronosError: No request can be made of the settings; likewise.
    """
    new = Asked.of(settings, candles, "download" if _needs_download(settings) else "forecast")
    before = asked()
    new.submit(owner=owner(), supersede=True)
    if before is not None and not before.shares_queue(new):
        before.leave(owner=owner())
    st.session_state["asked"] = new


def respond(settings: ForecastSettings, candles: Candles, *, pressed: bool) -> KronosError | None:
    """Start what was asked for: by a press of Run, or unasked on the first visit of a session.

    The first visit counts once, so that nothing starts again after a Cancel. It downloads
    nothing: a link must not make this machine fetch a model that nobody here chose.

    Returns:
        The reason why nothing could be started, if that is so.
    """
    is_first = not st.session_state.get("greeted")
    greet()
    if not pressed and not (is_first and not _needs_download(settings)):
        return None
    try:
        ask(settings, candles)
    except KronosError as error:
        return error
    current = asked()
    if pressed and current is not None:
        note_pressed(current.request.digest)
    return None


def greet() -> None:
    """From now on only a click starts a forecast."""
    st.session_state["greeted"] = True


def expect_visit() -> None:
    """The page's next visit counts as a first one: a click elsewhere asked for its forecast."""
    st.session_state.pop("greeted", None)


def cancel() -> None:
    """Take the current request back; it does not start again by itself."""
    current = asked()
    if current is not None:
        current.leave(owner=owner())
        st.session_state["asked"] = replace(current, is_cancelled=True)


def advance(data_id: str) -> JobStatus | None:
    """State of the current request; after its download, its forecast is started.

    Returns:
        None if nothing was asked for these candles, it was cancelled, or its result is no
        longer kept.
    """
    current = asked()
    if current is None or current.is_cancelled or current.settings.data_id != data_id:
        return None
    status = current.status(owner=owner())
    if current.phase == "download" and status is not None and status.state == "done":
        caches.models.clear()
        current = replace(current, phase="forecast")
        try:
            status = current.submit(owner=owner(), supersede=True)
        except Busy as error:
            return JobStatus(key=current.key, state="failed", error=error)
        st.session_state["asked"] = current
    if status is not None and status.state == "done":
        st.session_state["shown"] = current
    return status


def shown_forecast(data_id: str) -> Forecast | None:
    """The last finished forecast of this session, if it was made from these candles."""
    shown = shown_run()
    if shown is None or shown.settings.data_id != data_id:
        return None
    status = queues.forecasts().status(shown.request.digest)
    if status is None or status.state != "done":
        return None
    return status.result


def shown_run() -> Asked | None:
    """The run whose forecast the page shows."""
    return st.session_state.get("shown")


def _needs_download(settings: ForecastSettings) -> bool:
    states = {entry.name: entry.state for entry in caches.models()}
    return states.get(settings.model) == "downloadable"
