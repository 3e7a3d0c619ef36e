"""The training page by Streamlit's own test driver: a run of two steps, from bars to a model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from kronos import models
from kronos.models.adapters import delete_adapter
from pages.ui.jobs import caches
from pages.ui.training import plan, process
from pages.ui.training.folder import runs_folder
from tests.pages.app_driver import new_session, press, run_until, words
from tests.training.conftest import made_up_bars

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of this test's own; nothing trains in it afterwards."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(process, "NICENESS", 0)  # the test waits for it
    monkeypatch.setattr(plan, "VALIDATION_WINDOWS", 2)
    caches.models.clear()
    yield tmp_path
    process.end_all()
    caches.models.clear()


def csv(n: int = 300, seed: int = 1) -> bytes:
    return made_up_bars(n, seed=seed).to_csv(index=False).encode()


def with_file(content: bytes, name: str = "MINE.csv") -> AppTest:
    """The page with a file, set to a run of seconds."""
    app = new_session("training").run()
    app.button_group(key="train_data").set_value("My own files").run()
    app.file_uploader(key="train_files").set_value([(name, content, "text/csv")])
    app.number_input(key="train_context").set_value(32)
    app.number_input(key="train_horizon").set_value(4)
    app.number_input(key="train_steps").set_value(2)
    app.number_input(key="train_windows").set_value(4)
    return app.run()


def has(key: str):  # type: ignore[no-untyped-def]
    return lambda app: any(button.key == key for button in app.button)


def test_looking_trains_nothing_and_shows_the_split(home: Path) -> None:
    app = new_session("training").run()
    assert not app.exception
    text = words(app)
    for expected in (
        "Training bars",
        "Validation bars",
        "3,000",
        "for validation",
        "belongs to this machine",
    ):
        assert expected in text
    assert not runs_folder().exists()


def test_a_damaged_file_is_named_with_its_line(home: Path) -> None:
    lines = csv().decode().splitlines()
    lines[40] = lines[40].replace(",1", ",oops", 1)
    app = with_file("\n".join(lines).encode())
    said = app.error[0].value.replace("\\", "")
    assert "MINE.csv" in said
    assert "Line 41, column open" in said
    assert app.button(key="train_start").disabled


def test_windows_that_do_not_fit_are_refused_in_words(home: Path) -> None:
    app = with_file(csv(110))
    app.number_input(key="train_context").set_value(200).run()
    assert "long enough to be split" in words(app)
    assert app.button(key="train_start").disabled


@pytest.mark.slow  # as a person sees it: tests/browser/test_training_page.py
def test_a_run_is_seen_through_kept_and_seen_by_nobody_else(home: Path) -> None:
    app = press(with_file(csv()), "train_start")
    assert not app.exception
    run_id = app.query_params["run"]
    run_id = run_id[0] if isinstance(run_id, list) else run_id
    assert process.running() == run_id
    for folder in (runs_folder(), runs_folder() / run_id):
        assert folder.stat().st_mode & 0o077 == 0, "its name is the key, and it holds an upload"

    other = new_session("training").run()
    assert run_id not in other.query_params.get("run", [])
    press(other, "train_start")
    assert "Another training is under way" in words(other)
    assert "MINE" not in words(other)
    assert run_id not in words(other)

    deadline = time.monotonic() + 200
    while process.running() and time.monotonic() < deadline:
        time.sleep(0.1)
    run_until(app, has("train_keep"))
    assert "CRPS of the base" in words(app)
    for name, expected in (("Not a name", "cannot be the name"), ("bundled", "name of a model")):
        app.text_input(key="train_name").set_value(name)
        press(app, "train_keep")
        assert expected in words(app)
    app.text_input(key="train_name").set_value("mine")
    press(app, "train_keep")
    assert models.available()[-1].name == "mine"
    assert has("train_compare")(app)

    reloaded = new_session("training", run=run_id).run()
    assert "saved as mine" in words(reloaded), "the link finds it again"
    press(reloaded, "train_compare")
    assert not reloaded.exception
    assert "From the Training page: MINE" in words(reloaded)
    assert reloaded.selectbox(key="b").value == "mine"

    held = process.take_lock(runs_folder(), run_id)  # as if resumed in another tab
    press(app, "train_discard")
    assert (runs_folder() / run_id).exists()
    held.release()
    press(new_session("training", run=run_id).run(), "train_discard")
    assert not (runs_folder() / run_id).exists()
    assert delete_adapter("mine")


def test_a_link_to_nowhere_says_so(home: Path) -> None:
    for named in ("../../../etc", "x" * 22):
        app = new_session("training", run=named).run()
        assert "no longer on this server" in words(app)
        assert not app.exception
