"""The hub adapter against a loopback hub, with the official client and nothing replaced."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import constants, get_session, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from kronos.errors import CheckpointCorrupt, CheckpointUnavailable, ForecastCancelled
from kronos.models import hub
from kronos.models.hub import client, transfer
from kronos.models.hub.repository import CONFIG_NAME, WEIGHTS_NAME, Repository, repository
from tests.loopback_hub import LoopbackHub

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = repository("acme/tiny", "a" * 40)
TOKENIZER = repository("acme/tiny-tokenizer", "b" * 40)
PAIR = (MODEL, TOKENIZER)
SECONDS = 8.0
"""An error that takes longer than this is a hung page."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.05)
    with LoopbackHub() as running:
        running.publish(MODEL.repo_id, MODEL.revision, GOLDEN / "model")
        running.publish(TOKENIZER.repo_id, TOKENIZER.revision, GOLDEN / "tokenizer")
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pinned(**facts: str) -> Repository:
    """The model repository with digests of our own."""
    sizes = {"config": 223, "weights": (GOLDEN / "model" / WEIGHTS_NAME).stat().st_size}
    return repository(
        MODEL.repo_id,
        MODEL.revision,
        **{kind: (sizes[kind], digest) for kind, digest in facts.items()},
    )


def unavailable(*words: str, repositories: tuple[Repository, ...] = PAIR) -> str:
    """Asserts that a fetch fails within seconds with these words, and returns the message."""
    start = time.monotonic()
    with pytest.raises(CheckpointUnavailable) as caught:
        hub.fetch(repositories)
    assert time.monotonic() - start < SECONDS
    message = str(caught.value)
    for word in words:
        assert word in message
    return message


def test_downloads_configuration_and_weights_and_nothing_else(server: LoopbackHub) -> None:
    folders = hub.fetch(PAIR)
    for folder, kind in zip(folders, ("model", "tokenizer"), strict=True):
        assert sorted(p.name for p in folder.iterdir()) == [CONFIG_NAME, WEIGHTS_NAME]
        for name in (CONFIG_NAME, WEIGHTS_NAME):
            assert (folder / name).read_bytes() == (GOLDEN / kind / name).read_bytes()
    assert server.n_requests("cdn GET") == 2


def test_cached_and_pinned_makes_no_request(server: LoopbackHub) -> None:
    first = hub.fetch(PAIR)
    server.requests.clear()
    assert hub.fetch(PAIR) == first
    assert server.requests == []


