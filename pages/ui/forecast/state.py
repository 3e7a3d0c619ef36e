"""The state of the requested forecast, polled apart from the rest of the page."""

from __future__ import annotations

import streamlit as st

from kronos.errors import KronosError
from kronos.forecast import Forecast
from kronos.serving.jobs import JobStatus
from pages.ui.frame.messages import plain, show_error
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.request import ForecastSettings
from pages.ui.jobs.forecast_runs import FORECAST
from pages.ui.jobs.progress import POLL_SECONDS, progress_share, progress_text


def show_state(
    settings: ForecastSettings,
    source: ChosenCandles,
    status: JobStatus | None,
    refusal: KronosError | None,
    shown: Forecast | None,
) -> None:
    """One line about the request: running, failed, cancelled, or out of date.

    Where the page still shows an older forecast below, the line says so.
    """
    older = f" Below is the previous forecast: {_settings(shown)}." if shown else ""
    if refusal is not None:
        show_error(refusal)
    if not FORECAST.concern(source.data_id):
        st.info("Press Run to forecast these candles.", icon=":material/play_arrow:")
    elif FORECAST.is_cancelled():
        # Nothing is missing where the controls describe the forecast that is shown.
        if shown is None or FORECAST.shown_settings() != (settings,):
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
    elif [run.settings for run in FORECAST.runs()] != [settings]:
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
    status = next(iter(FORECAST.advance(data_id)), None)
    if status is None or status.is_final:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(progress_share(status), progress_text(status))
        st.button(
            "Cancel", key="cancel", on_click=FORECAST.cancel, icon=":material/close:",
            width="content",
        )  # fmt: skip
