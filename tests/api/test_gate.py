"""Who gets through, and what malformed requests are told."""

from __future__ import annotations

import json
import logging
import socket
import stat
import time
from contextlib import suppress
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.api import connections
from kronos.api.gate import MAX_BODY
from kronos.api.keys import Keys
from kronos.cli import main
from kronos.errors import InvalidRequest, StoreUnavailable
from tests.api.conftest import ELSEWHERE
from tests.api.loopback import serving

PROBLEM = "application/problem+json"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_without_a_key_only_this_machine_is_answered(serve):
    local = serve()
    assert local.get("/v1/health").status_code == 200
    for headers in (
        {"X-Forwarded-For": "192.0.2.7"}, {"Forwarded": "for=192.0.2.7"},
        {"Host": "forecasts.example"}, {"Origin": "https://evil.example"},
        {"Host": "["}, {"Host": "[::1"}, {"Origin": "http://["}, {"Origin": "null"},
        bearer("kf_guessed"), {"Authorization": "Basic a2Y6a2Y="},
    ):  # fmt: skip
        refused = local.get("/v1/health", headers=headers)
        assert refused.status_code == 401, headers
        assert refused.headers["Content-Type"] == PROBLEM
    for path in ("/v1/health", "/v1/models", "/v1/openapi.json", "/metrics", "/v1/nothing"):
        assert serve(ELSEWHERE).get(path).status_code == 401


def test_a_key_opens_the_api_until_it_is_removed(serve, keys):
    key = keys.add("nightly")
    strange = serve(ELSEWHERE)
    assert strange.get("/v1/health", headers=bearer(key)).status_code == 200
    keys.remove("nightly")
    refused = strange.get("/v1/health", headers=bearer(key))
    assert refused.status_code == 401
    assert "kronos keys add" in refused.json()["detail"]


def test_a_key_has_its_own_limit(serve, keys):
    slow, quick = keys.add("slow", "2/hour"), keys.add("quick")
    strange = serve(ELSEWHERE)
    codes = [strange.get("/v1/health", headers=bearer(slow)).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    refused = strange.get("/v1/health", headers=bearer(slow))
    assert 3590 <= int(refused.headers["Retry-After"]) <= 3600
    assert strange.get("/v1/health", headers=bearer(quick)).status_code == 200


def test_only_hashes_are_stored_and_only_the_owner_reads_them(keys, tmp_path):
    key = keys.add("nightly")
    file = tmp_path / "keys.json"
    assert key not in file.read_text()
    assert key.removeprefix("kf_") not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keys.find(key).name == "nightly"
    for name, limit in (("nightly", "1/second"), ("a\nb", "1/second"), ("c", "often")):
        with pytest.raises(InvalidRequest):
            keys.add(name, limit)
    file.write_text("{")
    with pytest.raises(StoreUnavailable, match="Mend the file"):
        Keys(file).all()


def test_the_command_shows_a_key_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["keys", "add", "nightly", "--limit", "5/second"]) == 0
    key = capsys.readouterr().out.strip()
    assert Keys().find(key).limit == "5/second"
    assert main(["keys"]) == 0
    listed = capsys.readouterr().out
    assert "nightly" in listed
    assert key not in listed
    assert main(["keys", "remove", "nightly"]) == 0
    assert Keys().all() == ()


