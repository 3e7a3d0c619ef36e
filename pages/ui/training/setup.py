"""The page before a run: what is chosen, how it is split, what it will take, and Start."""

from __future__ import annotations

import streamlit as st

from kronos import models
from kronos.errors import Busy, CheckpointError, KronosError
from kronos.finetune.estimate import n_adapter_parameters
from pages.ui.chart.view import show_figure
from pages.ui.fan.results import show_number
from pages.ui.frame.messages import plain, show_error
from pages.ui.jobs import caches
from pages.ui.training import process, session
from pages.ui.training.controls import (
    Chosen,
    choose_base,
    choose_data,
    choose_settings,
    show_reading,
)
from pages.ui.training.figure import MAX_BARS, split_figure
from pages.ui.training.folder import KEPT_DAYS, create_run
from pages.ui.training.plan import Plan
from pages.ui.training.text import plan_facts, split_text

_PRIVACY = (
    "Your bars and this run are seen by nobody else: only who has this page's link with its id. "
    f"They lie on this server until you press Discard, or for {KEPT_DAYS} days. A model that you "
    "keep in the end belongs to this machine: everybody who uses it sees the model and its name "
    "and can forecast with it, but not your bars."
)


def show_setup() -> None:
    """Controls, what follows of them, and the button."""
    base: models.Entry | None = None
    chosen: Chosen | None = None
    plan: Plan | None = None
    problem: KronosError | None = None
    with st.sidebar:
        try:
            base = choose_base()
            chosen = choose_data()
        except KronosError as error:
            problem = error
        try:
            plan = choose_settings(base, chosen) if base else None
        except KronosError as error:
            problem = problem or error
        is_pressed = st.button(
            "Start training", key="train_start", type="primary", icon=":material/play_arrow:",
            width="stretch", shortcut="Ctrl+Enter", disabled=plan is None,
        )  # fmt: skip
        st.caption(_PRIVACY)
    if is_pressed and plan is not None and chosen is not None:
        problem = _start(chosen, plan)
    st.title("Training", anchor=False)
    st.markdown(
        "An adapter teaches a model your own candles: a small file beside its base. Bars before "
        "the cut-off teach, bars behind it choose the best step."
    )
    if session.is_lost():
        st.warning(
            "The link names a training that is not on this server any more.",
            icon=":material/link_off:",
        )
    _show_mine()
    if problem is not None:
        show_error(problem)
    elif chosen is None:
        st.info(
            "Upload one or several CSV files of candles in the sidebar.",
            icon=":material/upload_file:",
        )
    if chosen is not None:
        st.header("What was understood", anchor=False)
        show_reading(chosen)
    if base is not None and chosen is not None and plan is not None:
        _show_plan(base, chosen, plan)


def _start(chosen: Chosen, plan: Plan) -> KronosError | None:
    """Starts a run and shows it; else why it could not be started."""
    try:
        # Before anything is written: who tries again and again leaves no folders behind.
        process.require_free()
    except Busy as error:
        return error
    run = create_run(chosen.series, plan, chosen.choices)
    try:
        process.start(run)
    except Busy as error:
        run.delete()
        return error
    session.look_at(run)
    st.rerun()


def _show_mine() -> None:
    """The way back to the runs of this session."""
    runs = session.mine()
    if not runs:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Your trainings:")
        for run in runs:
            state = process.state_of(run)
            st.button(
                f"{run.created:%d %b, %H:%M} UTC, {run.kept_as or state}",
                key=f"open {run.id}",
                icon=":material/open_in_new:",
                on_click=session.look_at,
                args=(run,),
            )


def _show_plan(base: models.Entry, chosen: Chosen, plan: Plan) -> None:
    st.header("How it will be trained", anchor=False)
    with st.container(horizontal=True, gap="medium", key="training_plan"):
        for fact in plan_facts(plan, _n_trained(base.name, plan), base.n_parameters):
            show_number(fact)
    text = split_text(plan)
    show_figure(split_figure(chosen.series, plan.cut_off), key="training_split", alt=text)
    if len(chosen.series) > MAX_BARS:
        st.caption(f"The first {MAX_BARS} of {len(chosen.series)} series are drawn.")
    st.caption(plain(text))


def _n_trained(name: str, plan: Plan) -> int:
    try:
        return n_adapter_parameters(caches.model_config(name), events=plan.settings.events)
    except CheckpointError:
        return 0
