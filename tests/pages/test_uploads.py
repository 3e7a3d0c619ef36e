"""Uploads have a budget, for a session and for the server."""

import asyncio
import re
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from benchmarks.gates.session import Session, run_apart
from benchmarks.gates.uploads import put
from pages.ui.frame import uploads
from pages.ui.frame.uploads import Copies, UploadBudget
from pages.ui.inputs.instruments import MAX_SYMBOLS
from tests.browser.conftest import start_server, stop_server
from tests.source_tree import ROOT

MB = 10**6


@pytest.fixture
def manager(monkeypatch):
    for each in list(uploads._all_copies):
        each.release()
    made = MemoryUploadedFileManager("/_stcore/upload_file")
    monkeypatch.setattr(uploads, "_manager", lambda: made)
    monkeypatch.setattr(uploads, "_release_ended_sessions", lambda: None)
    return made


@pytest.fixture
def client(manager):
    async def keep(request):
        data = await request.body()
        names = request.path_params
        manager.add_file(names["session"], UploadedFileRec(names["file"], "x.csv", "text", data))
        return PlainTextResponse("", 204)

    route = Route("/_stcore/upload_file/{session}/{file}", keep, methods=["PUT", "DELETE"])
    return TestClient(Starlette(routes=[route], middleware=[Middleware(UploadBudget)]))


def upload(client, session, file, n_bytes):
    path = f"/_stcore/upload_file/{session}/{file}"
    return client.put(path, content=b"x" * n_bytes)


def test_a_session_has_a_budget_and_what_it_takes_back_is_free_again(client, manager, monkeypatch):
    monkeypatch.setenv(uploads.SESSION_VARIABLE, "2")
    assert upload(client, "a", "1", MB).status_code == 204
    assert upload(client, "a", "2", MB).status_code == 204
    refused = upload(client, "a", "3", MB)
    assert refused.status_code == 413
    assert "uploaded 2 files with 2.0 MB. The limit is 2 MB" in refused.text
    assert upload(client, "b", "1", MB).status_code == 204
    manager.remove_file("a", "1")
    assert upload(client, "a", "3", MB).status_code == 204
    manager.remove_session_files("a")
    assert upload(client, "a", "4", MB).status_code == 204


def test_all_sessions_together_have_a_budget(client, monkeypatch):
    monkeypatch.setenv(uploads.SERVER_VARIABLE, "3")
    answers = [upload(client, f"session {i}", "1", MB) for i in range(5)]
    assert [answer.status_code for answer in answers] == [204] * 3 + [413] * 2
    assert "The uploads of all visitors have 3.0 MB" in answers[-1].text


def test_copies_count_and_those_that_can_be_made_again_make_room(client, monkeypatch):
    monkeypatch.setenv(uploads.SESSION_VARIABLE, "3")
    own, other = Copies("a"), Copies("b")
    own.put("file on another page", b"", MB)
    own.put("its reading", b"", MB, can_be_remade=True)
    other.put("its reading", b"", 2 * MB, can_be_remade=True)
    assert upload(client, "a", "1", MB).status_code == 204
    assert own.sizes() == [MB, MB]
    assert upload(client, "a", "2", MB).status_code == 204
    assert own.sizes() == [MB]
    assert other.sizes() == [2 * MB]
    refused = upload(client, "a", "3", MB)
    assert refused.status_code == 413
    assert "with 3.0 MB" in refused.text
    own.release()
    assert upload(client, "a", "3", MB).status_code == 204


def test_copies_of_all_sessions_count_for_the_server(client, monkeypatch):
    monkeypatch.setenv(uploads.SERVER_VARIABLE, "3")
    fixed, remade = Copies("a"), Copies("b")
    fixed.put("x", b"", 2 * MB)
    remade.put("x", b"", 2 * MB, can_be_remade=True)
    assert upload(client, "c", "1", MB).status_code == 204
    assert (fixed.sizes(), remade.sizes()) == ([2 * MB], [])
    assert upload(client, "d", "1", MB).status_code == 413