def test_strangers_are_not_served_without_a_key(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "kronos keys add NAME" in capsys.readouterr().err


def test_a_body_is_limited_whether_it_says_its_size_or_not(api):
    def pieces():
        for _ in range(MAX_BODY // (1 << 20) + 1):
            yield b" " * (1 << 20)

    for body in (b" " * (MAX_BODY + 1), pieces()):
        refused = api.post("/v1/forecasts", content=body)
        assert refused.status_code == 413
        assert refused.headers["Content-Type"] == PROBLEM
        assert refused.headers["Connection"] == "close"


def test_a_client_that_writes_before_it_reads_learns_that_its_body_is_too_large(serve):
    with serving(serve().app) as port:
        ordered = Request(f"http://localhost:{port}/v1/forecasts", b" " * (MAX_BODY + (1 << 20)))
        with pytest.raises(HTTPError) as refused:
            urlopen(ordered)
    assert refused.value.code == 413
    assert b"at most 8 MB" in refused.value.read()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"horizon": 0}, 422, "horizon"),
        ({"nonsense": 1}, 422, "nonsense"),
        ({"paths": 10_000, "horizon": 400}, 422, "paths times horizon"),
        ({"candles": None}, 422, "give candles, or source and symbol"),
        ({"model": "../../etc"}, 409, "GET /v1/models"),
        ({"model": "ewma", "temperature": 0.5}, 422, "T must be 1 for"),
        ({"origin": "yesterday"}, 422, "origin must be a time"),
        ({"origin": "2033-01-01T00:00:00Z"}, 422, "origin must lie"),
        ({"candles": None, "source": "samples", "symbol": "NONE"}, 404, "no NONE"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(api, order, change, status, words):
    refused = api.post("/v1/forecasts?wait=10", json=order | change)
    assert refused.status_code == status, refused.text
    assert refused.headers["Content-Type"] == PROBLEM
    found = refused.json()
    assert found["status"] == status
    assert words in found["detail"]


def test_bars_that_break_the_schema_are_named_by_row(api, order):
    order["candles"]["low"][3] = order["candles"]["high"][3] + 1
    refused = api.post("/v1/forecasts", json=order)
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:kronos:invalid-candles"
    mixed = order["candles"]["timestamp"]
    mixed[0] = mixed[0].removesuffix("+00:00")
    assert "offset in every row" in api.post("/v1/forecasts", json=order).json()["detail"]


def first_line(port, sent, more=b"", n_more=0):
    """What a server answers to bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        with suppress(OSError):  # it closes before all is sent
            line.sendall(sent)
            for _ in range(n_more):
                line.sendall(more)
        with suppress(OSError):
            return line.recv(4096).partition(b"\r\n")[0]
    return b""


def test_a_head_is_bounded_in_size_and_time_before_anybody_is_known(serve, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    head = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n"
    with serving(serve().app, http=connections.BoundedHttp) as port:
        assert first_line(port, head + b"\r\n").endswith(b"200 OK")
        assert b" 431 " in first_line(port, head + b"X: ", b"a" * 65_536, 40)
        many = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(60))
        assert b" 431 " in first_line(port, head, many, 40)
        post = b"POST /v1/forecasts HTTP/1.1\r\nHost: localhost\r\n"
        trailers = post + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: "
        assert b" 431 " in first_line(port, trailers, b"a" * 65_536, 40)
        begun = time.monotonic()
        for silent in (b"", head):
            assert first_line(port, silent) == b""
        assert time.monotonic() - begun < 10
        body = b'{"candles": "' + b"x" * 1_000_000 + b'"}'
        sent = b"%sContent-Length: %d\r\n\r\n%s" % (post, len(body), body)
        assert b" 422 " in first_line(port, sent)


def test_routes_that_are_none_are_problems_too(api):
    for method, path, status in (
        ("GET", "/v1/nothing", 404), ("PUT", "/v1/forecasts", 405),
        ("GET", f"/v1/forecasts/{'0' * 64}", 404), ("GET", "/v1/forecasts/1", 422),
        ("GET", "/v1/models/none", 422), ("GET", "/v1/events?kind=none", 422),
        ("GET", "/v1/events?from=soon", 422),
    ):  # fmt: skip
        found = api.request(method, path)
        assert (found.status_code, found.headers["Content-Type"]) == (status, PROBLEM), path


def test_every_request_has_an_id_and_a_line_in_the_log(api, caplog):
    with caplog.at_level(logging.INFO, logger="kronos.api.requests"):
        named = api.get("/v1/health", headers={"X-Request-ID": "my-1"})
        other = api.get("/v1/health", headers={"X-Request-ID": "two\tlines"})
    assert named.headers["X-Request-ID"] == "my-1"
    assert "\t" not in other.headers["X-Request-ID"]
    line = json.loads(caplog.records[0].message)
    assert (line["request_id"], line["path"], line["status"]) == ("my-1", "/v1/health", 200)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9),
    st.sampled_from(["bundled", "ewma", "samples", "1d", "NaN", "2024-01-01"]),
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
FIELDS = ("candles", "source", "symbol", "interval", "origin", "model", "horizon", "lookback",
          "temperature", "top_p", "paths", "seed", "events", "own_events", "deadline")  # fmt: skip


@settings(max_examples=60)
@given(changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3), cut=st.integers(0, 400))
def test_no_body_makes_the_server_fail(malformed, changes, cut):
    api, order = malformed
    text = json.dumps(order | changes).encode(errors="replace")
    for body in (text, text[:cut], text.replace(b"1", b"\xff", 1)):
        status = api.post("/v1/forecasts", content=body).status_code
        assert status in (200, 202, 404, 409, 422), (status, body)


@pytest.fixture(scope="module")
def malformed(service, tmp_path_factory):
    from starlette.testclient import TestClient

    from kronos.api.app import create_api
    from kronos.api.spool import Spool
    from tests.api.conftest import LOCAL, SampleFeeds

    folder = tmp_path_factory.mktemp("api")
    api = create_api(
        lambda: service, SampleFeeds(), keys=Keys(folder / "keys.json"),
        spool=Spool(folder / "orders.sqlite3"),
    )  # fmt: skip
    order = {"source": "samples", "symbol": "GOOG", "model": "ewma", "horizon": 2, "paths": 5}
    with TestClient(api, base_url="http://localhost", client=LOCAL) as client:
        yield client, order
