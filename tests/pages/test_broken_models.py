"""Pages on a machine with damaged models: each is named in its own row, and the rest works."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from streamlit.testing.v1 import AppTest

from benchmarks.gates.broken_models import CHECKPOINTS, adapters, copy_checkpoint, write_adapter
from kronos.errors import CheckpointInvalid
from kronos.models.adapters import adapters_folder
from kronos.models.facts import ModelFacts
from kronos.serving import local
from kronos.serving.jobs import JobStatus, Work
from pages.ui.jobs import caches
from pages.ui.models import jobs as models_jobs
from tests.pages.app_driver import charts, new_session, press, run_until, words
from tests.source_tree import ROOT

LISTS = {
    "forecast": "model", "compare": "b", "what_if": "told_model", "synthetic": "syn_model",
    "backtest": "bt_model", "watchlist": "list_model",
}  # fmt: skip


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> Iterator[list[str]]:
    """Damaged adapters, and good adapters of damaged checkpoints, all installed at once."""
    scratch = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(scratch / "data"))
        adapters_folder().mkdir(parents=True)
        base = copy_checkpoint(ROOT / "tests" / "golden", scratch / "base")
        for name, write in adapters(base).items():
            write(adapters_folder() / f"{name}.safetensors")
        for number, damage in enumerate(CHECKPOINTS.values()):
            folder = copy_checkpoint(ROOT / "tests" / "golden", scratch / f"case-{number}")
            damage(folder)
            write_adapter(adapters_folder() / f"based-{number}.safetensors", str(folder), base)
        write_adapter(adapters_folder() / "good.safetensors", str(base), base)
        _look_again()
        yield [entry.name for entry in caches.models() if entry.state == "broken"]
    _look_again()


def _look_again() -> None:
    caches.models.clear()
    caches.event_readers.clear()


def test_the_models_page_shows_every_damaged_model_with_its_reason(names):
    app = new_session("models").run()
    assert not app.exception
    assert len(names) >= len(adapters(Path())) + len(CHECKPOINTS) - 2
    keys = {button.key for button in app.button}
    assert {f"delete {name}" for name in names} <= keys
    refused = [error for error in app.error if "The model cannot be used." in error.value]
    assert len(refused) >= len(names)
    said = words(app)
    assert "nested too deeply" in said
    assert "no regular file" in said
    assert "good" in {each.value for each in app.subheader}


def test_a_damaged_model_is_deleted_on_the_models_page(names, monkeypatch):
    active, delete_work, is_listed = models_jobs.active, models_jobs.delete_work, Event()

    def waits(name: str) -> Work:
        work = delete_work(name)
        return lambda control: (is_listed.wait(20), work(control))[1]

    def ends_first(name: str) -> tuple[models_jobs.Action, JobStatus] | None:
        is_listed.set()
        while found := active(name):
            time.sleep(0.01)
        return found

    app = press(new_session("models").run(), "delete dangling")
    monkeypatch.setattr(models_jobs, "delete_work", waits)
    monkeypatch.setattr(models_jobs, "active", ends_first)  # between its list and its cards
    app = press(app, "confirm delete")
    assert not app.exception
    assert "delete dangling" not in {button.key for button in app.button}
    assert not (adapters_folder() / "dangling.safetensors").is_symlink()


@pytest.mark.parametrize("page", LISTS)
def test_lists_of_models_leave_damaged_ones_out_and_name_that_of_a_link(names, page):
    app = new_session(page, **{LISTS[page]: names[0]}).run()
    assert not app.exception
    (chosen,) = (each for each in app.selectbox if each.key == LISTS[page])
    assert "good" in chosen.options
    assert not set(chosen.options) & set(names)
    assert f"not available here: {'model B' if page == 'compare' else 'model'} {names[0]}" in words(
        app
    )


@pytest.mark.parametrize(
    ("page", "link", "run"),
    [
        ("forecast", {"model": "good"}, "run"),
        ("compare", {"a": "good", "b": "bundled"}, "run_comparison"),
    ],
)
def test_the_error_of_a_model_that_breaks_stays_until_the_next_run(
    names, page, link, run, monkeypatch, fresh_seed
):
    app = new_session(page, horizon=2, paths=10, lookback=32, **link)
    run_until(app.run(), _is_drawn)
    facts = local.forecaster_facts

    def breaks(model: str) -> ModelFacts:
        if model == "good":
            raise CheckpointInvalid("good.safetensors ends early.")
        return facts(model)

    monkeypatch.setattr(local, "FACTS_KEPT", 0.0)
    monkeypatch.setattr(local, "forecaster_facts", breaks)
    app.number_input(key="seed").set_value(int(fresh_seed))
    app = press(app, run)
    for _ in range(3):
        assert "good.safetensors ends early." in "".join(
            error.value.replace("\\", "") for error in app.error
        )
        app.run()
    assert not app.exception
    monkeypatch.setattr(local, "forecaster_facts", facts)
    app = run_until(press(app, run), _is_drawn)
    assert not app.error


def _is_drawn(app: AppTest) -> bool:
    """Whether there is a fan beside the bars."""
    return any("p50" in chart for chart in charts(app))


@pytest.mark.parametrize("page", ["training", "track_record"])
def test_the_other_pages_work(names, page):
    assert not new_session(page).run().exception


def test_a_link_to_any_damaged_model_shows_the_page(names):
    for name in names[::4]:
        app = new_session("forecast", model=name, horizon=2, paths=10).run()
        assert not app.exception
        assert f"model {name[:40]}"[:30].split("\n")[0] in words(app)
