"""A message that says less than a browser sends gets an answer, and no page fails.

Streamlit calls the callback of a control that is pressed before the page runs: the values of the
other controls are there only if the message, or an earlier one of this page, has them.
"""

from __future__ import annotations

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.testing.v1 import AppTest

from pages.ui.inputs.candles import UPLOAD
from pages.ui.inputs.ticker import TICKER
from pages.ui.models import jobs as models_jobs
from tests.pages.app_driver import SAMPLE_TITLES, new_session, run_until, words

VISITS = [
    ("forecast", {"data": SAMPLE_TITLES[3], "horizon": "16", "paths": "10"}),
    ("forecast", {"data": UPLOAD}),
    ("forecast", {"data": TICKER}),
    *((page, {}) for page in ("compare", "what_if", "watchlist", "track_record", "backtest")),
    *((page, {}) for page in ("forecasts", "synthetic", "training", "models")),
]
LONG_WORK = {
    "watch_run_button", "backtest_run_button", "synthetic_run_button", "walk_start", "score_now"
}  # fmt: skip


def _states(app: AppTest) -> list[WidgetState]:
    """The state of every control of a page, with its buttons pressed, but those of long work."""
    for button in app.button:
        if not button.disabled and button.key not in LONG_WORK:
            button.click()
    return list(app._tree.get_widget_states().widgets)


def _send(app: AppTest, page: str, *states: WidgetState) -> AppTest:
    """The page after a message with these states alone; none is left of an earlier visit."""
    app.switch_page(f"pages/{'forecasts' if page != 'forecasts' else 'track_record'}.py").run()
    app.switch_page(f"pages/{page}.py")
    return app._run(WidgetStates(widgets=states))


@pytest.mark.parametrize(
    ("page", "link"), VISITS, ids=[f"{page} {link.get('data', '')}" for page, link in VISITS]
)
def test_every_control_may_stand_alone_in_a_message(page, link, monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", "off")
    monkeypatch.setattr(models_jobs, "start", lambda action, name: None)
    states = _states(new_session(page, **link).run())
    assert states
    app = new_session(page, **link).run()
    for state in states:
        _send(app, page, state)
        assert not app.exception, state.id


def test_an_event_without_its_fields_is_refused():
    app = new_session(**dict(VISITS[0][1]))
    run_until(app.run(), lambda app: "Expected move" in words(app))
    pressed = [each for each in _states(app) if each.id.endswith("Add event")]
    _send(app, "forecast", *pressed)
    assert "The event is incomplete" in app.error[0].value.replace("\\", "")
    assert "Own events:" not in words(app)
