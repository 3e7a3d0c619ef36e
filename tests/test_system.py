"""Memory, processors and folders of the machine; files that are replaced as a whole."""

import errno
import os
import sys
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest

from kronos import system


def test_the_memory_of_this_process_follows_what_it_holds():
    before = system.process_bytes()
    block = np.ones(8_000_000)
    assert system.process_bytes() - before > 0.9 * block.nbytes


def test_the_parts_fit_into_the_whole():
    total = system.total_bytes()
    assert system.process_bytes() < total
    assert system.free_bytes() is None or system.free_bytes() <= total
    assert 1 <= system.n_processors() <= os.cpu_count()


def test_a_system_without_proc_is_asked_by_psutil(monkeypatch):
    known = system.process_bytes(), system.total_bytes(), system.free_bytes(), system.peak_bytes()
    monkeypatch.setattr(system, "_STATUS", Path("nowhere"))
    monkeypatch.setattr(system, "_MEMORY", Path("nowhere"))
    found = system.process_bytes(), system.total_bytes(), system.free_bytes(), system.peak_bytes()
    for one, other in zip(known, found, strict=True):
        assert 0.4 < other / one < 2.5
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert system.process_bytes() is None
    assert system.total_bytes() is None
    assert system.free_bytes() is None


def test_the_peak_is_at_least_what_is_held():
    block = np.ones(8_000_000)
    assert system.peak_bytes() >= system.process_bytes() > block.nbytes


def test_data_and_cache_have_a_folder_each(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert system.user_data("runs") == tmp_path / "data" / "kronos-fan" / "runs"
    assert system.user_cache("a", "b") == tmp_path / "cache" / "kronos-fan" / "a" / "b"


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("is_only_writer", [False, True])
def test_a_file_is_replaced_only_when_it_is_complete(tmp_path, is_only_writer, flush):
    path = tmp_path / "facts.json"
    path.write_text("old")
    with system.atomic_write(path, is_only_writer=is_only_writer, flush=flush) as partial:
        partial.write_text("new")
        assert partial.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text("old")

    def fail_halfway() -> None:
        with system.atomic_write(path) as partial:
            partial.write_text("half")
            raise ValueError("disk")

    with pytest.raises(ValueError, match="disk"):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_that_write_one_file_do_not_mix_their_content(tmp_path):
    path, both_open = tmp_path / "facts.json", Barrier(2, timeout=30)

    def write(text: str) -> None:
        with system.atomic_write(path) as partial:
            partial.write_text(text)
            both_open.wait()

    threads = [Thread(target=write, args=(letter * 50_000,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(path.read_text()) in ({"a"}, {"b"})
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_disk_that_a_library_reports_as_text_is_one_of_the_system(tmp_path):
    path = tmp_path / "weights"
    with pytest.raises(OSError, match="No space left") as found, system.atomic_write(path):
        raise ValueError("Error while serializing: I/O error (os error 28)")
    assert (found.value.errno, found.value.filename) == (errno.ENOSPC, str(path))
    assert system.storage_problem(found.value) == (
        f"{path} cannot be used: No space left on device. Free some space and try again."
    )


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_problems_of_storage_are_said_with_what_to_do(number):
    said = system.storage_problem(OSError(number, "", "runs/log"))
    assert said.startswith(f"runs/log cannot be used: {os.strerror(number)}. ")
    assert system.storage_problem(OSError(number, "")).startswith("A file cannot be used")


def test_other_errors_are_no_problem_of_storage():
    for error in (FileNotFoundError(2, "", "a"), OSError("odd"), KeyError(28), MemoryError()):
        assert system.storage_problem(error) is None


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "Failed to perform, curl: (6) Could not resolve host: feed.example. See x",
            "no address is known for the name feed.example; this machine may be offline",
        ),
        (
            "HTTPSConnectionPool(host='api.binance.com', port=443): Failed to resolve "
            "'api.binance.com' ([Errno -2] Name or service not known)",
            "no address is known for the name api.binance.com; this machine may be offline",
        ),
        (
            "[Errno -2] Name or service not known",
            "no address is known for its name; this machine may be offline",
        ),
        ("[Errno 111] Connection refused", "nothing accepts connections at its address"),
        (
            "Failed to perform, curl: (7) Failed to connect to query2.finance.yahoo.com:443 over "
            "proxy 127.0.0.1 after 0 ms: Could not connect to server",
            "the proxy 127.0.0.1 cannot be reached",
        ),
        (
            "Failed to perform, curl: (7) CONNECT tunnel failed, response 404",
            "the proxy refuses the connection (status 404)",
        ),
        (
            "Failed to perform, curl: (60) SSL certificate problem: self-signed certificate",
            "its certificate cannot be verified, as with a proxy that reads the traffic or a "
            "wrong clock",
        ),
        (
            "Failed to perform, curl: (52) Empty reply from server",
            "its answer breaks off, or is no HTTP that can be read",
        ),
        ("[Errno 113] No route to host", "No route to host"),
        ("Failed to perform, curl: (28) Operation timed out", "Operation timed out"),
        ("no answer within 20 s", "no answer within 20 s"),
    ],
)
def test_a_failed_connection_is_said_without_the_codes_of_a_library(reason, words):
    """Texts of curl, requests, httpx and the system, as they raise them."""
    assert system.connection_text(reason) == words
