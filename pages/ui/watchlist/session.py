"""Which run this session looks at. Session state holds its name; the desk holds the run."""

from __future__ import annotations

import streamlit as st

from kronos.errors import Busy
from pages.ui.inputs.instruments import SAMPLES
from pages.ui.inputs.market_events import all_events
from pages.ui.jobs.session import owner
from pages.ui.watchlist.controls import ChosenList, needs_download
from pages.ui.watchlist.desk import watchlists
from pages.ui.watchlist.request import WatchRequest
from pages.ui.watchlist.run import WatchRun

_RUN = "watch_run"
_CANCELLED = "watch_cancelled"
_GREETED = "watch_greeted"


def current() -> WatchRun | None:
    """The run this session looks at, as long as it is kept."""
    return watchlists().find(st.session_state.get(_RUN, ""))


def is_cancelled() -> bool:
    """Whether the user took the current run back."""
    return bool(st.session_state.get(_CANCELLED))


def respond(request: WatchRequest | None, chosen: ChosenList, *, pressed: bool) -> Busy | None:
    """Start what was asked for, or find again what was asked for before.

    A session that looks at nothing yet takes the newest run of the same request, such as one it
    left by closing its page. Unasked, only a first visit to samples starts one: a link must not
    make this machine ask a vendor for two hundred series that nobody here chose.

    Returns:
        The reason why nothing could be started, if that is so.
    """
    if request is None:
        return None
    is_first = not st.session_state.get(_GREETED)
    st.session_state[_GREETED] = True
    if not pressed and current() is None and not is_cancelled():
        found = watchlists().join(request, owner=owner())
        if found is not None:
            st.session_state[_RUN] = found.key
            return None
    if pressed or (is_first and current() is None and _needs_nobody(request)):
        return _start(request, chosen)
    return None


def cancel() -> None:
    """Take the current run back; what is done stays on the page."""
    run = current()
    if run is not None:
        watchlists().leave(run, owner=owner())
        st.session_state[_CANCELLED] = True


def _start(request: WatchRequest, chosen: ChosenList) -> Busy | None:
    try:
        run = watchlists().start(
            request,
            chosen.contents,
            owner=owner(),
            downloads_model=needs_download(request),
            events=all_events(),
        )
    except Busy as error:
        return error
    st.session_state[_RUN] = run.key
    st.session_state[_CANCELLED] = False
    return None


def _needs_nobody(request: WatchRequest) -> bool:
    """Whether neither a vendor nor a hub is asked for anything."""
    has_files = any(entry.is_file for entry in request.entries)
    return request.source == SAMPLES and not has_files and not needs_download(request)
