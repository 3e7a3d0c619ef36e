"""Run is on the page itself: on a phone the sidebar covers the page, or is closed."""

from __future__ import annotations

import pytest

from tests.pages.app_driver import new_session

BUTTONS = {
    "forecast": "run",
    "compare": "run_comparison",
    "what_if": "run_what_if",
    "watchlist": "watch_run_button",
    "backtest": "backtest_run_button",
    "synthetic": "synthetic_run_button",
    "training": "train_start",
    "track_record": "walk_start",
}


@pytest.mark.parametrize("page", BUTTONS)
def test_what_a_page_runs_is_started_without_the_sidebar(page):
    app = new_session(page).run()
    assert not app.exception
    key = BUTTONS[page]
    assert [button.key for button in app.main.button if button.key == key] == [key]
    assert key not in [button.key for button in app.sidebar.button]
