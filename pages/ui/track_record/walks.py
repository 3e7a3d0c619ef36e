"""A walk-forward test of the bundled samples, started from the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from data_sources.samples import SAMPLES, SampleBars, load_sample
from kronos.errors import Busy, ForecastCancelled, NotOffered
from kronos.forecasters.baselines import BASELINES
from kronos.serving.jobs import JobControl, JobStatus
from kronos.serving.service import service
from pages.ui.frame.access import may_administer, not_offered, require_administrator
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import error_text, plain, show_error
from pages.ui.frame.text import counted
from pages.ui.inputs.calendar import fetch_calendar
from pages.ui.inputs.leaders import leaders_for
from pages.ui.jobs import caches
from pages.ui.jobs.progress import POLL_SECONDS, progress_share
from pages.ui.jobs.registry import Run, RunRegistry
from pages.ui.jobs.services import Service
from pages.ui.jobs.session import owner
from pages.ui.track_record.record import record

if TYPE_CHECKING:
    from kronos.walk_forward import WalkPlan, WalkReport

    Walk = Run[WalkPlan, WalkReport]

_REFUSED = "walk refused"
MAX_ORIGINS = 200
OFFERS = "Walk-forward tests"
WALK, WINDOWS = "walk", "Windows"


@Service
def walks() -> RunRegistry[Walk]:
    """The walks of all sessions: one at a time, which goes on while no page shows it."""
    return RunRegistry("walks", n_at_once=1, abandon_after=24 * 3600.0)


def show() -> None:
    """The controls of a walk-forward test, or its progress."""
    more = (
        "The samples are in sample for the models: set Sample to Both in the sidebar to see their "
        "scores. For your own series, use the command line: `kronos walk-forward FOLDER`."
    )
    st.header("Walk-forward test", anchor=False, help=meaning("Walk-forward", more))
    if not may_administer():
        st.info(not_offered(OFFERS), icon=":material/lock:")
        return
    walk = walks().newest(WALK)
    status = None if walk is None else walks().status(walk, owner=_owner())
    if walk is not None and status is not None and not status.is_final:
        _show_progress(walk)
        return
    if walk is not None:
        _show_end(walk)
    if refused := st.session_state.pop(_REFUSED, None):
        show_error(refused)
    st.caption(
        "Forecasts the five bundled samples from many past origins and adds the scores to the "
        "record."
    )
    titles = {entry.name: entry.title for entry in caches.models() if entry.is_here}
    titles |= {name: entry.title for name, entry in BASELINES.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", key="walk_controls"):
        model = st.selectbox(
            "Model to test", list(titles), key="walk_model", format_func=titles.__getitem__
        )
        n_origins = st.number_input("Origins per series", 5, MAX_ORIGINS, 20, key="walk_origins")
        with_baselines = st.toggle("Include all baselines", True, key="walk_baselines")
        st.button(
            "Start test", key="walk_start", icon=":material/directions_walk:", width="content",
            on_click=_start, args=(model, int(n_origins), with_baselines),
        )  # fmt: skip


@st.fragment(run_every=POLL_SECONDS)
def _show_progress(walk: Walk) -> None:
    status = walks().status(walk, owner=_owner())
    if status is None or status.is_final:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(progress_share(status), plain(walk_text(status)))
        st.button(
            "Cancel", key="walk_cancel", icon=":material/close:", width="content",
            on_click=_cancel, args=(walk,),
        )  # fmt: skip


def walk_text(status: JobStatus) -> str:
    """Progress of a walk in one line."""
    if status.stage != WINDOWS or not status.total:
        return status.stage or "Waiting"
    text = f"{status.done:,} of {counted(status.total, 'window')}"
    if status.seconds_left is None:
        return text
    minutes = status.seconds_left / 60
    left = f"{status.seconds_left:.0f} s" if minutes < 1.5 else f"{minutes:.0f} min"
    return f"{text}, about {left} left"


def _show_end(walk: Walk) -> None:
    report = walk.outcome
    if walk.error is not None and not isinstance(walk.error, ForecastCancelled):
        st.error(error_text(walk.error), icon=":material/error:")
    elif report is None:
        st.info(
            "Test stopped. The record has its scores so far. Start it again to continue.",
            icon=":material/cancel:",
        )
    else:
        text = f"Added {counted(report.n_stored, 'window')} to the record."
        if report.n_known:
            text += f" {report.n_known:,} were in it before."
        failed = sum(report.problems.values())
        if failed:
            first = next(iter(report.problems))
            text += f" {failed:,} failed. First error: {first}"
        st.success(plain(text), icon=":material/check_circle:")


def _cancel(walk: Walk) -> None:
    if may_administer():
        walks().leave(walk, owner=_owner())


def _start(model: str, n_origins: int, with_baselines: bool) -> None:
    try:
        require_administrator(OFFERS)
    except NotOffered as error:
        st.session_state[_REFUSED] = error
        return
    from kronos.store import open_store
    from kronos.walk_forward import Series, WalkPlan, walk_forward

    models = dict.fromkeys([model, *(BASELINES if with_baselines else ())])
    series = [Series(load_sample(key), SampleBars.name) for key in SAMPLES]
    plan = WalkPlan(models=tuple(models), n_origins=n_origins)

    def work(control: JobControl, walk: Walk) -> None:
        control.stage("Loading the models")

        def progress(done: int, total: int) -> None:
            if control.stage_name != WINDOWS:
                control.stage(WINDOWS)
            control.progress(done, total)

        try:
            leaders = None
            if any(service().facts(each).reads_events for each in plan.models):
                for one in series:
                    fetch_calendar(one.candles, origin=one.candles.frame.index[0])
                latest = max((one.candles for one in series), key=lambda one: one.frame.index[-1])
                leaders = leaders_for(latest)
            walk.outcome = walk_forward(
                service(), open_store(), series, plan, leaders=leaders, progress=progress
            )
        finally:
            record().refresh()

    try:
        walks().start(Run(WALK, plan, work), owner=_owner())
    except Busy as error:
        st.session_state[_REFUSED] = error


def _owner() -> str:
    return f"{owner()} walk"
