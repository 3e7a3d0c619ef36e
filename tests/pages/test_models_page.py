"""The models page by Streamlit's own test driver, with a hub on loopback."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from streamlit.testing.v1 import AppTest

from kronos import models
from kronos.errors import Busy
from kronos.models.adapters import adapters_folder, installed
from kronos.models.hub.repository import WEIGHTS_NAME, repository
from kronos.serving.service import service
from pages.ui.jobs import caches, queues
from pages.ui.jobs.work import download_work
from pages.ui.models import jobs as models_jobs
from pages.ui.models.view import adapter_zip
from tests.event_adapter import write_event_adapter
from tests.loopback_hub import LoopbackHub
from tests.pages.app_driver import PATIENCE, new_session, press, run_until, words

GOLDEN = Path(__file__).parents[1] / "golden"
_numbers = itertools.count()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with LoopbackHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def tiny(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a model on the hub that no other test has used."""
    name = f"tiny{next(_numbers)}"
    model = models.PublishedModel(
        name=name,
        model=repository(f"acme/Kronos-{name}", "a" * 40),
        tokenizer=repository(f"acme/Kronos-Tokenizer-{name}", "b" * 40),
        n_parameters=1,
        max_context=64,
    )
    monkeypatch.setitem(models.PUBLISHED, name, model)
    for repo, part in zip(model.repositories, ("model", "tokenizer"), strict=True):
        hub.publish(repo.repo_id, repo.revision, GOLDEN / part)
    caches.models.clear()
    yield name
    caches.models.clear()


def state(name: str) -> str:
    return next(entry.state for entry in models.available() if entry.name == name)


@pytest.fixture
def app() -> AppTest:
    return new_session("models")


def offered(app: AppTest, name: str) -> set[str]:
    """What can be done with a model."""
    keys = [button.key or "" for button in app.button]
    return {key.split()[0] for key in keys if key.endswith(f" {name}")}


def complaints(app: AppTest, name: str) -> list[str]:
    """Errors about a model; those of other tests' models stand beside them."""
    return [error.value for error in app.error if name in error.value]


def downloaded(app: AppTest, name: str) -> AppTest:
    press(app.run(), f"download {name}")
    return run_until(app, lambda app: "delete" in offered(app, name))


def test_the_page_says_what_there_is_without_starting_anything(app, tiny, hub):
    app.run()
    assert not app.exception
    text = words(app)
    for expected in ("Bundled", "Kronos-mini", "Not on this machine", "MIT", "f4e68697d9d5"):
        assert expected in text
    assert offered(app, models.BUNDLED) == {"test", "verify"}
    assert offered(app, tiny) == {"download"}
    assert hub.requests == [], "looking asks the hub for nothing"


def test_a_model_is_downloaded_tested_verified_and_deleted(app, tiny):
    downloaded(app, tiny)
    assert models.checked(tiny).problem == ""
    assert "Verified" in words(app), "a download is hashed"
    assert offered(app, tiny) == {"test", "verify", "delete"}

    press(app, f"test {tiny}")
    run_until(app, lambda app: "Self-test passed: 5 of 6 steps" in words(app))
    assert "None are stored for downloaded models" in words(app)
    assert tiny in {model.name for model in service().models}

    before = models.checked(tiny).when
    press(app, f"verify {tiny}")
    run_until(
        app, lambda app: models.checked(tiny).when > before and "verify" in offered(app, tiny)
    )

    press(app, f"delete {tiny}")
    question = app.warning[0].value.replace("\\", "")
    assert f"Delete Kronos-{tiny} from this machine" in question
    assert "It is in memory" in question
    press(app, "keep")
    assert not app.warning
    assert state(tiny) == "cached"
    press(app, f"delete {tiny}")
    press(app, "confirm delete")
    run_until(app, lambda app: "download" in offered(app, tiny))
    assert "Deleted: " in words(app)
    assert "Self-test passed: 5" not in words(app), "a test of files that are gone"
    assert tiny in {model.name for model in service().models}, "as the question said"


def test_what_was_deleted_is_downloaded_anew(app, tiny, hub):
    downloaded(app, tiny)
    press(app, f"delete {tiny}")
    press(app, "confirm delete")
    run_until(app, lambda app: "download" in offered(app, tiny))
    hub.requests.clear()
    downloaded(app, tiny)
    assert hub.n_requests("cdn GET") == 2, "model and tokenizer"


