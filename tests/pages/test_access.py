"""What visitors of a public server may not do, whatever message their browser sends."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config

from kronos import models
from kronos.errors import CheckpointInvalid, NotOffered
from kronos.models import adapters
from kronos.system import user_cache, user_data
from pages.ui.frame import access, server
from pages.ui.frame.messages import error_text, plain
from pages.ui.jobs import caches, queues, saving
from pages.ui.jobs.work import work_key
from pages.ui.models import jobs as models_jobs
from pages.ui.track_record import walks
from pages.ui.training import process
from pages.ui.training.folder import TrainingRun, runs_folder
from pages.ui.training.view import save
from tests.pages.app_driver import new_session, press, run_until, words

ROOT = Path(__file__).parents[2]
SECRETS = {
    "auth": {"client_id": "fan", "client_secret": "x", "redirect_uri": "http://localhost/"},
    "kronos": {"public": True, "administrators": ["Ann@Example.com"], "administrator_role": "boss"},
}
ANN = {"is_logged_in": True, "email": "ann@example.com", "email_verified": True}
PAGES = ["forecast", "compare", "what_if", "watchlist", "track_record", "backtest", "synthetic",
         "training", "models"]  # fmt: skip


@pytest.fixture
def public(monkeypatch):
    monkeypatch.setenv("KRONOS_PUBLIC", "true")


def _visitor(page, user=None, **link):
    app = new_session(page, **link)
    app.secrets.update(SECRETS)
    app.user = user or {}
    return app


@pytest.mark.parametrize(
    ("named", "expected"),
    [("true", True), ("1", True), (" ON ", True), ("no", False), ("0", False), ("", None),
     ("perhaps", True)],
)  # fmt: skip
def test_the_environment_makes_a_server_public(monkeypatch, named, expected):
    monkeypatch.setenv("KRONOS_PUBLIC", named)
    assert access.public_setting() is expected
    assert access.may_administer() is (expected is not True)


def test_secrets_that_cannot_be_read_open_no_server(monkeypatch, tmp_path):
    monkeypatch.setattr(st.secrets, "_secrets", None)
    file = tmp_path / "secrets.toml"
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(file)])
    try:
        assert access.public_setting() is None
        file.write_text("[kronos]\npublic = tr")
        assert access.public_setting() is True
        file.write_text("[kronos]\npublic = true\n")
        assert access.public_setting() is True
    finally:
        config.set_option("secrets.files", before)
        monkeypatch.setattr(st.secrets, "_secrets", None)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, False),
        (ANN, True),
        (ANN | {"is_logged_in": False}, False),
        (ANN | {"email_verified": False}, False),
        ({"is_logged_in": True, "email": "ann@example.com"}, False),
        (ANN | {"email": "bob@example.com"}, False),
        (ANN | {"email": ""}, False),
        ({"is_logged_in": True, "roles": ["reader", "boss"]}, True),
        ({"is_logged_in": True, "roles": "boss"}, True),
        ({"is_logged_in": True, "roles": "bosses"}, False),
        ({"is_logged_in": True, "groups": ["boss"]}, False),
    ],
)
def test_only_a_verified_address_or_the_role_makes_an_administrator(user, expected):
    app = _visitor("models", user).run()
    assert not app.exception
    offered = [button.key for button in app.button if button.key == "test bundled"]
    assert bool(offered) is expected
    assert (access.not_offered(models_jobs.OFFERS) in words(app)) is not expected


@pytest.mark.parametrize("page", PAGES)
def test_no_page_shows_a_visitor_a_path_or_an_action_of_administrators(page, public):
    app = new_session(page).run()
    app = run_until(app, lambda app: "Reading the record" not in words(app))
    assert not app.exception
    said = words(app)
    here = {Path.home(), user_data(), user_cache(), Path(__file__).parents[2]}
    assert not [path for path in map(str, here) if len(path) > 1 and path in said]
    kept = {"train_start", "train_keep", "walk_start", "score_now", "bt_run_button",
            "backtest_run_button", "confirm delete"}  # fmt: skip
    offered = {button.key for button in app.button}
    assert not offered & kept
    assert not [key for key in offered if key and key.split()[0] in models_jobs.ACTIONS]
    if page == "models":
        assert "Licence" in said
        assert "Memory" not in said, "a fact about the machine"
    if page in {"training", "backtest", "models", "track_record"}:
        assert "not offered to visitors of this public server" in said


@pytest.mark.parametrize("action", models_jobs.ACTIONS)
def test_work_on_models_is_refused_where_it_starts(action, public):
    with pytest.raises(NotOffered):
        models_jobs.start(action, "mini")
    with pytest.raises(NotOffered):
        models_jobs.cancel(action, "mini")
    assert queues.downloads().status(work_key(action, "mini")) is None
    assert queues.checks().status(work_key(action, "mini")) is None


def test_a_button_of_before_does_nothing_once_the_server_is_public(monkeypatch):
    """As a crafted message that names a button which the page does not show."""
    app = new_session("models").run()
    button = app.button(key="test bundled")
    record = new_session("track_record").run()
    record = run_until(record, lambda app: any(b.key == "walk_start" for b in app.button))
    walk, score = record.button(key="walk_start"), record.button(key="score_now")
    monkeypatch.setenv("KRONOS_PUBLIC", "true")
    n_walks = len(walks.walks()._runs)
    assert not button.click().run().exception
    assert models_jobs.active("bundled") is None
    assert "test" not in models_jobs.outcomes("bundled")
    walk.click()
    record = score.click().run()
    assert not record.exception
    assert len(walks.walks()._runs) == n_walks
    assert walks.walks().newest(walks.WALK) is None


def test_training_is_refused_where_it_starts_and_its_runs_are_not_shown(public, monkeypatch):
    run = TrainingRun(runs_folder() / ("x" * 22))
    for act in (process.start, process.ask_to_stop, lambda run: save(run, "mine")):
        with pytest.raises(NotOffered):
            act(run)
    assert not run.folder.exists()
    assert adapters.adapter_path("mine") is None
    app = new_session("training", run=run.id).run()
    assert not app.exception
    assert "Upload" not in words(app)


def test_no_forecast_downloads_a_model(public):
    missing = next(entry for entry in caches.models() if entry.state == "downloadable")
    with pytest.raises(NotOffered):
        caches.require_here(missing.name)
    caches.require_here(models.BUNDLED)
    app = new_session("forecast", model=missing.title).run()
    app = press(app, "run")
    assert not app.exception
    assert "Downloads of models are not offered" in words(app)
    assert queues.downloads().status(work_key("download", missing.name)) is None
    compared = new_session("compare", models=2, a="Kronos bundled", b=missing.title).run()
    assert not [button for button in compared.button if button.label.startswith("Download ")]
    for page, key in (("watchlist", "watch_run_button"), ("synthetic", "synthetic_run_button")):
        link = {"list_model": missing.title} if page == "watchlist" else {}
        app = new_session(page, **link).run()
        if page == "synthetic":
            app.selectbox(key="syn_model").set_value(missing.title).run()
        app = press(app, key)
        assert not app.exception
        assert "Downloads of models are not offered" in words(app), page


def test_forecasts_of_visitors_are_not_stored(public, monkeypatch, fresh_seed):
    stored = []
    monkeypatch.setattr(saving, "save_forecast", lambda *each: stored.append(each))
    app = new_session("forecast", model="EWMA cone", seed=fresh_seed, paths=10, horizon=4).run()
    app = press(app, "run")
    app = run_until(app, lambda app: "Entries in the record are not offered" in words(app))
    assert not stored


def test_visitors_read_errors_without_paths(monkeypatch):
    home, data = str(Path.home()), user_data("models", "my file.safetensors")
    texts = [
        f"{home}/models/x.safetensors is damaged.",
        f"The folder {data} cannot be read",
        "[Errno 13] Permission denied: '/srv/kronos/store.sqlite3'",
        "open file:///srv/x failed, and (/opt/a b/c) too",
        r"C:\Users\ann\x.csv is no file",
    ]
    for text in texts:
        assert access.without_paths(text) == text
    monkeypatch.setenv("KRONOS_PUBLIC", "true")
    for text in texts:
        said = error_text(CheckpointInvalid(text))
        for part in (home + "/", "/srv", "/opt", "Users", str(user_data())):
            assert part not in said.replace("\\", ""), text
    for harmless in ("BTC/USDT of binance", "https://example.org/a/b.csv", "1/2 and 3/4"):
        assert plain(harmless).replace("\\", "") == harmless


def test_a_thread_without_a_session_is_no_administrator(public):
    found = []
    thread = threading.Thread(target=lambda: found.append(access.may_administer()))
    thread.start()
    thread.join()
    assert found == [False]


def test_administrators_of_a_public_server_see_the_actions():
    app = _visitor("training", ANN).run()
    assert not app.exception
    assert app.button(key="train_start").label == "Start training"
    assert "Signed in as ann@example.com, administrator." in words(app)
    backtest = _visitor("backtest", ANN).run()
    assert backtest.button(key="backtest_run_button")


def test_without_a_provider_there_is_no_sign_in():
    app = new_session("models").run()
    assert not [button for button in app.button if (button.key or "").startswith("sign_")]
    visitor = _visitor("models").run()
    assert [b.label for b in visitor.button if b.key == "sign_in_"] == ["Sign in"]


@pytest.mark.parametrize(
    ("address", "public", "warns"),
    [
        ("localhost", "", False),
        ("127.0.0.9", "", False),
        ("::1", "", False),
        ("unix:///run/fan.sock", "", False),
        (None, "", True),
        ("0.0.0.0", "", True),
        ("10.1.2.3", "", True),
        ("fan.example", "", True),
        ("0.0.0.0", "true", False),
        ("0.0.0.0", "false", False),
    ],
)
def test_a_server_that_others_reach_asks_once_for_a_choice(
    address, public, warns, monkeypatch, capsys
):
    monkeypatch.setenv("KRONOS_PUBLIC", public)
    before = config.get_option("server.address")
    config.set_option("server.address", address)
    try:
        server.warn_of_strangers()
    finally:
        config.set_option("server.address", before)
    said = capsys.readouterr().err
    assert said.count("KRONOS_PUBLIC=true") == warns
    assert not warns or (address or "every address of this machine") in said


def test_nothing_of_a_sign_in_is_imported_where_none_is_configured():
    code = (
        "import sys; from tests.pages.app_driver import new_session;"
        "app = new_session('models').run(); assert not app.exception;"
        "print([name for name in sys.modules if name.startswith(('authlib', 'joserfc'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
