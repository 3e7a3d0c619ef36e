"""A hub that means harm: every answer ends in time, in bounds, and with an error in plain words."""

from __future__ import annotations

import base64
import gzip
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kronos.errors import CheckpointUnavailable
from kronos.models import hub
from kronos.models.hub import client, connection, transfer
from kronos.models.hub.connection import Connections, Refused
from kronos.models.hub.repository import WEIGHTS_NAME, repository
from tests.loopback_hub import LoopbackHub

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = repository("acme/tiny", "a" * 40)
SIZE = (GOLDEN / "model" / WEIGHTS_NAME).stat().st_size
SECONDS = 8.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.05)
    with LoopbackHub() as running:
        running.publish(MODEL.repo_id, MODEL.revision, GOLDEN / "model")
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def fails(*words: str) -> str:
    """Asserts that a fetch ends in time with these words, and leaves nothing running or stored."""
    start = time.monotonic()
    with pytest.raises(CheckpointUnavailable) as caught:
        hub.fetch([MODEL])
    assert time.monotonic() - start < SECONDS
    message = str(caught.value)
    for word in (*words, "acme/tiny"):
        assert word in message, message
    for thread in threading.enumerate():
        if thread.name == "kronos-hub":
            thread.join(5)
            assert not thread.is_alive(), "the transfer is ended, not only abandoned"
    assert hub.cache.cached_file(MODEL, MODEL.files[1]) is None
    assert not list(hub.cache_folder().rglob("*.incomplete"))
    return message


def test_a_body_byte_by_byte_is_given_up(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.6)
    monkeypatch.setattr(transfer, "SLOWEST_BYTES", 1)
    server.faults.slow, server.faults.piece = 0.05, 1
    fails("the download stood still")


