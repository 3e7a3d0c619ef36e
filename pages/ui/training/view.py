"""The page of a run: what was asked for, how far it is, and Stop, Resume, Discard."""

from __future__ import annotations

import streamlit as st

from kronos.errors import Busy
from pages.ui.chart.view import show_figure
from pages.ui.frame.messages import plain, show_error
from pages.ui.training import process, session
from pages.ui.training.figure import loss_figure, score_figure
from pages.ui.training.folder import KEPT_DAYS, TrainingRun
from pages.ui.training.outcome import show_outcome
from pages.ui.training.process import ALIVE, State
from pages.ui.training.text import (
    curves_description,
    ended_text,
    progress_line,
    scores,
    step_of,
)

POLL_SECONDS = 1.5
_REFUSED = "training refused"


def show_run(run: TrainingRun) -> None:
    """Everything of a run, whichever state it is in."""
    state = process.state_of(run)
    with st.sidebar:
        _show_asked(run)
    title = f"Training, kept as {plain(run.kept_as)}" if run.kept_as else "Training"
    st.title(title, anchor=False)
    if state in ALIVE:
        _show_live(run)
        return
    _show_ended(run, state)
    _show_curves(run)


def _show_asked(run: TrainingRun) -> None:
    told = run.settings
    titles = [each.title for each in run.series]
    shown = ", ".join(titles[:3]) + (f" and {len(titles) - 3:,} more" if len(titles) > 3 else "")
    facts = [
        f"Base: {told.base}",
        f"Bars: {shown}",
        f"Cut-off: {run.cut_off:%d %b %Y %H:%M} UTC",
        f"Windows: {told.context} + {told.horizon} bars, {told.windows} in a step",
        f"Steps: {told.steps:,}, learning rate {told.lr:g}, seed {told.seed}",
        f"Event calendar: {'learned' if told.events else 'not learned'}",
        f"Asked for: {run.created:%d %b %Y, %H:%M} UTC",
    ]
    st.markdown("\n".join(f"- {plain(fact)}" for fact in facts))
    st.button(
        "New training", key="train_new", icon=":material/add:", width="stretch",
        on_click=session.look_away, help="This one stays as it is; the page leads back to it.",
    )  # fmt: skip
    st.caption(
        "This link is the key to the run: nobody else has it, and whoever you give it to sees the "
        f"run. It is deleted {KEPT_DAYS} days after it was last touched."
    )


@st.fragment(run_every=POLL_SECONDS)
def _show_live(run: TrainingRun) -> None:
    """Progress and curves of a run under way. Reruns the page once it has ended."""
    state = process.state_of(run)
    if state not in ALIVE:
        st.rerun()
    if state == "stopping":
        process.ask_to_stop(run)
    lines, n_steps = run.lines(), run.settings.steps or 1
    with st.container(horizontal=True, vertical_alignment="center"):
        share = min(step_of(lines) / n_steps, 1.0)
        st.progress(share, progress_line(state, lines, n_steps))
        st.button(
            "Stop", key="train_stop", icon=":material/stop:", width="content",
            on_click=process.ask_to_stop, args=(run,), disabled=state == "stopping",
            help="Saves and ends; Resume goes on from there.",
        )  # fmt: skip
    st.caption(
        "It goes on when you close or leave this page; come back by this link. If the server is "
        "stopped, it saves and ends, and can be resumed."
    )
    _show_curves(run)


def _show_curves(run: TrainingRun) -> None:
    lines, n_steps = run.lines(), run.settings.steps or 1
    if not scores(lines):
        return
    words = curves_description(lines)
    with st.container(horizontal=True, gap="medium", key="training_curves"):
        for key, title, figure in (
            ("training_crps", "Validation CRPS", score_figure(lines, n_steps)),
            ("training_loss", "Training loss", loss_figure(lines, n_steps)),
        ):
            with st.container(width=520):
                st.subheader(title, anchor=False)
                show_figure(figure, key=key, alt=words)
    st.caption(
        "Lower is better in both. The loss is that of the tokens the bars are written in, on bars "
        "that teach; it says little about forecasts. CRPS is of forecasts as the pages make them, "
        "on bars that choose, in units of the volatility; the lowest point is kept."
    )


def _show_ended(run: TrainingRun, state: State) -> None:
    refused = st.session_state.pop(_REFUSED, None)
    if refused is not None:
        show_error(refused)
    if state == "done":
        show_outcome(run)
        _show_discard(run)
        return
    text = ended_text(state, run.exit_code)
    if state == "failed":
        st.error(text, icon=":material/error:")
        st.code("\n".join(run.output_tail()) or "It said nothing.", language=None, wrap_lines=True)
    else:
        st.info(text, icon=":material/pause_circle:")
    with st.container(horizontal=True):
        st.button(
            "Resume", key="train_resume", type="primary", icon=":material/play_arrow:",
            on_click=_resume, args=(run,),
        )  # fmt: skip
        _show_discard(run)


def _show_discard(run: TrainingRun) -> None:
    with st.popover("Discard", icon=":material/delete:"):
        st.markdown(
            "Deletes the run, its bars and its adapter from this server."
            + (" The model that you kept stays." if run.kept_as else " It cannot be undone.")
        )
        st.button("Delete this run", key="train_discard", on_click=_discard, args=(run,))


def _resume(run: TrainingRun) -> None:
    try:
        process.start(run)
    except Busy as error:
        st.session_state[_REFUSED] = error


def _discard(run: TrainingRun) -> None:
    if process.state_of(run) in ALIVE:
        return  # resumed in another tab; the page shows it under way
    session.look_away()
    run.delete()
