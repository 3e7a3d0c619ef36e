"""Progress of forecasts side by side, polled apart from the rest of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from kronos.errors import KronosError
from kronos.serving.jobs import JobStatus
from pages.ui.chart.panels import LETTERS
from pages.ui.frame.access import may_administer, not_offered
from pages.ui.frame.messages import error_text, plain, show_error
from pages.ui.frame.text import size_text
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.model_choices import choice_of
from pages.ui.jobs.forecast_runs import ForecastRun, ForecastRuns, is_pending
from pages.ui.jobs.progress import (
    look_again_in,
    poll_seconds,
    progress_share,
    progress_text,
)
from pages.ui.jobs.settings import ForecastSettings

RUN_PIXELS = 260


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a page about its runs.

    Attributes:
        invitation: Shown where nothing was requested yet.
        older: Shown above an older result.
        title: Title of a run by its place and settings.
    """

    invitation: str
    older: str
    title: Callable[[int, ForecastSettings], str]

    def label(self, place: int, run: ForecastRun) -> str:
        """Letter and title, as Markdown."""
        return plain(f"{LETTERS[place]} · {self.title(place, run.settings)}")


def show_state(
    page: ForecastRuns,
    words: Words,
    settings: Sequence[ForecastSettings],
    source: ChosenCandles,
    statuses: Sequence[JobStatus | None],
    refusal: KronosError | None,
    *,
    has_older: bool,
) -> None:
    """The state of the runs: pending, missing, failed, cancelled, or out of date."""
    older = f" {words.older}" if has_older else ""
    runs = page.runs()
    if refusal is not None:
        show_error(refusal)
    if not page.concern(source.data_id):
        st.info(words.invitation, icon=":material/play_arrow:")
        return
    if page.is_cancelled():
        # Nothing is missing where the controls describe the forecasts that are shown.
        if page.shown_settings() == tuple(settings):
            return
        st.info(f"Cancelled. Press Run to start again.{older}", icon=":material/cancel:")
        return
    _show_missing(page)
    if any(map(is_pending, statuses)):
        draw = st.fragment(show_progress, run_every=poll_seconds(statuses))
        draw(page, words, source.data_id)
        if older:
            st.caption(older.strip())
        return
    _show_failures(words, runs, statuses)
    if [run.settings for run in runs] != list(settings):
        st.info(f"Settings changed: press Run.{older}", icon=":material/sync:")


def show_progress(page: ForecastRuns, words: Words, data_id: str) -> None:
    """Every run with its steps, and Cancel for all. Reruns the page when there is more to show."""
    before = page.shown_keys()
    statuses = page.advance(data_id)
    if page.shown_keys() != before or not any(map(is_pending, statuses)):
        st.rerun()
    look_again_in(poll_seconds(statuses))
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_progress"):
        for place, (run, status) in enumerate(zip(page.runs(), statuses, strict=True)):
            if run.phase == "missing":
                continue
            with st.container(width=RUN_PIXELS, gap=None):
                text = f"{words.label(place, run)}: {plain(run_text(run, status))}"
                st.progress(run_share(status), text)
        st.button(
            "Cancel all", key="cancel_all", on_click=page.cancel,
            icon=":material/close:", width="content",
        )  # fmt: skip


def run_share(status: JobStatus | None) -> float:
    """Finished part of a run, 0 to 1."""
    if status is None or status.is_final:
        return 1.0
    return progress_share(status)


def run_text(run: ForecastRun, status: JobStatus | None) -> str:
    """What a run is doing, in a few words."""
    if status is None:
        return "expired"
    if status.state == "done":
        return f"done in {status.result.seconds:.2f} s" if run.phase == "forecast" else "done"
    if status.is_final:
        return status.state
    return progress_text(status)


def _show_missing(page: ForecastRuns) -> None:
    """Missing models, each with a button: nothing is downloaded without a click."""
    for model in dict.fromkeys(run.settings.model for run in page.runs() if run.phase == "missing"):
        choice = choice_of(model)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info(
                f"{plain(choice.title)} needs a download and is left out.",
                icon=":material/cloud_download:",
            )
            if not may_administer():
                st.caption(not_offered("Downloads of models"))
                continue
            st.button(
                f"Download {choice.title}"
                + (f" ({size_text(choice.n_bytes)})" if choice.n_bytes else ""),
                key=f"download_{model}",
                on_click=page.download,
                args=(model,),
                icon=":material/download:",
                width="content",
            )


def _show_failures(
    words: Words, runs: Sequence[ForecastRun], statuses: Sequence[JobStatus | None]
) -> None:
    for place, (run, status) in enumerate(zip(runs, statuses, strict=True)):
        name = words.label(place, run)
        if run.phase != "missing" and status is None:
            st.info(f"{name}: this forecast has expired. Press Run.", icon=":material/history:")
        elif status is not None and status.error is not None:
            st.error(f"{name}: {error_text(status.error)}", icon=":material/error:")
        elif status is not None and status.state == "cancelled":
            st.info(f"{name}: cancelled. Press Run to start again.", icon=":material/cancel:")
