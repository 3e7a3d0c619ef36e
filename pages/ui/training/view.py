"""The page: before a run, while it trains, and with its result."""

from __future__ import annotations

import streamlit as st

from kronos import models
from kronos.errors import Busy, CheckpointError, InvalidRequest, KronosError
from kronos.finetune.settings import n_adapter_parameters
from kronos.models.adapters import adapter_path
from pages.ui.chart.view import show_figure
from pages.ui.fan.results import show_number
from pages.ui.frame.links import open_page
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.text import origin_query
from pages.ui.inputs.candles import UPLOAD, hand_over
from pages.ui.jobs import caches
from pages.ui.jobs.forecast_runs import COMPARISON, FORECAST
from pages.ui.training import process, session
from pages.ui.training.controls import (
    Chosen,
    choose_base,
    choose_data,
    choose_settings,
    show_reading,
)
from pages.ui.training.figure import MAX_BARS, loss_figure, score_figure, split_figure
from pages.ui.training.folder import KEPT_DAYS, KeptSeries, TrainingRun, create_run
from pages.ui.training.plan import Plan
from pages.ui.training.process import ALIVE, State
from pages.ui.training.text import (
    curves_description,
    ended_text,
    plan_facts,
    progress_line,
    result_facts,
    scores,
    split_text,
    step_of,
    verdict,
)

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


_KEEP_REFUSED = "keeping refused"


def show_outcome(run: TrainingRun) -> None:
    """Figures, and what can be done with the adapter."""
    lines = run.lines()
    helped, words = verdict(lines)
    if helped:
        st.success(words, icon=":material/check_circle:")
    else:
        st.warning(words, icon=":material/balance:")
    with st.container(horizontal=True, gap="medium", key="training_result"):
        for fact in result_facts(lines):
            show_number(fact)
    if run.kept_as and adapter_path(run.kept_as) is not None:
        _show_ways(run)
    else:
        _show_keeping(run)


def _show_keeping(run: TrainingRun) -> None:
    st.subheader("Keep it as a model", anchor=False)
    st.caption(
        "A kept model belongs to this machine: everybody who uses this server sees its name and "
        "can forecast with it or delete it. Your bars stay yours."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Name", key="train_name", max_chars=63, width=320, placeholder="my-candles",
            help="Lower-case letters, digits, dots, hyphens and underscores.",
        )  # fmt: skip
        st.button(
            "Keep as a model", key="train_keep", type="primary", icon=":material/save:",
            on_click=_keep, args=(run,),
        )  # fmt: skip
    refused = st.session_state.pop(_KEEP_REFUSED, None)
    if refused is not None:
        show_error(refused)


def _keep(run: TrainingRun) -> None:
    name = str(st.session_state.get("train_name") or "").strip()
    try:
        keep(run, name)
    except KronosError as error:
        st.session_state[_KEEP_REFUSED] = error


def keep(run: TrainingRun, name: str) -> None:
    """Registers a run's adapter under a name that nothing else has.

    Raises:
        InvalidRequest: The name cannot be one, or is taken.
    """
    models.require_free(name)
    if adapter_path(name) is not None:
        # On this page nobody takes the place of somebody else's model.
        raise InvalidRequest(
            f"{name} is the name of a model already; choose another, or delete that one on the "
            "Models page."
        )
    models.install(run.adapter, name)
    run.note_kept(name)
    caches.models.clear()


def _show_ways(run: TrainingRun) -> None:
    """Compare and Forecast with the adapter, on bars of the run."""
    st.subheader("Use it", anchor=False)
    series = run.series
    with st.container(horizontal=True, vertical_alignment="bottom"):
        i = st.selectbox(
            "On", range(len(series)), format_func=lambda i: series[i].title, key="train_open",
            width=320,
        )  # fmt: skip
        to_compare = st.button(
            "Compare with its base", key="train_compare", type="primary",
            icon=":material/compare_arrows:",
        )  # fmt: skip
        to_forecast = st.button("Forecast", key="train_forecast", icon=":material/insights:")
    st.caption(
        "Compare begins so far in the past that what came is drawn and scored. Those bars chose "
        "the step, so a hit there proves little; the score on newer bars counts."
    )
    if to_compare or to_forecast:
        _open(run, series[int(i or 0)], compare=to_compare)


def _open(run: TrainingRun, series: KeptSeries, *, compare: bool) -> None:
    told = run.settings
    titles = {entry.name: entry.title for entry in caches.models()}
    candles = run.candles(series)
    if not series.sample:
        hand_over(candles, series.title, run.choices)
    query = {"data": series.sample or UPLOAD, "horizon": str(told.horizon)}
    if compare:
        origin = candles.local_index[-1 - min(told.horizon, len(candles) // 2)]
        query |= {
            "models": "2",
            "a": titles.get(told.base, told.base),
            "b": titles.get(run.kept_as, run.kept_as),
            **origin_query(origin, candles.interval),
        }
        COMPARISON.expect_visit()
        open_page("compare", query)
    FORECAST.expect_visit()
    query["model"] = titles.get(run.kept_as, run.kept_as)
    open_page("forecast", query)
