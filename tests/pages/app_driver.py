"""The application driven by Streamlit's own test driver, without a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from data_sources.samples import SAMPLES
from pages.ui.jobs.forecast_runs import ForecastRun
from pages.ui.jobs.progress import POLL_SECONDS

PATIENCE = 60.0
SAMPLE_TITLES = [sample.title for sample in SAMPLES.values()]
_APP = Path(__file__).parents[2] / "app.py"
_PAUSE_SECONDS = 0.05


def new_session(page: str = "", **link: object) -> AppTest:
    """A visitor who has not seen the page yet.

    Args:
        page: Name of the page's file without its ending; the home page when empty.
        link: Query parameters of the address.
    """
    app = AppTest.from_file(_APP, default_timeout=PATIENCE)
    if page:
        app.switch_page(f"pages/{page}.py")
    app.query_params.update(
        {name: value if isinstance(value, list) else str(value) for name, value in link.items()}
    )
    return app


def words(app: AppTest) -> str:
    """Everything the page says, with the escapes of Markdown removed."""
    kinds = (app.title, app.subheader, app.info, app.error, app.warning, app.markdown, app.caption)
    said = [element.value for kind in kinds for element in kind]
    said += [expander.label for expander in app.expander]
    said += [chip.proto.popover.label for chip in app.get("popover")]
    return "\n".join(said).replace("\\", "")


def charts(app: AppTest) -> list[str]:
    """The figures of the page as JSON, in the order of the page within each kind."""
    own = [
        json.loads(element.proto.json)["figure"]
        for element in app.get("bidi_component")
        if element.proto.component_name == "interactive_chart"
    ]
    return own + [element.proto.spec for element in app.get("plotly_chart")]


def press(app: AppTest, key: str) -> AppTest:
    """The page after a click."""
    return app.button(key=key).click().run()


def run_until(app: AppTest, is_reached: Callable[[AppTest], bool]) -> AppTest:
    """Rerun as the page's own poll does until a state is reached."""
    deadline = time.monotonic() + PATIENCE
    while not is_reached(app):
        assert not app.exception, app.exception
        assert time.monotonic() < deadline, words(app)
        _wait_for_workers(app)
        app.run()
    return app


def _wait_for_workers(app: AppTest) -> None:
    """Until every requested forecast has ended, or the next poll is due.

    Page and workers share this process: a page that reruns all the time only slows them.
    """
    state = app.session_state
    runs = [run for key in ("asked", "compare_runs", "what_if_runs") for run in state.get(key, ())]
    waiting = [run for run in runs if run.phase != "missing"]
    due = time.monotonic() + (POLL_SECONDS if waiting else _PAUSE_SECONDS)
    while time.monotonic() < due:
        time.sleep(0.02)
        found = [run.status() for run in waiting]
        if waiting and all(status is None or status.is_final for status in found):
            return


def started(app: AppTest) -> ForecastRun:
    """The run that the Forecast page started last."""
    (run,) = app.session_state["asked"]
    return run


def shown(app: AppTest) -> ForecastRun:
    """The run whose forecast the Forecast page shows."""
    ((_, run),) = app.session_state["shown"]
    return run
