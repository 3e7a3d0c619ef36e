"""The self-test passes where all is well, and fails at the step that is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from kronos import models, system
from kronos.decoding import sequence
from kronos.errors import ForecastCancelled, InvalidRequest
from kronos.models.hub.repository import WEIGHTS_NAME, repository
from kronos.self_test import TITLES, SelfTest, run_self_test
from kronos.serving.service import LocalService
from tests.loopback_hub import LoopbackHub

GOLDEN = Path(__file__).parent / "golden"
TINY = models.PublishedModel(
    name="tiny",
    model=repository("acme/Kronos-tiny", "a" * 40),
    tokenizer=repository("acme/Kronos-Tokenizer-tiny", "b" * 40),
    n_parameters=1,
    max_context=64,
)
DIGESTS, LOADING, REPETITION, CANDLES, CACHE, CLOSES = TITLES


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with closing(LocalService(device="cpu")) as service:
        yield service


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model in the table, downloaded."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(models.PUBLISHED, "tiny", TINY)
    with LoopbackHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        for repo, part in zip(TINY.repositories, ("model", "tokenizer"), strict=True):
            server.publish(repo.repo_id, repo.revision, GOLDEN / part)
        models.download("tiny")


def outcomes(tested: SelfTest) -> dict[str, str]:
    return {step.title: step.outcome for step in tested.steps}


def found(tested: SelfTest, title: str) -> str:
    return next(step.found for step in tested.steps if step.title == title)


def altered(name: str, alter, **options) -> SelfTest:
    """The test of a model that was altered after it was loaded."""

    def load(name, progress):
        predictor = models.load(name, device="cpu", **options)
        alter(predictor)
        return predictor

    with closing(LocalService(load)) as service:
        return run_self_test(service, name)


def test_the_bundled_model_passes_every_step(service):
    done = []
    tested = run_self_test(service, "Bundled", watch=done.append)
    assert outcomes(tested) == dict.fromkeys(TITLES, "passed"), tested
    assert tested.is_passed
    assert "cpu" in found(tested, LOADING)
    assert sorted(set(done)) == list(range(len(TITLES)))
    assert models.checked("bundled").problem == ""
    again = run_self_test(service, "bundled")
    assert "in memory" in found(again, LOADING)


def test_a_downloaded_model_passes_without_stored_closes(tiny):
    tested = altered("tiny", lambda predictor: None)
    assert tested.is_passed
    assert outcomes(tested) == {**dict.fromkeys(TITLES, "passed"), CLOSES: "skipped"}


def test_weights_that_changed_in_memory_miss_the_stored_closes():
    def shift(predictor):
        predictor.model.head.proj_s1.weight.data.mul_(1.5)
        predictor.model.head.proj_s1.bias.data.normal_(generator=torch.Generator().manual_seed(0))

    tested = altered("bundled", shift)
    assert outcomes(tested)[CLOSES] == "failed"
    assert outcomes(tested)[DIGESTS] == "passed"
    assert "off by" in found(tested, CLOSES)
    assert not tested.is_passed
    assert "Install the application again" in tested.steps[-1].advice


def test_a_cache_that_disagrees_with_the_model_is_found():
    """Cached steps multiply with the joined weights; whole windows are read by the model."""

    def part_ways(predictor):
        for block in predictor.model.transformer:
            layer = block.self_attn.q_proj
            layer.weight = torch.nn.Parameter(-3 * layer.weight)

    tested = altered("bundled", part_ways)
    assert outcomes(tested)[CACHE] == "failed"
    assert "differ" in found(tested, CACHE)
    assert outcomes(tested)[REPETITION] == "passed"


def test_noise_that_ignores_the_seed_is_found(tiny, monkeypatch):
    monkeypatch.setattr(
        sequence,
        "path_uniforms",
        lambda seed, n_paths, horizon: np.random.default_rng().random((n_paths, horizon, 2)),
    )
    tested = altered("tiny", lambda predictor: None)
    assert outcomes(tested)[REPETITION] == "failed"
    assert "of 32 paths differ" in found(tested, REPETITION)


def test_in_bfloat16_most_first_draws_must_agree(tiny):
    tested = altered("tiny", lambda predictor: None, dtype=torch.bfloat16)
    assert outcomes(tested)[CACHE] == "passed", found(tested, CACHE)
    assert "bfloat16" in found(tested, CACHE)
    assert "bfloat16" in found(tested, LOADING)


def test_a_damaged_file_ends_the_test_with_what_to_do(tiny, service):
    with (models.checkpoint_folder("tiny") / WEIGHTS_NAME).open("r+b") as opened:
        opened.write(b"\xff" * 8)
    tested = run_self_test(service, "tiny")
    assert outcomes(tested) == {**dict.fromkeys(TITLES, "skipped"), DIGESTS: "failed"}
    assert "download it anew" in found(tested, DIGESTS)
    assert "removed" in models.checked("tiny").problem


def test_a_model_that_is_not_here_says_how_to_get_it(service, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    tested = run_self_test(service, "mini")
    assert "kronos models download mini" in found(tested, DIGESTS)
    assert outcomes(tested)[LOADING] == "skipped", "a test downloads nothing"


def test_closes_of_other_weights_are_no_expectation(service, monkeypatch, tmp_path):
    """As after training the bundled model anew."""
    root = tmp_path / "assets"
    for part in ("bundled", "samples"):
        shutil.copytree(system.asset_path(part), root / part)
    stored = root / "bundled" / "expected.json"
    stored.write_text(stored.read_text().replace('"revision": "', '"revision": "0'))
    monkeypatch.setattr(system, "_INSTALLED", tmp_path / "none")
    monkeypatch.setattr(system, "_CHECKOUT", root)
    tested = run_self_test(service, "bundled")
    assert outcomes(tested)[CLOSES] == "failed"
    assert "stored for revision 0" in found(tested, CLOSES)


def test_an_error_nobody_foresaw_is_a_failed_step(tiny):
    def load(name, progress):
        raise ZeroDivisionError("of all things")

    with closing(LocalService(load)) as service:
        tested = run_self_test(service, "tiny")
    assert outcomes(tested)[LOADING] == "failed"
    assert "ZeroDivisionError: of all things" in found(tested, LOADING)


def test_a_watcher_ends_the_test(service):
    def stop(n_done):
        raise ForecastCancelled("enough")

    with pytest.raises(ForecastCancelled, match="enough"):
        run_self_test(service, "bundled", watch=stop)


def test_an_unknown_model_is_answered_with_the_known_ones(service):
    with pytest.raises(InvalidRequest, match="bundled, mini, small, base"):
        run_self_test(service, "large")
