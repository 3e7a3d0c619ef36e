"""How far the runs of a comparison are, side by side and apart from the rest of the page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from kronos.candles import Candles
from kronos.errors import Busy
from kronos.inference.jobs import JobStatus
from pages.ui.compare import runs as compare_runs
from pages.ui.compare.choices import choice_of, title_of
from pages.ui.compare.figure import LETTERS
from pages.ui.messages import error_text, plain, show_error
from pages.ui.progress import POLL_SECONDS, progress_share, progress_text
from pages.ui.request import ForecastRequest
from pages.ui.run import Run
from pages.ui.source import ChosenCandles

RUN_PIXELS = 260


def show_state(
    requests: Sequence[ForecastRequest],
    source: ChosenCandles,
    statuses: Sequence[JobStatus | None],
    refusal: Busy | None,
    *,
    has_older: bool,
) -> None:
    """What there is to say of the runs: pending, missing, failed, cancelled, or out of date."""
    older = " Below is the previous comparison." if has_older else ""
    runs = compare_runs.runs()
    if refusal is not None:
        show_error(refusal)
    if not compare_runs.concern(source.data_id):
        st.info("Press Run to compare on these candles.", icon=":material/play_arrow:")
        return
    if compare_runs.is_cancelled():
        st.info(f"Cancelled. Press Run to start again.{older}", icon=":material/cancel:")
        return
    _show_missing(runs)
    if any(map(compare_runs.is_pending, statuses)):
        show_progress(source.candles, source.data_id)
        if older:
            st.caption(older.strip())
        return
    _show_failures(runs, statuses)
    if [run.request for run in runs] != list(requests):
        st.info(f"Settings changed: press Run.{older}", icon=":material/sync:")


@st.fragment(run_every=POLL_SECONDS)
def show_progress(candles: Candles, data_id: str) -> None:
    """Every run with its steps, and Cancel for all. Reruns the page when there is more to show."""
    before = compare_runs.shown_keys()
    statuses = compare_runs.advance(candles, data_id)
    if compare_runs.shown_keys() != before or not any(map(compare_runs.is_pending, statuses)):
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_progress"):
        for place, (run, status) in enumerate(zip(compare_runs.runs(), statuses, strict=True)):
            if run.phase == "missing":
                continue
            with st.container(width=RUN_PIXELS, gap=None):
                text = plain(f"{LETTERS[place]} · {title_of(run.request)}: {run_text(run, status)}")
                st.progress(run_share(status), text)
        st.button(
            "Cancel all", key="cancel_all", on_click=compare_runs.cancel_all,
            icon=":material/close:", width="content",
        )  # fmt: skip


def run_share(status: JobStatus | None) -> float:
    """Finished part of a run, 0 to 1."""
    if status is None or status.is_final:
        return 1.0
    return progress_share(status)


def run_text(run: Run, status: JobStatus | None) -> str:
    """What a run is doing, in a few words."""
    if status is None:
        return "no longer kept"
    if status.state == "done":
        return f"done in {status.result.seconds:.2f} s" if run.phase == "forecast" else "done"
    if status.is_final:
        return status.state
    return progress_text(status)


def _show_missing(runs: Sequence[Run]) -> None:
    """Models that are not here, each with a button: nothing is fetched without a click."""
    for model in dict.fromkeys(run.request.model for run in runs if run.phase == "missing"):
        choice = choice_of(model)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info(
                f"{plain(choice.title)} is not on this machine and is left out.",
                icon=":material/cloud_download:",
            )
            st.button(
                f"Download {choice.title} ({choice.n_bytes / 1e6:,.0f} MB)",
                key=f"download_{model}",
                on_click=compare_runs.download,
                args=(model,),
                icon=":material/download:",
                width="content",
            )


def _show_failures(runs: Sequence[Run], statuses: Sequence[JobStatus | None]) -> None:
    for place, (run, status) in enumerate(zip(runs, statuses, strict=True)):
        name = f"{LETTERS[place]} · {plain(title_of(run.request))}"
        if run.phase != "missing" and status is None:
            st.info(
                f"{name}: this forecast is no longer kept. Press Run.", icon=":material/history:"
            )
        elif status is not None and status.error is not None:
            st.error(f"{name}: {error_text(status.error)}", icon=":material/error:")
        elif status is not None and status.state == "cancelled":
            st.info(f"{name}: stopped. Press Run to start again.", icon=":material/cancel:")
