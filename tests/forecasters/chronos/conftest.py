"""A tiny checkpoint of Chronos-2, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forecasters.chronos.tiny import write_tiny


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds it."""
    return write_tiny(tmp_path_factory.mktemp("chronos") / "tiny-chronos")
