"""Fixtures of the tests that drive the pages."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
from streamlit import config
from streamlit.components.v2 import manifest_scanner

from kronos import models
from kronos.forecasters.base import Pending
from kronos.models import adapters
from pages.ui.chart.sheet import Sheet
from pages.ui.jobs import caches, queues
from tests.event_adapter import write_event_adapter
from tests.forecasters.chronos.tiny import tiny_on_a_hub, write_tiny
from tests.pages.app_driver import PATIENCE
from tests.serving.scripted import Scripted

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session", autouse=True)
def components_are_looked_for_once() -> Iterator[None]:
    """Streamlit reads the metadata of all installed packages again for every session it tests."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield


@pytest.fixture(scope="session", autouse=True)
def figures_are_validated() -> Iterator[None]:
    """Plotly validates every figure that a test draws, as pages do not; nothing may change."""
    draw = Sheet.figure

    def checked(self: Sheet) -> go.Figure:
        figure = draw(self)
        lists = {"shapes": self.shapes, "annotations": self.annotations}
        valid = go.Figure({"data": self.traces, "layout": self.layout | lists})
        assert json.loads(figure.to_json(validate=False)) == json.loads(valid.to_json())
        return figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sheet, "figure", checked)
        yield


@pytest.fixture(scope="session")
def golden_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint as a folder that can be loaded."""
    folder = tmp_path_factory.mktemp("bases") / "tiny"
    for part in ("model", "tokenizer"):
        shutil.copytree(GOLDEN / part, folder / part)
    return folder


@pytest.fixture
def reader(golden_folder: Path) -> Iterator[str]:
    """Name of a tiny model that reads events, in the list of models meanwhile."""
    path = write_event_adapter(adapters.adapters_folder(), golden_folder)
    _look_again()
    yield path.stem
    path.unlink()
    _look_again()


@pytest.fixture
def ahead_reader(golden_folder: Path) -> Iterator[str]:
    """As `reader`, with rows that hold the schedule of the next bar."""
    path = write_event_adapter(
        adapters.adapters_folder(),
        golden_folder,
        strength=0.4,
        alignment="ahead",
        name="made-up-ahead",
    )
    _look_again()
    yield path.stem
    path.unlink()
    _look_again()


@pytest.fixture
def chronos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Title of a tiny Chronos-2 that stands in the place of the small one, downloaded."""
    scratch = tmp_path_factory.mktemp("chronos")
    with tiny_on_a_hub(write_tiny(scratch / "tiny"), scratch / "cache"):
        _look_again()
        models.download("chronos-2-small", lambda *_: None)
        yield models.CHRONOS["chronos-2-small"].title
    _look_again()


def _look_again() -> None:
    caches.models.clear()
    caches.event_readers.clear()


@pytest.fixture
def fresh_seed() -> str:
    """A seed that no other test has used, so that no kept result answers at once."""
    return str(time.time_ns() % 2**31)


@pytest.fixture
def gate(fresh_seed: str) -> Iterator[threading.Event]:
    """Occupies the engine until it is set, so that what a page asks for has to wait."""
    entered, opened = threading.Event(), threading.Event()

    def begin(predictor: object) -> Pending[None]:
        entered.set()
        opened.wait(PATIENCE)
        return Pending([], lambda: None)

    key = f"gate {fresh_seed}"
    queues.forecasts().submit(Scripted("ewma", begin, key=key), owner="gate keeper")
    # Before it is at work it fills a place in the queue.
    assert entered.wait(PATIENCE)
    yield opened
    opened.set()
    queues.forecasts().leave(key, owner="gate keeper")


@pytest.fixture(params=["", "fan"])
def below(request):
    """The path that the server is told to serve below."""
    config.set_option("server.baseUrlPath", request.param)
    yield f"/{request.param}".rstrip("/")
    config.set_option("server.baseUrlPath", "")
