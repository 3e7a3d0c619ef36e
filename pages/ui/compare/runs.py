"""The runs of a comparison: several requests at once, none of which supersedes another.

Session state holds requests and phases only; results stay with the engine's queue, where a request
that the forecast page has asked for is the same request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import streamlit as st

from kronos.candles import Candles
from kronos.errors import Busy
from kronos.forecast import Forecast
from kronos.inference.jobs import JobStatus
from pages.ui import services, session
from pages.ui.compare.choices import choice_of
from pages.ui.request import ForecastRequest
from pages.ui.run import Run
from pages.ui.work import download_work, forecast_work, work_key

_RUNS, _SHOWN = "compare_runs", "compare_shown"
_GREETED, _CANCELLED = "compare_greeted", "compare_cancelled"
_REFUSED = "compare_refused"


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A forecast of a comparison, and the place it was asked for."""

    place: int
    request: ForecastRequest
    forecast: Forecast


def owner() -> str:
    """This session as one that compares; what its forecast page asks for is another matter."""
    return f"{session.owner()} compares"


def runs() -> tuple[Run, ...]:
    """What was asked for last."""
    return st.session_state.get(_RUNS, ())


def is_cancelled() -> bool:
    """Whether the user took it back."""
    return bool(st.session_state.get(_CANCELLED))


def respond(requests: Sequence[ForecastRequest], candles: Candles, *, pressed: bool) -> Busy | None:
    """Start what was asked for: by a press of Run, or unasked on the first visit of a session.

    A model that is not on this machine waits for a click of its own in either case.

    Returns:
        The reason why nothing could be started, if that is so.
    """
    is_first = not st.session_state.get(_GREETED)
    greet()
    refused = st.session_state.pop(_REFUSED, None)
    if not (pressed or is_first):
        return refused
    try:
        ask_all(requests, candles)
    except Busy as error:
        return error
    return None


def greet() -> None:
    """From now on only a click starts a comparison."""
    st.session_state[_GREETED] = True


def expect_visit() -> None:
    """The page's next visit counts as a first one: a click elsewhere asked for its comparison."""
    st.session_state.pop(_GREETED, None)


def ask_all(requests: Sequence[ForecastRequest], candles: Candles) -> None:
    """Start all requests, or join those that are being computed already.

    Raises:
        Busy: the queue has no room for all; what was asked for before goes on.
    """
    new = tuple(
        Run(request, "missing" if choice_of(request.model).is_missing else "forecast")
        for request in requests
    )
    begun: list[Run] = []
    try:
        for run in new:
            if run.phase == "forecast":
                _submit(run, candles)
                begun.append(run)
    except Busy:
        _leave(begun, but=runs())
        raise
    _leave(runs(), but=new)
    st.session_state[_RUNS] = new
    st.session_state[_CANCELLED] = False


def download(model: str) -> None:
    """Fetch a model that is missing; the forecasts that want it are started after that."""
    changed = tuple(
        replace(run, phase="download")
        if run.phase == "missing" and run.request.model == model
        else run
        for run in runs()
    )
    try:
        services.downloads().submit(
            work_key("download", model), download_work(model), owner=owner(), supersede=False
        )
    except Busy as error:
        st.session_state[_REFUSED] = error
        return
    st.session_state[_RUNS] = changed


def cancel_all() -> None:
    """Take everything back that has not ended; nothing starts again by itself."""
    _leave(runs())
    st.session_state[_CANCELLED] = True


def advance(candles: Candles, data_id: str) -> list[JobStatus | None]:
    """State of every run, None where there is none; downloads that are done become forecasts.

    Once no forecast is pending any more, those that are done become what is shown.

    Returns:
        Nothing at all if nothing was asked for these candles, or it was cancelled.
    """
    if is_cancelled() or not concern(data_id):
        return []
    moved, statuses = [], []
    for run in runs():
        run, status = _advance_one(run, candles)
        moved.append(run)
        statuses.append(status)
    st.session_state[_RUNS] = tuple(moved)
    asked_of_engine = [run.phase == "forecast" for run in moved]
    if not any(map(is_pending, compress(statuses, asked_of_engine))):
        done = tuple(
            (place, run.request)
            for place, (run, status) in enumerate(zip(moved, statuses, strict=True))
            if run.phase == "forecast" and status is not None and status.state == "done"
        )
        if done:
            st.session_state[_SHOWN] = done
    return statuses


def concern(data_id: str) -> bool:
    """Whether there are runs, and they are of these candles."""
    return bool(runs()) and all(run.request.data_id == data_id for run in runs())


def is_pending(status: JobStatus | None) -> bool:
    """Whether something is still going to happen."""
    return status is not None and not status.is_final


def shown_keys() -> tuple[str, ...]:
    """Keys of what `finished` reads."""
    return tuple(request.key for _, request in st.session_state.get(_SHOWN, ()))


def finished(data_id: str) -> list[Finished]:
    """The last finished comparison of this session, if it was made from these candles."""
    found = []
    for place, request in st.session_state.get(_SHOWN, ()):
        status = services.forecasts().status(request.key)
        if request.data_id == data_id and status is not None and status.state == "done":
            found.append(Finished(place, request, status.result))
    return found


def _advance_one(run: Run, candles: Candles) -> tuple[Run, JobStatus | None]:
    if run.phase == "missing":
        return run, None
    status = run.queue.status(run.key, owner=owner())
    if run.phase == "forecast" or status is None or status.state != "done":
        return run, status
    services.models.clear()
    run = replace(run, phase="forecast")
    try:
        return run, _submit(run, candles)
    except Busy as error:
        return run, JobStatus(key=run.key, state="failed", error=error)


def _submit(run: Run, candles: Candles) -> JobStatus:
    work = forecast_work(candles, run.request)
    return run.queue.submit(run.key, work, owner=owner(), supersede=False)


def _leave(left: Sequence[Run], *, but: Sequence[Run] = ()) -> None:
    kept = {run.key for run in but}
    for run in left:
        if run.key not in kept:
            run.queue.leave(run.key, owner=owner())
