"""Fixtures of the tests that drive the pages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from streamlit.components.v2 import manifest_scanner

from kronos.inference.drawing import Drawing
from kronos.inference.engine import Request
from pages.ui import services
from tests.pages.app_driver import PATIENCE


@pytest.fixture(scope="session", autouse=True)
def components_are_looked_for_once() -> Iterator[None]:
    """Streamlit reads the metadata of all installed packages again for every session it tests."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield


@pytest.fixture
def fresh_seed() -> str:
    """A seed that no other test has used, so that no kept result answers at once."""
    return str(time.time_ns() % 2**31)


@pytest.fixture
def gate(fresh_seed: str) -> Iterator[threading.Event]:
    """Occupies the engine until it is set, so that what a page asks for has to wait."""
    entered, opened = threading.Event(), threading.Event()

    def begin(predictor: object) -> Drawing:
        entered.set()
        opened.wait(PATIENCE)
        return Drawing([], lambda: None)

    key = f"gate {fresh_seed}"
    services.forecasts().submit(key, Request("ewma", begin), owner="gate keeper")
    # Before it is at work it fills a place in the queue.
    assert entered.wait(PATIENCE)
    yield opened
    opened.set()
    services.forecasts().leave(key, owner="gate keeper")
