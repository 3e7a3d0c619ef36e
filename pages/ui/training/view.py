"""The page: before a run, while it trains, and with its result."""

from __future__ import annotations

import streamlit as st

from kronos import models
from kronos.errors import Busy, CheckpointError, InvalidRequest, KronosError, NotOffered
from kronos.finetune.settings import n_adapter_parameters
from kronos.models.adapters import adapter_path
from pages.ui.chart.view import show_figure
from pages.ui.fan.results import show_number
from pages.ui.frame.access import require_administrator
from pages.ui.frame.glossary import meaning
from pages.ui.frame.links import open_page
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.text import origin_query
from pages.ui.inputs.candles import UPLOAD, hand_over
from pages.ui.jobs import caches
from pages.ui.jobs.forecast_runs import COMPARISON, FORECAST
from pages.ui.jobs.run_button import title_line
from pages.ui.training import process, session
from pages.ui.training.controls import (
    Chosen,
    choose_base,
    choose_data,
    choose_settings,
    show_reading,
)
from pages.ui.training.figure import MAX_BARS, loss_figure, score_figure, split_figure
from pages.ui.training.folder import KEPT_DAYS, StoredSeries, TrainingRun, create_run
from pages.ui.training.plan import Plan
from pages.ui.training.process import ALIVE, State
from pages.ui.training.text import (
    curves_description,
    ended_text,
    plan_facts,
    progress_line,
    result_facts,
    scores,
    split_details,
    split_text,
    step_of,
    verdict,
)

_PRIVACY = f"""\
- Only the link of a run opens it, and its bars.
- The server stores a run until you press Discard, or for {KEPT_DAYS} days.
- A saved model belongs to this machine: all visitors see its name and can forecast with it. They \
do not see your bars.
"""


def show_setup() -> None:
    """The controls, the plan of the run, and the button that starts it."""
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
        with st.expander("Privacy", icon=":material/lock:"):
            st.markdown(_PRIVACY)
    title, is_pressed = title_line("train_start", label="Start training", disabled=plan is None)
    if is_pressed and plan is not None and chosen is not None:
        problem = _start(chosen, plan)
    title.title("Training", anchor=False)
    st.caption(
        "Fine-tunes a model on your own candles. The result is an adapter, a small file.",
        help=" ".join(meaning(name) for name in ("Adapter", "LoRA", "Cut-off")),
    )
    if session.is_lost():
        st.warning(
            "The run of this link is no longer on this server.",
            icon=":material/link_off:",
        )
    _show_mine()
    if problem is not None:
        show_error(problem)
    elif chosen is None:
        st.info(
            "Upload one or more files of candles in the sidebar.",
            icon=":material/upload_file:",
        )
    if chosen is not None:
        st.header("Data", anchor=False)
        show_reading(chosen)
    if base is not None and chosen is not None and plan is not None:
        _show_plan(base, chosen, plan)


def _start(chosen: Chosen, plan: Plan) -> KronosError | None:
    """Start a run and show it, or return the error."""
    try:
        require_administrator(process.OFFERS)
        # Before the first file, so that repeated attempts leave no folders behind.
        process.require_free()
    except KronosError as error:
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
    """Links to the runs of this session."""
    runs = session.mine()
    if not runs:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Your runs:")
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
    st.header("Plan", anchor=False)
    with st.container(horizontal=True, gap="small", key="training_plan"):
        for fact in plan_facts(plan, _n_trained(base.name, plan), base.n_parameters):
            show_number(fact)
    text = split_text(plan)
    show_figure(split_figure(chosen.series, plan.cut_off), key="training_split", alt=text)
    if len(chosen.series) > MAX_BARS:
        st.caption(f"The chart shows the first {MAX_BARS} of {len(chosen.series)} series.")
    st.caption(plain(text), help=split_details(plan))