def test_a_download_shows_its_progress_and_is_cancelled(app, tiny, hub):
    hub.faults.slow = 0.2
    press(app.run(), f"download {tiny}")
    run_until(app, lambda app: "Downloading: " in progress(app))
    assert " MB" in progress(app)
    assert offered(app, tiny) == {"cancel"}, "nothing else meanwhile"
    press(app, f"cancel {tiny}")
    run_until(app, lambda app: offered(app, tiny) == {"download"})
    assert not complaints(app, tiny)
    assert state(tiny) == "downloadable"


def progress(app: AppTest) -> str:
    return " ".join(bar.proto.text for bar in app.get("progress")).replace("\\", "")


def test_a_download_that_a_forecast_waits_for_goes_on(app, tiny, hub):
    hub.faults.slow = 0.2
    queues.downloads().submit(f"download {tiny}", download_work(tiny), owner="a forecast")
    run_until(app.run(), lambda app: f"cancel {tiny}" in [button.key for button in app.button])
    press(app, f"cancel {tiny}")
    assert any("The download continues" in toast.value for toast in app.toast)
    run_until(app, lambda app: "delete" in offered(app, tiny))


def test_everybody_sees_the_same_work(app, tiny, hub):
    hub.faults.slow = 0.2
    press(app.run(), f"download {tiny}")
    other = new_session("models").run()
    assert offered(other, tiny) == {"cancel"}
    press(other, f"cancel {tiny}")
    run_until(app, lambda app: offered(app, tiny) == {"download"})


def test_a_failed_download_says_why_and_can_be_tried_again(app, tiny, hub):
    hub.faults.statuses = [403] * 20
    press(app.run(), f"download {tiny}")
    run_until(app, lambda app: bool(complaints(app, tiny)))
    assert "The model could not be downloaded" in complaints(app, tiny)[0]
    assert "HTTP 403" in words(app)
    hub.faults.statuses = []
    downloaded(app, tiny)
    assert not complaints(app, tiny), "what failed before is settled"


def test_a_damaged_file_is_found_and_fetched_again(app, tiny):
    downloaded(app, tiny)
    with (models.checkpoint_folder(tiny) / WEIGHTS_NAME).open("r+b") as opened:
        opened.write(b"\xff" * 8)
    press(app, f"verify {tiny}")
    run_until(app, lambda app: bool(complaints(app, tiny)))
    assert len(complaints(app, tiny)) == 1, "said once"
    assert "download it anew" in words(app)
    assert "Damaged" in words(app)
    downloaded(app, tiny)
    assert not complaints(app, tiny)


def test_a_self_test_that_fails_says_at_which_step(app, tiny):
    downloaded(app, tiny)
    (models.checkpoint_folder(tiny) / "config.json").write_text("{}")
    press(app, f"test {tiny}")
    run_until(app, lambda app: "Self-test failed: 1 of 6 steps" in words(app))
    assert "Failed. Digests of the files" in words(app).replace("*", "")


def test_too_much_waiting_is_told_and_nothing_is_started(app):
    queue, entered, gate = queues.checks(), threading.Event(), threading.Event()
    fillers = [f"filler {n}" for n in range(20)]

    def wait(control):
        entered.set()
        gate.wait(PATIENCE)

    with contextlib.suppress(Busy):
        for key in fillers:
            queue.submit(key, wait, owner=key)
            assert entered.wait(PATIENCE), "before it is at work it fills a place in the queue"
    try:
        press(app.run(), "verify bundled")
        assert "The server is busy" in app.warning[0].value
        assert models_jobs.active("bundled") is None
    finally:
        gate.set()
        for key in fillers:
            queue.leave(key, owner=key)


def test_an_adapter_is_downloaded_as_peft_stores_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, app: AppTest
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    write_event_adapter(adapters_folder(), GOLDEN)
    (name,) = installed()
    caches.models.clear()
    app.run()
    caches.models.clear()
    (button,) = app.get("download_button")
    assert button.proto.label == "Adapter for peft (ZIP)"
    with ZipFile(io.BytesIO(adapter_zip(name))) as archive:
        files = {file.rpartition("/")[2] for file in archive.namelist()}
        config = json.loads(archive.read(f"{name}/adapter_config.json"))
    assert files == {"adapter_config.json", "adapter_model.safetensors"}
    assert config["peft_type"] == "LORA"
