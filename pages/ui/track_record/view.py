"""The record on the page: scoring, figures, charts, tables, and the worst misses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from kronos.errors import Busy, KronosError
from kronos.serving.jobs import JobStatus
from kronos.store.store import Store
from pages.ui.chart.view import show_figure
from pages.ui.fan.results import show_number
from pages.ui.fan.stored import read_since, show_again, show_stored
from pages.ui.frame.access import may_administer, not_offered
from pages.ui.frame.excel import MIME
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import error_text, plain, show_error
from pages.ui.frame.text import counted
from pages.ui.jobs.progress import POLL_SECONDS
from pages.ui.jobs.scoring import scorer
from pages.ui.jobs.session import owner
from pages.ui.track_record import controls, figure, text, walks
from pages.ui.track_record.record import CARD, SERVER, Answer, record
from pages.ui.track_record.study import Chosen, Study
from pages.ui.track_record.text import scored_text

_SHOWN = {SERVER: "record shown", CARD: "card shown", controls.WALK: "walk shown"}


def look(chosen: Chosen, of: str = SERVER) -> Answer | None:
    """The current answer, or the previous one while the new one is computed, with the progress."""
    shown = _SHOWN[of]
    try:
        status = _status(chosen, of)
    except Busy as error:
        show_error(error)
        return st.session_state.get(shown)
    if status.state == "done":
        answer: Answer = status.result
        st.session_state[shown] = answer
        if answer.study is not None and controls.learn(of, answer.study.choices):
            st.rerun()
        return answer
    if status.error is not None:
        st.error(error_text(status.error), icon=":material/error:")
        return None
    _show_progress(chosen, of)
    return st.session_state.get(shown)


def _status(chosen: Chosen, of: str) -> JobStatus:
    if of != controls.WALK:
        return record().look(chosen, owner=f"{_owner()} {of}", of=of)
    name, walked = walks.own_record()
    return record().look(chosen, owner=f"{_owner()} {of}", of=name, walk=walked)


def is_empty(answer: Answer, chosen: Chosen) -> bool:
    """Whether a record has nothing to show to a visitor who has chosen no filter."""
    if answer.study is None:
        return True
    return not answer.study.n_forecasts and replace(chosen, model="") == Chosen()


def show_empty(answer: Answer) -> None:
    """An empty record, and how to fill it."""
    if answer.study is not None:
        st.info(
            "All scored forecasts of this server are in sample: their bars may have been in the "
            "training data. Set Sample to Both in the sidebar to see them.",
            icon=":material/filter_alt:",
        )
        return
    if not may_administer():
        st.info("No stored forecast has an outcome yet.", icon=":material/inbox:")
        return
    if answer.n_waiting:
        st.info(
            f"{counted(answer.n_waiting, 'stored forecast')}, none scored yet. Press Score now to "
            "fetch new bars. A forecast from the last bar of a bundled sample is never scored, "
            "because the sample ends there.",
            icon=":material/hourglass_top:",
        )
    else:
        st.info("No stored forecast yet.", icon=":material/inbox:")
    st.markdown(
        "The pages Forecast, Compare, What if and Watchlist store their forecasts, and so does "
        "`kronos forecast --save`. To fill the record at once, run a walk-forward test above, or "
        "from the command line:"
    )
    command = "kronos walk-forward my-candles --since 2025-10-01"
    st.code(command, language=None, wrap_lines=True)
    st.caption(f"Store: {plain(answer.address)}")


def show_card_mark(answer: Answer) -> None:
    """What the record of the model card is, where it is shown."""
    if answer.card is not None:
        st.info(plain(text.card_text(answer.card)), icon=":material/badge:")
    else:
        st.info(
            "This installation has no record of the model card for the weights on this machine.",
            icon=":material/inbox:",
        )


def show_study(answer: Answer, study: Study, *, narrow: bool) -> None:
    """A part of the record of one model."""
    st.header(plain(study.chosen.model), anchor=False)
    if not study.n_forecasts:
        st.info(plain(text.scope_text(study)), icon=":material/filter_alt:")
        return
    st.caption(plain(text.scope_text(study)))
    with st.container(horizontal=True, gap="small", key="record_readouts"):
        for number in text.headline(study):
            show_number(number)
    _show_calibration(study)
    st.header("Skill against baselines", anchor=False, help=meaning("CRPS skill"))
    if study.rivals:
        drawn = figure.skill_figure(study.rivals, compact=narrow)
        show_figure(drawn, key="record_skill", alt=text.skill_description(study))
        st.markdown(plain(text.claim_text(study)))
        st.dataframe(text.rivals_table(study), hide_index=True)
        st.caption(
            "On the same instruments, origins and bars.",
            help="Intervals of 95% are a block bootstrap over origin dates, DM is the "
            "Diebold-Mariano test: both are for one look. Better? is by the e-value. Gains are the "
            "baseline's score less the model's.",
        )
    else:
        st.info(
            "No baseline forecast of the same bars. Run a walk-forward test with all baselines.",
            icon=":material/balance:",
        )
    st.header("By group", anchor=False)
    st.dataframe(
        text.parts_table(study), hide_index=True, height="content",
        column_config={"Value": st.column_config.TextColumn(width=220)},
    )  # fmt: skip
    skill = f"CRPS skill vs {study.rivals[0].title}; " if study.rivals else ""
    st.caption(plain(f"{skill}± is two standard errors."))
    st.download_button(
        "Record (Excel)", partial(text.record_workbook, study), file_name="track-record.xlsx",
        mime=MIME, key="record xlsx", on_click="ignore", icon=":material/download:",
    )  # fmt: skip
    if answer.store is not None:
        _show_misses(answer.store, study, narrow=narrow)


def _show_calibration(study: Study) -> None:
    st.header("Calibration", anchor=False, help=meaning("Calibrated"))
    charts = (
        ("Reliability", "record_reliability", figure.reliability_figure(study.reliability)),
        ("PIT", "record_pit", figure.pit_figure(study.pit)),
        (
            "Coverage by horizon", "record_steps",
            figure.coverage_figure(study.by_step, title="bars ahead"),
        ),
        (
            "Coverage over time", "record_time",
            figure.coverage_time_figure(study.over_time),
        ),
    )  # fmt: skip
    helps = {"Reliability": meaning("Reliability"), "PIT": meaning("PIT")}
    for pair in (charts[:2], charts[2:]):
        for column, (title, key, drawn) in zip(st.columns(2), pair, strict=True):
            with column:
                st.subheader(title, anchor=False, help=helps.get(title, meaning("Coverage")))
                show_figure(drawn, key=key, alt=f"{title}: {text.calibration_description(study)}")


@st.fragment
def _show_misses(store: Store, study: Study, *, narrow: bool) -> None:
    """The worst misses, and the selected one as a chart."""
    titles = {text.miss_title(row): row for _, row in study.misses.iterrows()}
    if not titles:
        return
    st.header("Worst misses", anchor=False)
    chosen = titles[st.selectbox("Forecast", list(titles), key="record_miss")]
    try:
        prediction = store.get(str(chosen["prediction_id"]))
        since = read_since(store, prediction)
    except KronosError as error:
        show_error(error)
        return
    show_stored(
        store, prediction, since, key="record_fan", alt=text.miss_title(chosen), narrow=narrow
    )
    show_again(prediction, key="record_open")


@st.fragment(run_every=POLL_SECONDS)
def _show_progress(chosen: Chosen, of: str) -> None:
    status = _status(chosen, of)
    if status.is_final:
        st.rerun()
    st.caption(f":material/hourglass_top: {plain(status.stage or 'Waiting')}")


def _owner() -> str:
    """This session on this page."""
    return f"{owner()} record"


SCORING_POLL_SECONDS = 2.0


def show_scoring() -> None:
    """The state of the scoring, and a button that starts it."""
    current = scorer()
    if current.is_running:
        _show_running()
        return
    with st.container(horizontal=True, vertical_alignment="center", key="record_scoring"):
        st.caption(plain(scored_text(current.last, is_running=False)))
        if not may_administer():
            return
        st.button(
            "Score now", key="score_now", icon=":material/fact_check:", width="content",
            on_click=_score_now,
        )  # fmt: skip


@st.fragment(run_every=SCORING_POLL_SECONDS)
def _show_running() -> None:
    if not scorer().is_running:
        record().refresh()
        st.rerun()
    st.caption(f":material/hourglass_top: {plain(scored_text(None, is_running=True))}")


def _score_now() -> None:
    if not may_administer():
        st.toast(not_offered("Requests for scores"), icon=":material/lock:")
    elif not scorer().score_now():
        st.toast(
            "Scored less than a minute ago. Try again in a minute.", icon=":material/schedule:"
        )
