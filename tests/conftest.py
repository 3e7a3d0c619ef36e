"""Fixtures every part of the suite shares: the tiny golden checkpoint and its vectors."""

import gc
import json
import os
import shutil
from pathlib import Path

# Before torch is first imported, here and in what the tests start: the test models are tiny, and
# more threads than one only wait for one another, by spinning, on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import hypothesis
import pandas as pd
import pytest

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("kronos", deadline=None)
hypothesis.settings.load_profile("kronos")

pytest_plugins = ["tests.simulated"]


def pytest_collection_finish(session):
    """The libraries imported until now outlive all tests: looking for garbage among their objects
    would be most of what many tests do, as an engine does it whenever it lets go of a model. And
    what is made and dropped within a test need not be looked for after every 700 objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).parent / "golden"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A folder's tests stay in one process: two would start two browsers and compile twice.

    Those of the pages alone would take as long as all others.
    """
    from xdist.scheduler import LoadFileScheduling

    class LoadFolderScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            folder, _, file = super()._split_scope(nodeid).rpartition("/")
            return f"{folder}/{file}" if folder in {"tests", "tests/pages"} else folder

    return LoadFolderScheduling(config, log)


@pytest.fixture(scope="module", autouse=True)
def own_sources():
    """The sources that a file of tests registers are gone after it."""
    from data_sources import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_makers", dict(registry._makers))
        patch.setattr(registry, "_opened", {})
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """What the application keeps stays out of the user's own folders, and vice versa."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.delenv("KRONOS_STORE", raising=False)
        patch.setenv("KRONOS_CALENDAR", "off")  # no request that a test does not mean
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def golden_cases() -> dict:
    return json.loads((GOLDEN / "cases.json").read_text())


@pytest.fixture(scope="session")
def vectors():
    from safetensors.torch import load_file

    return load_file(GOLDEN / "vectors.safetensors")


@pytest.fixture
def model():
    from kronos.nn.checkpoint import load_model

    return load_model(GOLDEN / "model")


@pytest.fixture
def eventful_model(model):
    """The golden model with an event embedding of random weights."""
    import torch

    with torch.no_grad():
        for parameter in model.add_event_embedding().parameters():
            parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(4))
    return model


@pytest.fixture
def tokenizer():
    from kronos.nn.checkpoint import load_tokenizer

    return load_tokenizer(GOLDEN / "tokenizer")


@pytest.fixture(scope="session")
def golden_candles() -> pd.DataFrame:
    return pd.read_csv(GOLDEN / "candles.csv", parse_dates=["timestamps"])


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser: the one `make test` names in CHROMIUM, else one on the path."""
    names = (os.environ.get("CHROMIUM"), "chromium", "google-chrome", "google-chrome-stable")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("No Chromium was found. `make test` finds or installs one; or set CHROMIUM.")
    return found
