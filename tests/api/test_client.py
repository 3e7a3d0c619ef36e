"""`kronos.Client` over a real server: the same interface, the same bits, the same errors."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from starlette.responses import PlainTextResponse

import kronos
from data_sources.samples import load_sample
from kronos.api.app import create_api
from kronos.api.keys import Keys
from kronos.api.spool import Spool
from kronos.cli import main
from kronos.errors import (
    Busy,
    CheckpointUnavailable,
    DeadlineExceeded,
    ForecastCancelled,
    InvalidRequest,
    NotFinished,
    ServiceUnreachable,
)
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving import service as chosen
from kronos.serving.jobs import Limits, Priority
from kronos.serving.requests import BatchRequest
from kronos.serving.service import LocalService
from kronos.system import asset_path
from tests.api.conftest import SampleFeeds
from tests.api.loopback import serving
from tests.patience import wait_until

SAMPLE = str(asset_path("samples", "GOOG_1d.csv"))


@pytest.fixture(scope="module")
def engine():
    """The engine of the server: its own, with room for two forecasts."""
    made = LocalService(limits=Limits(max_queued=2))
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    api = create_api(
        lambda: engine, SampleFeeds(), keys=Keys(folder / "keys.json"),
        spool=Spool(folder / "orders.sqlite3"),
    )  # fmt: skip
    with serving(api) as port:
        yield f"http://localhost:{port}"


@pytest.fixture
def client(server):
    with kronos.Client(server) as made:
        yield made


@pytest.fixture
def request_of(client):
    def make(model="bundled", paths=10, horizon=3, seed=0, **options):
        return ForecastRequest.of_candles(
            load_sample("GOOG_1d"), client.facts(model), horizon=horizon,
            sampling=SamplingParameters(sample_count=paths, seed=seed, **options),
        )  # fmt: skip

    return make


def test_a_server_gives_the_bits_of_this_process(client, service, request_of):
    for model in ("bundled", "ewma"):
        request = request_of(model)
        assert request.digest == request_of(model).digest
        seen = []
        ours, theirs = service.run(request), client.run(request, watch=seen.append)
        np.testing.assert_array_equal(ours.paths, theirs.paths)
        assert ours.metadata() == theirs.metadata()
    assert client.facts("bundled") == service.facts("bundled")
    assert "bundled" in {model.name for model in client.models}


def test_a_page_follows_a_forecast_and_gives_it_up(client, engine, request_of):
    request = request_of(paths=2000, horizon=100)
    first = client.submit(request, owner="page")
    assert first.state in ("queued", "running")
    while (status := client.status(request.digest, owner="page")).done < 2:
        assert status.result is None
    assert status.done < status.total
    with pytest.raises(NotFinished):
        client.result(request.digest, owner="page", timeout=0.05)
    client.leave(request.digest, owner="page")
    with pytest.raises(ForecastCancelled):
        engine.result(request.digest, owner="other", timeout=30)
    assert client.status("0" * 64) is None


def test_a_result_is_seen_by_status_and_kept_for_the_next_look(client, request_of):
    request = request_of(seed=5)
    client.submit(request, owner="page")
    found = client.result(request.digest, owner="page")
    status = client.status(request.digest, owner="page")
    assert status.state == "done"
    np.testing.assert_array_equal(status.result.paths, found.paths)
    assert client.status(request.digest, owner="page").result is status.result


def test_equal_requests_of_two_clients_are_computed_once(server, engine, request_of):
    request = request_of(paths=200, horizon=40, seed=11)
    before = engine.engine.queue.counts().taken
    with kronos.Client(server) as one, kronos.Client(server) as two:
        for each in (one, two):
            each.submit(request, owner="page")
        results = [each.result(request.digest, owner="page") for each in (one, two)]
    assert engine.engine.queue.counts().taken == before + 1
    np.testing.assert_array_equal(results[0].paths, results[1].paths)


def test_errors_arrive_as_they_were_raised(client, request_of):
    with pytest.raises(InvalidRequest, match="T must be 1 for"):
        client.run(request_of("ewma", T=0.5))
    with pytest.raises(kronos.errors.KronosError, match="nowhere"):
        client.facts("nowhere")


def test_a_full_server_names_the_place_in_line_and_a_caller_may_wait(client, engine, request_of):
    owners = [f"o{i}" for i in range(30)]
    sent = 0

    def fill():
        nonlocal sent
        while sent < len(owners):
            request = request_of(paths=3000, horizon=100, seed=20 + sent)
            client.submit(request, owner=owners[sent])
            sent += 1

    try:
        before = -1
        while sent > before:  # between two steps the engine takes what it has room for
            before = sent
            with pytest.raises(Busy) as caught:
                fill()
            for _ in range(2):
                n_steps = engine.engine.n_steps
                wait_until(lambda n=n_steps: engine.engine.n_steps > n, 60)
        assert caught.value.position == 3
        with pytest.raises(DeadlineExceeded):
            client.submit(request_of(seed=99), owner="late", wait=True, deadline=0.3)
    finally:
        for owner in owners:
            client.leave_all(owner=owner)
    assert client.run(request_of(seed=98), priority=Priority.BATCH).n_paths == 10


def test_a_server_that_is_gone_is_named(monkeypatch):
    monkeypatch.setattr("kronos.serving.client._TRIES", 2)
    with (
        kronos.Client("http://localhost:1") as gone,
        pytest.raises(
            ServiceUnreachable, match=r"http://localhost:1 does not answer .*KRONOS_ENGINE=local"
        ),
    ):
        gone.facts("bundled")


def test_what_is_no_address_or_key_is_refused_before_anything_is_sent():
    for url in ("localhost:8600", "ftp://forecasts.example", "http://", ""):
        with pytest.raises(InvalidRequest, match="is like http://localhost:8600, found"):
            kronos.Client(url)
    for key in ("two\nlines", "cl\u00e9"):
        with pytest.raises(InvalidRequest, match="copy it again"):
            kronos.Client("http://localhost:1", key)


def test_a_closed_client_says_so(server):
    with kronos.Client(server) as client:
        pass
    with pytest.raises(Busy, match="is closed"):
        client.facts("bundled")


def test_a_server_of_something_else_is_named():
    async def pages(scope, receive, send):
        await PlainTextResponse("<html>")(scope, receive, send)

    with (
        serving(pages) as port,
        kronos.Client(f"http://localhost:{port}") as client,
        pytest.raises(ServiceUnreachable, match="not as a forecast server of this version"),
    ):
        client.facts("bundled")


def test_a_server_reads_no_folder_as_a_model_and_draws_no_more_than_fits(client, request_of):
    folder = str(asset_path("bundled"))
    with pytest.raises(CheckpointUnavailable, match="GET /v1/models lists"):
        client.facts(folder)
    asked = request_of()
    with pytest.raises(CheckpointUnavailable, match="GET /v1/models lists"):
        client.run(replace(asked, model=folder))
    many = request_of(paths=10_000, horizon=400)
    with pytest.raises(InvalidRequest, match=r"16,000,000 bars at most .* found 20,000,000"):
        client.run(BatchRequest(many.model, many.revision, (many,) * 5))


def test_commands_run_against_a_server(server, monkeypatch, capsys, tmp_path):
    words = ["forecast", SAMPLE, "--horizon", "3", "--paths", "5", "--quiet"]
    assert main(words) == 0
    here = capsys.readouterr().out
    monkeypatch.setenv("KRONOS_ENGINE", server)
    assert main(words) == 0
    assert capsys.readouterr().out == here
    (tmp_path / "bars").mkdir()
    shutil.copy(SAMPLE, tmp_path / "bars")
    walk = ["walk-forward", str(tmp_path / "bars"), "--store", str(tmp_path / "s.sqlite3")]
    walk += ["--origins", "3", "--horizon", "2", "--paths", "5", "--models", "bundled", "ewma"]
    assert main(walk) == 0, capsys.readouterr().err
    assert main([*words, "--device", "cpu"]) == 2
    assert "--device" in capsys.readouterr().err
    monkeypatch.setenv("KRONOS_ENGINE", "ftp://nowhere")
    assert main(words) == 2
    assert "KRONOS_ENGINE is local or" in capsys.readouterr().err


def test_the_forecast_page_runs_against_a_server(server, engine, monkeypatch):
    from pages.ui.jobs import queues
    from tests.pages.app_driver import new_session, run_until, words

    monkeypatch.setenv("KRONOS_ENGINE", server)
    monkeypatch.setattr(chosen, "_service", None)
    monkeypatch.setattr(queues.forecasts, "_made", [])
    before = engine.engine.queue.counts().taken
    app = new_session("forecast", seed=4711, horizon=3, paths=10).run()
    run_until(app, lambda app: bool(app.session_state.get("shown")))
    assert not app.exception
    assert "next 3 bars" in words(app)
    assert engine.engine.queue.counts().taken > before
    chosen.service().close()
