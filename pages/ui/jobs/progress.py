"""How far the current request is, polled apart from the rest of the page."""

from __future__ import annotations

import streamlit as st

from kronos.errors import KronosError
from kronos.forecast import Forecast
from kronos.serving.engine import SAMPLING
from kronos.serving.jobs import JobStatus
from pages.ui.forecast import asked
from pages.ui.frame.messages import plain, show_error
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.request import ForecastSettings

POLL_SECONDS = 0.5


def show_state(
    settings: ForecastSettings,
    source: ChosenCandles,
    status: JobStatus | None,
    refusal: KronosError | None,
    shown: Forecast | None,
) -> None:
    """One line about the current request: running, failed, cancelled, or out of date.

    Where an older forecast is still shown below, that is said too.
    """
    older = f" Below is the previous forecast: {_settings(shown)}." if shown else ""
    current = asked.asked()
    if refusal is not None:
        show_error(refusal)
    if current is None or current.settings.data_id != source.data_id:
        st.info("Press Run to forecast these candles.", icon=":material/play_arrow:")
    elif current.is_cancelled:
        # What was taken back is no longer asked for where the controls say what is shown.
        run = asked.shown_run()
        if shown is None or run is None or run.settings != settings:
            st.info(f"Cancelled. Press Run to start again.{older}", icon=":material/cancel:")
    elif status is None:
        st.info("This forecast is no longer kept. Press Run.", icon=":material/history:")
    elif status.error is not None:
        show_error(status.error)
        if shown:
            st.caption(older.strip())
    elif status.state == "cancelled":
        text = f"This forecast was stopped. Press Run to start again.{older}"
        st.info(text, icon=":material/cancel:")
    elif not status.is_final:
        show_progress(source.data_id)
        if shown:
            st.caption(older.strip())
    elif current.settings != settings:
        st.info(f"Settings changed: press Run.{older}", icon=":material/sync:")


def _settings(forecast: Forecast) -> str:
    return plain(
        f"{forecast.model_name}, {forecast.horizon} bars, {forecast.n_paths} paths, "
        f"seed {forecast.parameters.seed}"
    )


@st.fragment(run_every=POLL_SECONDS)
def show_progress(data_id: str) -> None:
    """Steps and time left, with Cancel. Reruns the page once the request has ended.

    It stands outside the chart: a figure that is drawn anew loses its zoom.
    """
    status = asked.advance(data_id)
    if status is None or status.is_final:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(progress_share(status), progress_text(status))
        st.button(
            "Cancel", key="cancel", on_click=asked.cancel, icon=":material/close:", width="content"
        )


def progress_share(status: JobStatus) -> float:
    """Finished part of the stage, 0 to 1."""
    return min(status.done / status.total, 1.0) if status.total > 0 else 0.0


def progress_text(status: JobStatus) -> str:
    """What is going on, in one line."""
    if status.state == "queued":
        return f"Waiting for the server: number {status.position} in the queue"
    if not status.total:
        return status.stage or "Starting"
    if status.stage == SAMPLING:
        text = f"Sampling: step {status.done} of {status.total}"
    else:
        text = f"{status.stage}: {status.done / 1e6:,.0f} of {status.total / 1e6:,.0f} MB"
    if status.seconds_left is None or status.seconds_left < 1:
        return text
    return f"{text}, about {_duration(status.seconds_left)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