def _n_trained(name: str, plan: Plan) -> int:
    try:
        return n_adapter_parameters(caches.model_config(name), events=plan.settings.events)
    except CheckpointError:
        return 0


POLL_SECONDS = 1.5
_CRPS = (
    "Score of forecasts on the validation bars, in units of the volatility. The adapter is that of "
    "the step with the lowest score."
)
_LOSS = "Loss of the tokens of the training bars. It says little about the quality of forecasts."
_REFUSED = "training refused"


def show_run(run: TrainingRun) -> None:
    """The page of a run, in any state."""
    state = process.state_of(run)
    with st.sidebar:
        _show_settings(run)
    title = f"Training, saved as {plain(run.kept_as)}" if run.kept_as else "Training"
    st.title(title, anchor=False)
    if state in ALIVE:
        _show_live(run)
        return
    _show_ended(run, state)
    _show_curves(run)


def _show_settings(run: TrainingRun) -> None:
    settings = run.settings
    titles = [each.title for each in run.series]
    shown = ", ".join(titles[:3]) + (f" and {len(titles) - 3:,} more" if len(titles) > 3 else "")
    facts = [
        f"Base: {settings.base}",
        f"Bars: {shown}",
        f"Cut-off: {run.cut_off:%d %b %Y %H:%M} UTC",
        f"Windows: {settings.context} + {settings.horizon} bars, {settings.windows} per step",
        f"Steps: {settings.steps:,}, learning rate {settings.lr:g}, seed {settings.seed}",
        f"Event calendar: {'yes' if settings.events else 'no'}",
        f"Created: {run.created:%d %b %Y, %H:%M} UTC",
    ]
    st.markdown("\n".join(f"- {plain(fact)}" for fact in facts))
    st.button(
        "New training", key="train_new", icon=":material/add:", width="stretch",
        on_click=session.look_away, help="This run stays; the page links to it.",
    )  # fmt: skip
    st.caption(
        f"Only this link opens the run. The server deletes it after {KEPT_DAYS} days without use."
    )


@st.fragment(run_every=POLL_SECONDS)
def _show_live(run: TrainingRun) -> None:
    """Progress and curves of a run under way. Reruns the page after its end."""
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
            on_click=_stop, args=(run,), disabled=state == "stopping",
            help="Saves the run and ends it. Resume continues it.",
        )  # fmt: skip
    st.caption(
        "The run continues after you leave this page; the link leads back to it. If the server "
        "stops, you can resume the run."
    )
    _show_curves(run)


def _show_curves(run: TrainingRun) -> None:
    lines, n_steps = run.lines(), run.settings.steps or 1
    if not scores(lines):
        return
    words = curves_description(lines)
    curves = (
        ("training_crps", "Validation CRPS", score_figure(lines, n_steps), _CRPS),
        ("training_loss", "Training loss", loss_figure(lines, n_steps), _LOSS),
    )
    for column, (key, title, figure, text) in zip(st.columns(2), curves, strict=True):
        with column:
            st.subheader(title, anchor=False, help=text)
            show_figure(figure, key=key, alt=words)
    st.caption("Lower is better.")


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
        st.code("\n".join(run.output_tail()) or "No output.", language=None, wrap_lines=True)
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
            + (" The saved model stays." if run.kept_as else " This cannot be undone.")
        )
        st.button("Delete this run", key="train_discard", on_click=_discard, args=(run,))


def _stop(run: TrainingRun) -> None:
    try:
        process.ask_to_stop(run)
    except NotOffered as error:
        st.session_state[_REFUSED] = error


def _resume(run: TrainingRun) -> None:
    try:
        process.start(run)
    except (Busy, NotOffered) as error:
        st.session_state[_REFUSED] = error


def _discard(run: TrainingRun) -> None:
    try:
        require_administrator(process.OFFERS)
    except NotOffered as error:
        st.session_state[_REFUSED] = error
        return
    if process.state_of(run) in ALIVE:
        return  # resumed in another tab; the page shows it under way
    session.look_away()
    run.delete()


