"""The opening forecast: computed once, kept, and shown by the next server without computing."""

import logging
from contextlib import closing

import numpy as np
import pytest

from kronos.serving.engine import Engine
from kronos.serving.queue import JobQueue
from kronos.serving.service import new_engine
from pages.ui.jobs import startup_cache as kept
from pages.ui.jobs.opening import opening_request, prepare_opening


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "user_cache", (tmp_path / "kronos-fan").joinpath)
    return tmp_path


def refuse(name, progress):
    raise AssertionError("nothing had to be computed")


def test_it_is_computed_once_and_then_kept(folder):
    key = opening_request()[1].key
    assert not kept.has_kept()
    with closing(new_engine("cpu")) as engine:
        assert prepare_opening(engine)
        made = engine.queue.status(key).result
        assert not prepare_opening(engine), "it is at hand"
    assert kept.has_kept()
    with closing(Engine(refuse)) as engine:
        assert not prepare_opening(engine)
        shown = engine.queue.status(key).result
    assert np.array_equal(shown.paths, made.paths)
    assert shown.metadata() == made.metadata()


def test_another_version_of_the_code_computes_anew(folder, monkeypatch):
    opened = opening_request()[1]
    queue = JobQueue()
    kept.keep(opened.key, queue)
    assert not kept.has_kept(), "nothing is kept of what is not finished"
    older = kept.folder()
    older.mkdir(parents=True)
    (older / f"{opened.key}.safetensors").write_bytes(b"whatever it was")
    assert kept.has_kept()
    monkeypatch.setattr(kept, "_code", lambda: "0" * 64)
    assert not kept.has_kept()


def test_a_spoilt_file_is_left_out_and_said(folder, caplog):
    kept.folder().mkdir(parents=True)
    (kept.folder() / "key.safetensors").write_bytes(b"half of a fil")
    queue = JobQueue()
    with caplog.at_level(logging.WARNING):
        kept.offer_kept(queue)
    assert queue.status("key") is None
    assert "A kept forecast is left out" in caplog.text


def test_a_disk_that_cannot_be_written_costs_nothing(folder, monkeypatch, caplog):
    (folder / "kronos-fan").write_text("a file where a folder belongs")
    queue = JobQueue()
    queue.offer("key", object())
    with caplog.at_level(logging.WARNING):
        kept.keep("key", queue)
    assert "not kept" in caplog.text