def test_cached_works_when_the_hub_is_gone_and_offline(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.fetch(PAIR)
    server.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub.fetch(PAIR) == first
    assert server.requests == []


def test_offline_and_not_cached_is_said_without_a_request(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    unavailable("HF_HUB_OFFLINE", "acme/tiny", "bundled")
    assert server.requests == []


def test_mirror_set_after_import_is_honoured(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client has been imported at the top.
    with LoopbackHub() as mirror:
        mirror.publish(MODEL.repo_id, MODEL.revision, GOLDEN / "model")
        monkeypatch.setenv("HF_ENDPOINT", mirror.url + "/")
        hub.fetch([MODEL])
        assert mirror.n_requests("resolve") > 0
    assert server.requests == []


@pytest.mark.parametrize("address", ["huggingface.co", "ftp://hub", "http://", "http://h:99999"])
def test_a_mirror_that_is_no_web_address_is_named(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    unavailable("HF_ENDPOINT", address)


def test_refused_connection_says_what_to_do(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    message = unavailable("cannot be reached", "HF_ENDPOINT", "kronos models download", "bundled")
    assert "refused" in message


def test_unknown_host_is_unreachable(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    unavailable("hub.invalid", "cannot be reached")


def test_a_hub_that_never_answers_fails_within_seconds(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PROBE_SECONDS", 0.3)
    server.faults.hang = True
    unavailable("cannot be reached", "did not answer in time")


def test_the_time_of_all_attempts_is_bounded(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PROBE_SECONDS", 20.0)
    monkeypatch.setattr(transfer, "ANSWER_SECONDS", 0.5)
    server.faults.hang = True
    unavailable("cannot be reached", "no answer within")


def test_default_patience_is_seconds() -> None:
    assert transfer.ANSWER_SECONDS <= 10
    assert transfer.STALL_SECONDS <= 30


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"no_commit": True}, "without the headers"),
        ({"no_etag": True}, "without the headers"),
        ({"other_commit": True}, "with commit"),
        ({"strange_etag": "../../evil"}, "unusable digest"),
    ],
)
def test_an_answer_that_is_not_the_hubs_is_refused(
    server: LoopbackHub, fault: dict[str, object], words: str
) -> None:
    for name, value in fault.items():
        setattr(server.faults, name, value)
    unavailable(words, "HF_ENDPOINT")
    assert server.n_requests("GET") == 0


def test_missing_length_is_no_obstacle(server: LoopbackHub) -> None:
    server.faults.no_length = True
    folder = hub.fetch([MODEL])[0]
    assert sha256(folder / WEIGHTS_NAME) == sha256(GOLDEN / "model" / WEIGHTS_NAME)


def test_corrupt_bytes_are_refused_removed_and_fetched_anew(server: LoopbackHub) -> None:
    server.faults.corrupt = True
    with pytest.raises(CheckpointCorrupt, match="removed"):
        hub.fetch([MODEL])
    assert hub.cached_folder(MODEL) is None
    server.faults.corrupt = False
    folder = hub.fetch([MODEL])[0]
    assert sha256(folder / WEIGHTS_NAME) == sha256(GOLDEN / "model" / WEIGHTS_NAME)


def test_our_own_digest_outranks_the_hubs(server: LoopbackHub) -> None:
    with pytest.raises(CheckpointCorrupt, match="pinned"):
        hub.fetch([pinned(weights="0" * 64)])
    assert server.n_requests("cdn GET") == 0, "other bytes are not even downloaded"
    with pytest.raises(CheckpointCorrupt, match="cannot be trusted"):
        hub.fetch([pinned(config="0" * 64)])
    hub.fetch([pinned(weights=sha256(GOLDEN / "model" / WEIGHTS_NAME))])


def test_without_any_sha256_weights_are_refused(server: LoopbackHub) -> None:
    server.faults.strange_etag = "d41d8cd98f00b204e9800998ecf8427e"
    weights_only = Repository(MODEL.repo_id, MODEL.revision, MODEL.files[1:])
    with pytest.raises(CheckpointCorrupt, match="no SHA-256 is known"):
        hub.fetch([weights_only])
    assert hub.cached_folder(weights_only) is None


def test_a_file_altered_in_the_cache_is_found_at_the_next_load(server: LoopbackHub) -> None:
    weights = hub.fetch([MODEL])[0] / WEIGHTS_NAME
    with weights.open("r+b") as opened:
        opened.seek(-4, os.SEEK_END)
        opened.write(b"XXXX")
    with pytest.raises(CheckpointCorrupt):
        hub.fetch([MODEL])
    assert sha256(hub.fetch([MODEL])[0] / WEIGHTS_NAME) == sha256(GOLDEN / "model" / WEIGHTS_NAME)


def test_an_altered_file_with_its_old_times_is_found(server: LoopbackHub) -> None:
    weights = hub.fetch([MODEL])[0] / WEIGHTS_NAME
    before = weights.stat()
    weights.write_bytes(b"\0" * before.st_size)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(CheckpointCorrupt):
        hub.fetch([MODEL])


def test_an_untouched_file_is_hashed_once(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fetch([MODEL])
    hashed: list[str] = []
    digest = hub.cache._digest
    monkeypatch.setattr(
        hub.cache, "_digest", lambda path, like: hashed.append(path.name) or digest(path, like)
    )
    hub.fetch([MODEL])
    assert hashed == []
    hub.verify(MODEL)
    assert sorted(hashed) == [CONFIG_NAME, WEIGHTS_NAME]


def test_a_cut_connection_is_resumed(server: LoopbackHub) -> None:
    server.faults.cuts = 1
    folder = hub.fetch([MODEL])[0]
    assert sha256(folder / WEIGHTS_NAME) == sha256(GOLDEN / "model" / WEIGHTS_NAME)
    size = (GOLDEN / "model" / WEIGHTS_NAME).stat().st_size
    assert any(0 < int(asked.split("=")[1].rstrip("-")) < size for asked in server.ranges)


def test_a_stalled_download_is_given_up(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.5)
    server.faults.stall = True
    unavailable("stood still", repositories=(MODEL,))
    server.faults.stall = False
    server.released.set()
    for thread in threading.enumerate():
        if thread.name == "kronos-hub":
            thread.join(5)
            assert not thread.is_alive(), "the abandoned transfer stops at its next chunk"
    assert hub.cached_folder(MODEL) is None


def test_files_of_killed_downloads_are_removed(server: LoopbackHub, tmp_path: Path) -> None:
    blobs = tmp_path / "cache" / "models--acme--tiny" / "blobs"
    blobs.mkdir(parents=True)
    old, fresh = blobs / "x.1234abcd.incomplete", blobs / "y.1234abcd.incomplete"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    hub.fetch([MODEL])
    assert not old.exists()
    assert fresh.exists(), "another process may be at it"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "HF_TOKEN"),
        (403, "refused access"),
        (404, "no repository"),
        (500, "HTTP 500"),
        (429, "limits the rate"),
    ],
)
def test_refusals_in_plain_words(server: LoopbackHub, status: int, words: str) -> None:
    server.faults.statuses = [status] * 20
    unavailable(words)


def test_a_missing_repository_revision_or_file(server: LoopbackHub) -> None:
    gone = repository("acme/gone", "a" * 40)
    unavailable("no repository acme/gone", repositories=(gone,))
    moved = repository(MODEL.repo_id, "c" * 40)
    unavailable("no revision", "c" * 40, repositories=(moved,))
    known = repository(MODEL.repo_id, "c" * 40, weights=(1, "0" * 64))
    unavailable("not its revision", "tested with", repositories=(known,))
    server.withdraw(MODEL.repo_id, MODEL.revision, WEIGHTS_NAME)
    unavailable("not the file", repositories=(MODEL,))


@pytest.mark.parametrize("statuses", [[503], [429, 503], [503, 503]])
def test_a_passing_failure_is_outlived(server: LoopbackHub, statuses: list[int]) -> None:
    server.faults.statuses = statuses
    hub.fetch([MODEL])


def test_a_short_requested_pause_is_waited_and_a_long_one_refused(server: LoopbackHub) -> None:
    server.faults.statuses, server.faults.retry_after = [429], "1"
    start = time.monotonic()
    hub.fetch([MODEL])
    assert time.monotonic() - start >= 1
    server.faults.statuses, server.faults.retry_after = [429], "600"
    unavailable("limits the rate", repositories=(TOKENIZER,))


def test_a_download_larger_than_the_disk_is_not_begun(server: LoopbackHub) -> None:
    server.faults.claimed_size = 10**16
    unavailable("needs 10,000,000,000 MB", "HF_HUB_CACHE", repositories=(MODEL,))
    assert server.n_requests("GET") == 0


def test_a_cache_that_cannot_be_written_is_named(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    unavailable("cannot be written", "HF_HUB_CACHE")


def test_progress_counts_every_byte_once(server: LoopbackHub) -> None:
    seen: list[tuple[int, int]] = []
    server.faults.slow = 0.02
    hub.fetch(PAIR, progress=lambda done, total: seen.append((done, total)))
    size = sum(
        (GOLDEN / kind / name).stat().st_size
        for kind in ("model", "tokenizer")
        for name in (CONFIG_NAME, WEIGHTS_NAME)
    )
    known = [pair for pair in seen if pair[1]]
    assert known[-1] == (size, size)
    assert {total for _, total in known} == {size}
    assert [done for done, _ in known] == sorted(done for done, _ in known)


def test_raising_in_progress_stops_the_download(server: LoopbackHub) -> None:
    server.faults.slow = 0.2

    def cancel(done: int, total: int) -> None:
        if total:
            raise ForecastCancelled("enough")

    start = time.monotonic()
    with pytest.raises(ForecastCancelled, match="enough"):
        hub.fetch(PAIR, progress=cancel)
    assert time.monotonic() - start < 3
    assert hub.cached_folder(MODEL) is None
    server.faults.slow = 0.0
    hub.fetch(PAIR)


def test_threads_that_want_the_same_share_one_download(server: LoopbackHub) -> None:
    server.faults.slow = 0.01
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.extend(hub.fetch([MODEL]))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1
    assert len(folders) == 6
    assert server.n_requests("cdn GET") == 1


def test_a_stored_login_is_never_sent(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    (tmp_path / "token").write_text("hf_stored")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    hub.fetch([MODEL])
    assert all("authorization" not in {k.lower() for k in h} for h in server.headers)


def test_an_explicit_token_stays_with_the_hub(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    hub.fetch([MODEL])
    for request, headers in zip(server.requests, server.headers, strict=True):
        sent = {k.lower(): v for k, v in headers.items()}.get("authorization")
        assert sent == (None if request.startswith("cdn") else "Bearer hf_mine")


def test_remove_frees_the_pinned_revision_only(server: LoopbackHub) -> None:
    other = repository(MODEL.repo_id, "c" * 40)
    server.publish(other.repo_id, other.revision, GOLDEN / "tokenizer")
    hub.fetch([MODEL, other])
    assert hub.remove(MODEL) >= (GOLDEN / "model" / WEIGHTS_NAME).stat().st_size
    assert hub.cached_folder(MODEL) is None
    assert hub.cached_folder(other) is not None
    hub.remove(other)
    assert not hub.cache.storage(other).exists()
    assert hub.remove(other) == 0


def test_a_branch_is_no_pin() -> None:
    with pytest.raises(ValueError, match="40 hexadecimal"):
        repository("acme/tiny", "main")


def test_the_client_of_others_keeps_its_settings(server: LoopbackHub) -> None:
    asked: list[str] = []

    def of_the_program() -> httpx2.Client:
        return httpx2.Client(event_hooks={"request": [lambda sent: asked.append(sent.method)]})

    settings = {name: getattr(constants, name) for name in dir(constants) if name.isupper()}
    environment = dict(os.environ)
    set_client_factory(of_the_program)
    try:
        hub.fetch(PAIR)
        assert asked.count("GET") >= 4  # the program's own client was used
        n_asked = len(asked)
        address = f"{server.url}/{MODEL.repo_id}/resolve/{MODEL.revision}/{CONFIG_NAME}"
        answer = get_session().get(address, headers={"User-Agent": "mine", "Accept-Encoding": "x"})
        assert answer.status_code == 200
        assert len(asked) == n_asked + 1
        assert server.headers[-1]["User-Agent"] == "mine"
        assert server.headers[-1]["Accept-Encoding"] == "x"
    finally:
        set_client_factory(default_client_factory)
    assert dict(os.environ) == environment
    assert {name: getattr(constants, name) for name in settings} == settings


def test_the_hub_is_not_told_what_is_installed_here(server: LoopbackHub) -> None:
    hub.fetch(PAIR)
    assert {headers["User-Agent"] for headers in server.headers} == {"kronos-fan"}


def test_files_come_by_plain_http(server: LoopbackHub) -> None:
    hub.fetch(PAIR)
    assert server.n_requests("xet") == 0
    assert server.n_requests("cdn GET") == 2


@pytest.mark.parametrize("n_users", [1, 2])
def test_a_blob_shared_by_repositories_is_freed_with_the_last_one(
    server: LoopbackHub, n_users: int
) -> None:
    # The layout of the client where repositories hold the same file.
    size, digest = 1_000_000, "ab" * 32
    blob = client.cache_folder() / "blobs" / digest[:2] / digest
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(size))
    (blob.parents[1] / ".huggingface-shared-blobs").write_text("1\n")
    users = [repository(f"acme/user-{i}", str(i) * 40) for i in range(n_users)]
    for repo in users:
        folder = hub.cache.storage(repo)
        snapshot = folder / "snapshots" / repo.revision
        snapshot.mkdir(parents=True)
        (folder / "blobs").mkdir()
        (folder / "blobs" / digest).symlink_to(f"../../blobs/{digest[:2]}/{digest}")
        (snapshot / WEIGHTS_NAME).symlink_to(f"../../blobs/{digest}")
        (snapshot / CONFIG_NAME).write_text("{}")
        with blob.with_name(f"{digest}.refs").open("a") as references:
            references.write(f"{folder.name}/blobs/{digest}\n")
    freed = [hub.remove(repo) for repo in users]
    assert not blob.exists()
    own = 2  # bytes of each configuration
    assert freed == [own] * (n_users - 1) + [size + own]