def test_a_download_that_moves_all_the_time_has_a_deadline_too(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(transfer, "SLOWEST_BYTES", 1 << 40)
    monkeypatch.setattr(connection, "_CHUNK_BYTES", 64)
    server.faults.slow, server.faults.piece = 0.02, 64
    fails(f"the download of {SIZE:,} bytes took more than 1 s")


def test_a_slow_line_has_hours_for_the_largest_model() -> None:
    assert transfer.SLOWEST_BYTES <= 100_000
    assert transfer.STALL_SECONDS + 400e6 / transfer.SLOWEST_BYTES > 3600


def test_headers_without_an_end_are_given_up(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "ANSWER_SECONDS", 0.6)
    server.faults.slow_headers = 0.05
    fails("no answer within")


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_endless_body_ends_at_the_announced_size(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch, *, is_announced: bool
) -> None:
    monkeypatch.setattr(transfer, "MOST_UNANNOUNCED", 3 << 20)
    server.faults.no_length = not is_announced
    server.faults.cdn_body, server.faults.endless = b"a" * 65536, True
    most = SIZE if is_announced else 3 << 20
    fails(f"more than the {most:,} bytes of {WEIGHTS_NAME}")


def test_another_size_than_the_pinned_one_is_not_downloaded(server: LoopbackHub) -> None:
    server.faults.claimed_size = 10**9
    sized = repository(MODEL.repo_id, MODEL.revision, weights=(SIZE, "0" * 64))
    with pytest.raises(hub.transfer.CheckpointCorrupt, match="Nothing was downloaded"):
        hub.fetch([sized])
    assert server.n_requests("cdn GET") == 0


def test_a_compressed_bomb_is_refused_unread(server: LoopbackHub) -> None:
    server.faults.cdn_body = gzip.compress(bytes(1 << 20))
    server.faults.cdn_headers = {"Content-Encoding": "gzip"}
    fails("an encoding that was not requested ('gzip')")


@pytest.mark.parametrize("body", [b"[" * 100_000, b"a" * 65536], ids=["deep JSON", "text"])
@pytest.mark.parametrize("status", [404, 500, 403])
def test_bodies_of_errors_are_not_read(server: LoopbackHub, status: int, body: bytes) -> None:
    server.faults.cdn_status, server.faults.cdn_body, server.faults.endless = status, body, True
    fails(f"HTTP {status}")


def test_the_server_does_not_say_how_long_the_client_sleeps(server: LoopbackHub) -> None:
    server.faults.cdn_status = 429
    server.faults.cdn_headers = {"Retry-After": "100000"}
    with pytest.raises(CheckpointUnavailable, match="limits the rate"):
        hub.fetch([MODEL])
    assert "kronos-hub" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("target", ["http://localhost:{port}/x", "file:///etc/passwd", "ftp://a/b"])
def test_redirects_to_other_hosts_must_be_encrypted(server: LoopbackHub, target: str) -> None:
    server.faults.location = target.format(port=server.cdn_url.rpartition(":")[2])
    fails("a redirect to", "which is not followed", "https", "HF_ENDPOINT")
    assert server.n_requests("cdn") == 0


def test_the_body_may_come_from_another_host_by_https(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.6)
    server.faults.location = "https://localhost:9/body"
    fails("cannot be reached")


@pytest.mark.parametrize(
    ("base", "address", "is_followed"),
    [
        ("https://huggingface.co", "https://huggingface.co/a", True),
        ("https://huggingface.co", "https://cdn-lfs.hf.co/a", True),
        ("https://huggingface.co", "http://huggingface.co/a", False),
        ("https://huggingface.co", "http://cdn-lfs.hf.co/a", False),
        ("http://mirror.local:8080", "http://mirror.local:9090/a", True),
        ("http://mirror.local:8080", "https://elsewhere.example/a", True),
        ("http://mirror.local:8080", "http://169.254.169.254/a", False),
    ],
)
def test_encryption_is_never_left(base: str, address: str, *, is_followed: bool) -> None:
    request = httpx2.Request("GET", address)
    connections = Connections(base, "Basic secret")
    if is_followed:
        connections.check(request)
        own = address.startswith(base + "/")
        assert request.headers.get("Authorization") == ("Basic secret" if own else None)
    else:
        with pytest.raises(Refused, match="is not followed"):
            connections.check(request)


def test_endless_redirects_end(server: LoopbackHub) -> None:
    server.faults.cdn_status = 302
    server.faults.cdn_headers = {"Location": "/again"}
    fails("too many redirects")
    assert 0 < server.n_requests("cdn") <= 6


@pytest.mark.parametrize("target", ["http://[", "http://a:99999/", "//", "\x00"])
def test_a_redirect_to_no_address_is_named(server: LoopbackHub, target: str) -> None:
    server.faults.location = target
    fails("acme/tiny")


def test_a_password_of_the_mirror_is_sent_and_shown_to_nobody(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url.replace("//", "//anna:ge%40heim@"))
    caplog.set_level(logging.DEBUG)
    assert hub.endpoint() == server.url
    server.faults.statuses = [503]
    hub.fetch([MODEL])
    secret = "Basic " + base64.b64encode(b"anna:ge@heim").decode()
    sent = {
        ("cdn" in request, headers.get("Authorization") or headers.get("authorization"))
        for request, headers in zip(server.requests, server.headers, strict=True)
    }
    assert sent == {(False, secret), (True, None)}
    hub.remove(MODEL)
    server.faults.statuses = [500] * 9
    shown = fails("HTTP 500") + caplog.text
    assert "ge@heim" not in shown
    assert "ge%40heim" not in shown
    assert secret[6:] not in shown


@pytest.mark.parametrize(
    "address",
    [
        "ftp://anna:geheim@hub",
        "anna:geheim@hub",
        "https://anna:gehe/im@hub",
        "https://anna:1/geheim@hub",
        "https://anna:geheim@hub:99999",
        "https://anna:geheim?x@hub",
        "https://anna:geheim#x@hub",
        "https://hub?token=geheim",
    ],
)
def test_a_password_of_a_wrong_address_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(CheckpointUnavailable) as caught:
        hub.endpoint()
    error: Any = caught.value
    while error is not None:
        assert "gehe" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "HF_ENDPOINT" in str(caught.value)