def test_a_copy_that_no_page_uses_is_let_go_and_a_copy_of_a_session_ends_with_it(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(uploads.time, "monotonic", lambda: clock[0])
    idle, used = Copies("a"), Copies("b")
    idle.put("x", "idle", MB)
    used.put("x", "used", MB, key="file")
    clock[0] = uploads.COPY_SECONDS - 1
    assert used.get("x", "file") == "used"
    assert used.get("x", "another file") is None
    clock[0] += 2
    assert used.get("x", "file") == "used"
    assert idle.sizes() == []
    assert used.sizes() == [MB]
    monkeypatch.undo()
    sessions = SimpleNamespace(get_session_info=lambda name: None if name == "b" else object())
    monkeypatch.setattr(uploads, "_manager", lambda: MemoryUploadedFileManager("/"))
    runtime = SimpleNamespace(instance=lambda: SimpleNamespace(_session_mgr=sessions))
    monkeypatch.setattr(uploads, "Runtime", runtime)
    idle.put("x", "again", MB)
    used.put("x", "again", MB)
    uploads._release_ended_sessions()
    assert (idle.sizes(), used.sizes()) == ([MB], [])


def test_many_small_files_are_refused(client, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_FILES", 3)
    assert [upload(client, "a", str(i), 1).status_code for i in range(4)] == [204] * 3 + [413]


@pytest.mark.parametrize("limit", ["STALL_SECONDS", "LONGEST_SECONDS"])
def test_an_upload_that_stops_arriving_gives_its_room_back(client, monkeypatch, limit):
    monkeypatch.setenv(uploads.SERVER_VARIABLE, "3")
    monkeypatch.setattr(uploads, limit, 0.05)
    headers = [(b"content-length", str(2 * MB).encode())]
    path = "/_stcore/upload_file/a/1"
    scope = {"type": "http", "method": "PUT", "path": path, "headers": headers,
             "query_string": b"", "root_path": ""}  # fmt: skip
    pieces, sent = [{"type": "http.request", "body": b"x", "more_body": True}], []

    async def receive():
        if not pieces:
            await asyncio.sleep(60)
        return pieces.pop()

    async def send(message):
        sent.append(message)

    run_apart(client.app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert upload(client, "b", "1", 2 * MB).status_code == 204


def test_an_upload_without_a_length_is_refused_before_it_is_read(client):
    def body():
        yield b"x"

    path = "/_stcore/upload_file/a/1"
    assert client.put(path, content=body()).status_code == 411
    assert client.put(path, content=b"x", headers={"Content-Length": "-5"}).status_code == 411


@pytest.mark.parametrize("text", ["", "many", "-1", "inf", "nan"])
def test_a_setting_that_is_no_size_is_the_default(monkeypatch, text):
    monkeypatch.setenv(uploads.SERVER_VARIABLE, text)
    assert uploads.budget() == (uploads.SESSION_MB, uploads.SERVER_MB)


def test_the_proxy_of_the_guide_lets_the_files_of_a_watchlist_through():
    guide = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    (burst,) = re.findall(r"zone=fan_uploads burst=(\d+)", guide)
    assert MAX_SYMBOLS <= int(burst) <= uploads.MAX_FILES


def test_forty_uploads_of_nine_megabytes_end_at_the_budget_of_a_real_server(tmp_path):
    server, process = start_server(tmp_path)
    data = b"x" * (9 * MB)

    async def attack() -> list[int]:
        async with Session(server.url) as visitor:
            await visitor.open("forecast")
            await visitor.wait_for("n_runs")
            session = visitor.session_id
            return [
                await asyncio.to_thread(put, server.url, session, f"file-{i}", data)
                for i in range(40)
            ]

    try:
        statuses = run_apart(attack())
    finally:
        stop_server(process)
    n_kept = uploads.SESSION_MB // 9
    assert statuses == [204] * n_kept + [413] * (40 - n_kept)