_SAVE_REFUSED = "keeping refused"


def show_outcome(run: TrainingRun) -> None:
    """Scores of the adapter, and what to do with it."""
    lines = run.lines()
    has_gained, words = verdict(lines, run.settings.steps)
    # Colour only for what the interval bears out.
    (st.success if has_gained else st.info)(plain(words), icon=":material/balance:")
    with st.container(horizontal=True, gap="small", key="training_result"):
        for fact in result_facts(lines):
            show_number(fact)
    if run.kept_as and adapter_path(run.kept_as) is not None:
        _show_links(run)
    else:
        _show_saving(run)


def _show_saving(run: TrainingRun) -> None:
    st.subheader("Save as a model", anchor=False)
    st.caption(
        "All visitors of this server see the name of a saved model and can forecast with it or "
        "delete it. They do not see your bars."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Name", key="train_name", max_chars=63, width=320, placeholder="my-candles",
            help="Lower-case letters, digits, dots, hyphens and underscores.",
        )  # fmt: skip
        st.button(
            "Save as a model", key="train_keep", type="primary", icon=":material/save:",
            on_click=_save, args=(run,),
        )  # fmt: skip
    refused = st.session_state.pop(_SAVE_REFUSED, None)
    if refused is not None:
        show_error(refused)


def _save(run: TrainingRun) -> None:
    name = str(st.session_state.get("train_name") or "").strip()
    try:
        save(run, name)
    except KronosError as error:
        st.session_state[_SAVE_REFUSED] = error


def save(run: TrainingRun, name: str) -> None:
    """Save the adapter of a run as a model with an unused name.

    Raises:
        NotOffered: This session may not administer a public server.
        InvalidRequest: The name cannot be one, or is taken.
    """
    require_administrator(process.OFFERS)
    models.require_free(name)
    if adapter_path(name) is not None:
        # Visitors must not replace models of one another.
        raise InvalidRequest(
            f"The name {name} is in use. Choose another one, or delete that model on the Models "
            "page."
        )
    models.install(run.adapter, name)
    run.note_kept(name)
    caches.models.clear()


def _show_links(run: TrainingRun) -> None:
    """Links to Compare and Forecast with the adapter, on bars of the run."""
    st.subheader("Use the model", anchor=False)
    series = run.series
    with st.container(horizontal=True, vertical_alignment="bottom"):
        i = st.selectbox(
            "Series", range(len(series)), format_func=lambda i: series[i].title, key="train_open",
            width=320,
        )  # fmt: skip
        to_compare = st.button(
            "Compare with its base", key="train_compare", type="primary",
            icon=":material/compare_arrows:",
        )  # fmt: skip
        to_forecast = st.button("Forecast", key="train_forecast", icon=":material/insights:")
    st.caption(
        "Compare starts one horizon before the last bar. These validation bars also selected the "
        "step: only scores on newer bars count as a test."
    )
    if to_compare or to_forecast:
        _open(run, series[int(i or 0)], compare=to_compare)


def _open(run: TrainingRun, series: StoredSeries, *, compare: bool) -> None:
    settings = run.settings
    titles = {entry.name: entry.title for entry in caches.models()}
    candles = run.candles(series)
    if not series.sample:
        hand_over(candles, series.title, run.choices)
    query = {"data": series.sample or UPLOAD, "horizon": str(settings.horizon)}
    if compare:
        origin = candles.local_index[-1 - min(settings.horizon, len(candles) // 2)]
        query |= {
            "models": "2",
            "a": titles.get(settings.base, settings.base),
            "b": titles.get(run.kept_as, run.kept_as),
            **origin_query(origin, candles.interval),
        }
        COMPARISON.expect_visit()
        open_page("compare", query)
    FORECAST.expect_visit()
    query["model"] = titles.get(run.kept_as, run.kept_as)
    open_page("forecast", query)
