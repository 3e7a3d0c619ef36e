"""The golden checkpoint as a base, and a few made-up series to tune it on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kronos.finetune.job import Material
from kronos.finetune.settings import FinetuneSettings
from kronos.finetune.split import choose_split, split_corpus
from kronos.models import Located, locate
from kronos.training.corpus import load_corpus
from tests.training.conftest import made_up_bars

GOLDEN = Path(__file__).parent.parent / "golden"
QUICK = FinetuneSettings(
    lr=0.1, context=24, horizon=6, windows=8, steps=6, validate_every=2, patience=0,
    validation_windows=3, paths=4,
)  # fmt: skip
"""Settings of a run of a second."""


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bases") / "tiny"
    for part in ("model", "tokenizer"):
        shutil.copytree(GOLDEN / part, folder / part)
    return folder


@pytest.fixture(scope="session")
def base(base_folder) -> Located:
    return locate(base_folder)


@pytest.fixture(scope="session")
def tuning_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    for i in range(3):
        made_up_bars(400, seed=20 + i).to_csv(folder / f"series{i}.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def tuning_corpus(tuning_folder):
    return load_corpus(tuning_folder, on_calendars=True)


@pytest.fixture(scope="session")
def parts(tuning_corpus):
    split = choose_split(tuning_corpus, n_bars=QUICK.n_bars)
    return split_corpus(tuning_corpus, split, n_bars=QUICK.n_bars)


@pytest.fixture(scope="session")
def material(base, parts) -> Material:
    return Material(base, parts)
