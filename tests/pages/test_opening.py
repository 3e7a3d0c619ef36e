"""The opening forecast: computed once, kept, and shown by the next server without computing."""

import logging
from contextlib import closing

import numpy as np
import pytest

from kronos.serving.queue import JobQueue
from kronos.serving.service import LocalService, forecaster_facts
from pages.ui.jobs import startup_cache
from pages.ui.jobs.opening import opening_settings, prepare_opening


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(startup_cache, "user_cache", (tmp_path / "kronos-fan").joinpath)
    return tmp_path


def opening_key():
    candles, settings = opening_settings()
    return settings.request(candles, forecaster_facts(settings.model)).digest


def refuse(name, progress):
    raise AssertionError("nothing had to be computed")


def test_it_is_computed_once_and_then_kept(folder):
    key = opening_key()
    assert not startup_cache.is_filled()
    with closing(LocalService(device="cpu")) as service:
        assert prepare_opening(service)
        made = service.status(key).result
        assert not prepare_opening(service), "it is at hand"
    assert startup_cache.is_filled()
    with closing(LocalService(refuse)) as service:
        assert not prepare_opening(service)
        shown = service.status(key).result
    assert np.array_equal(shown.paths, made.paths)
    assert shown.metadata() == made.metadata()


def test_another_version_of_the_code_computes_anew(folder, monkeypatch):
    key = opening_key()
    queue = JobQueue()
    startup_cache.put(key, queue)
    assert not startup_cache.is_filled(), "nothing is kept of what is not finished"
    older = startup_cache.folder()
    older.mkdir(parents=True)
    (older / f"{key}.safetensors").write_bytes(b"whatever it was")
    assert startup_cache.is_filled()
    monkeypatch.setattr(startup_cache, "_code", lambda: "0" * 64)
    assert not startup_cache.is_filled()


def test_a_spoilt_file_is_left_out_and_said(folder, caplog):
    startup_cache.folder().mkdir(parents=True)
    (startup_cache.folder() / "key.safetensors").write_bytes(b"half of a fil")
    queue = JobQueue()
    with caplog.at_level(logging.WARNING):
        startup_cache.offer_cached(queue)
    assert queue.status("key") is None
    assert "A cached forecast is left out" in caplog.text


def test_a_disk_that_cannot_be_written_costs_nothing(folder, monkeypatch, caplog):
    (folder / "kronos-fan").write_text("a file where a folder belongs")
    queue = JobQueue()
    queue.offer("key", object())
    with caplog.at_level(logging.WARNING):
        startup_cache.put("key", queue)
    assert "not cached" in caplog.text
