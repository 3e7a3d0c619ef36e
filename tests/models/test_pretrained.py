"""Checkpoints of any repository: loaded by branch, tag or commit, and published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import kronos
from kronos.errors import (
    CheckpointCorrupt,
    CheckpointInvalid,
    CheckpointUnavailable,
    InvalidRequest,
)
from kronos.models.hub import client
from tests.loopback_hub import LoopbackHub

GOLDEN = Path(__file__).parents[1] / "golden"
REPOSITORY = "acme/kronos-crypto"
OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.05)
    with LoopbackHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    """A checkpoint with other weights than the golden one."""
    model = kronos.Kronos.from_pretrained(GOLDEN / "model")
    with torch.no_grad():
        model.norm.weight.add_(1.0)
    model.save_pretrained(tmp_path / "tuned")
    return tmp_path / "tuned"


def test_any_repository_is_loaded_by_branch_tag_or_commit(server: LoopbackHub, tuned: Path) -> None:
    server.publish(REPOSITORY, OLD, GOLDEN / "model", branch="v1")
    server.publish(REPOSITORY, NEW, tuned)
    first = kronos.Kronos.from_pretrained(REPOSITORY, revision="v1").norm.weight
    last = kronos.Kronos.from_pretrained(REPOSITORY).norm.weight
    assert torch.equal(last, first + 1.0)
    assert torch.equal(kronos.Kronos.from_pretrained(REPOSITORY, revision=OLD).norm.weight, first)


def test_a_branch_is_asked_for_again_and_its_last_commit_serves_without_a_hub(
    server: LoopbackHub, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.publish(REPOSITORY, OLD, GOLDEN / "model")
    first = kronos.Kronos.from_pretrained(REPOSITORY).norm.weight
    server.publish(REPOSITORY, NEW, tuned)
    assert torch.equal(kronos.Kronos.from_pretrained(REPOSITORY).norm.weight, first + 1.0)
    n_requests = len(server.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert torch.equal(kronos.Kronos.from_pretrained(REPOSITORY).norm.weight, first + 1.0)
    assert len(server.requests) == n_requests


def test_a_published_checkpoint_keeps_its_pin_unless_another_revision_is_named(
    server: LoopbackHub,
) -> None:
    server.publish("NeoQuasar/Kronos-mini", NEW, GOLDEN / "model", branch="next")
    assert kronos.Kronos.from_pretrained("NeoQuasar/Kronos-mini", revision="next").config
    with pytest.raises(CheckpointUnavailable, match="the one this version is tested with"):
        kronos.Kronos.from_pretrained("NeoQuasar/Kronos-mini")


@pytest.mark.parametrize(
    ("name", "revision", "words"),
    [
        ("acme/none", None, "no repository acme/none"),
        (REPOSITORY, "v9", "no revision 'v9'"),
        (REPOSITORY, "c" * 40, "no revision"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    server: LoopbackHub, name: str, revision: str | None, words: str
) -> None:
    server.publish(REPOSITORY, OLD, GOLDEN / "model")
    with pytest.raises(CheckpointUnavailable, match=words):
        kronos.Kronos.from_pretrained(name, revision=revision)


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("a/b/c", None),
        ("../secrets", None),
        ("acme/..", None),
        (REPOSITORY, "../main"),
        ("x/ y", ""),
    ],
)
def test_names_that_cannot_be_one_make_no_request(
    server: LoopbackHub, name: str, revision: str | None
) -> None:
    with pytest.raises(InvalidRequest):
        kronos.Kronos.from_pretrained(name, revision=revision)
    assert server.requests == []


def test_a_repository_of_another_kind_is_refused(server: LoopbackHub, tmp_path: Path) -> None:
    server.publish(REPOSITORY, OLD, GOLDEN / "tokenizer")
    with pytest.raises(CheckpointInvalid):
        kronos.Kronos.from_pretrained(REPOSITORY)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    server.publish("acme/pickled", OLD, tmp_path / "pickled")
    with pytest.raises(CheckpointUnavailable, match="pickled weights are not read"):
        kronos.Kronos.from_pretrained("acme/pickled")


def test_other_bytes_than_the_hub_announced_are_refused(server: LoopbackHub) -> None:
    server.publish(REPOSITORY, OLD, GOLDEN / "model")
    server.faults.corrupt = True
    with pytest.raises(CheckpointCorrupt):
        kronos.Kronos.from_pretrained(REPOSITORY)


def test_what_was_pushed_is_loaded_again(
    server: LoopbackHub, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its server is no part of a test
    model = kronos.Kronos.from_pretrained(tuned)
    commit = model.push_to_hub("acme/mine", private=True, token="hf_writer")
    loaded = kronos.Kronos.from_pretrained("acme/mine", revision=commit)
    assert loaded.config == model.config
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items()
    )


def test_a_push_without_the_right_to_it_says_what_to_do(server: LoopbackHub) -> None:
    model = kronos.Kronos.from_pretrained(GOLDEN / "model")
    with pytest.raises(CheckpointUnavailable, match="HF_TOKEN"):
        model.push_to_hub("acme/mine", token="hf_reader")
