"""Chronos-2 among the models: by name, by folder, through the engine, and without its package."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

import kronos
from data_sources.samples import load_sample
from kronos import models
from kronos.errors import CheckpointCorrupt, CheckpointUnavailable, InvalidRequest
from kronos.forecast import SamplingParameters
from kronos.forecasters.chronos import ChronosForecaster
from kronos.models.hub.repository import WEIGHTS_NAME
from kronos.models.registry import published
from kronos.request import ForecastRequest
from kronos.self_test import run_self_test
from kronos.serving.requests import FactsRequest
from kronos.serving.service import LocalService
from tests.forecasters.chronos.tiny import tiny_on_a_hub, write_tiny
from tests.loopback_hub import LoopbackHub


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a tiny checkpoint of Chronos-2."""
    return write_tiny(tmp_path_factory.mktemp("chronos") / "tiny-chronos")


@pytest.fixture
def server(tmp_path: Path, tiny_folder: Path) -> Iterator[LoopbackHub]:
    with tiny_on_a_hub(tiny_folder, tmp_path / "cache") as running:
        yield running


def state(name: str) -> str:
    return next(entry.state for entry in models.available() if entry.name == name)


def test_revisions_and_digests_of_weights_are_pinned():
    assert list(models.CHRONOS) == ["chronos-2-small", "chronos-2"]
    for model in models.CHRONOS.values():
        (repo,) = model.repositories
        assert re.fullmatch("[0-9a-f]{40}", repo.revision)
        assert re.fullmatch("[0-9a-f]{64}", repo.files[1].sha256 or "")
        assert model.is_chronos


@pytest.mark.parametrize(
    "name", ["chronos-2", "Chronos-2", "amazon/chronos-2", " AMAZON/Chronos-2"]
)
def test_it_answers_to_its_names(name):
    assert published(name) is models.CHRONOS["chronos-2"]


def test_it_is_fetched_loaded_tested_and_deleted_like_the_others(server):
    assert state("chronos-2-small") == "downloadable"
    predictor = kronos.load("chronos-2-small", device="cpu")
    assert isinstance(predictor, ChronosForecaster)
    assert (predictor.name, predictor.revision) == ("Chronos-2-small", "d" * 40)
    assert state("chronos-2-small") == "cached"
    models.verify("chronos-2-small")
    with closing(LocalService(device="cpu")) as service:
        tested = run_self_test(service, "chronos-2-small")
    assert tested.is_passed
    assert [step.outcome for step in tested.steps].count("skipped") == 2
    assert models.delete("chronos-2-small") > 0
    assert state("chronos-2-small") == "downloadable"


def test_the_engine_forecasts_with_it(tiny_folder):
    candles = load_sample("IBM_1d").slice(-80)
    sampling = SamplingParameters(sample_count=12)
    with closing(LocalService(device="cpu")) as service:
        facts = service.facts(str(tiny_folder))
        request = ForecastRequest.of_candles(candles, facts, horizon=4, sampling=sampling)
        forecast = service.run(request)
        assert service.run(FactsRequest(facts.model)) == replace(facts, model=facts.name)
        assert service.models[0].placement.dtype == "float32"
    assert forecast.paths.shape == (12, 4, 6)
    assert re.fullmatch("[0-9a-f]{16}", forecast.model_revision)


def test_damaged_weights_are_refused(server, monkeypatch):
    server.faults.corrupt = True
    with pytest.raises(CheckpointCorrupt):
        kronos.load("chronos-2-small")


def test_without_the_hub_it_is_said_what_to_do(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(CheckpointUnavailable, match="chronos-2-small"):
        kronos.load("chronos-2-small")


def test_without_the_package_it_is_said_what_to_do_before_anything_is_fetched(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "chronos", None)
    with pytest.raises(CheckpointUnavailable, match=r"pip install 'kronos-fan\[chronos\]'"):
        kronos.load("chronos-2-small")
    with pytest.raises(CheckpointUnavailable, match="not installed"):
        models.download("chronos-2-small")
    assert state("chronos-2-small") == "downloadable"


def test_it_is_no_kronos(tiny_folder):
    for name in ("chronos-2", str(tiny_folder)):
        with pytest.raises(InvalidRequest, match="no Kronos"):
            models.locate(name)
        assert not models.draws_tokens(name)
    with pytest.raises(InvalidRequest, match="There is no model 'chronos-2'"):
        kronos.Kronos.from_pretrained("chronos-2")
    with pytest.raises(InvalidRequest, match="no tokenizer"):
        models.load(tiny_folder, tokenizer="x")
    assert models.draws_tokens("bundled")
    assert not models.draws_tokens("ewma")
    assert not models.draws_tokens(models.ENSEMBLE)
    assert (tiny_folder / WEIGHTS_NAME).is_file()


def test_bars_after_its_release_are_new_to_it():
    revision = models.CHRONOS["chronos-2"].model.revision
    assert models.cut_off("Chronos-2", revision) == date(2025, 10, 31)
    assert models.cut_off("Chronos-2", "other") is None
