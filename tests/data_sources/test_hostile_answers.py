"""Hostile answers, through the real clients: each ends in time, in bounds, with a typed error."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kronos.errors import SourceError
from tests.loopback_hostile import FAULTS, SOURCES, Hostile, fetch
from tests.source_tree import ROOT


@pytest.fixture(scope="module")
def server() -> Iterator[Hostile]:
    with Hostile() as hostile:
        yield hostile


def lines() -> dict[str, str]:
    """What the user reads, by fault, as the table of the docs says it."""
    text = (ROOT / "docs" / "data-sources.md").read_text(encoding="utf-8")
    rows = (
        text.split("## Hostile answers")[1].split("\n| --- ")[1].split("\n\n")[0].splitlines()[1:]
    )
    return {row.strip("| ").split(" | ")[0]: row.strip("| ").split(" | ")[1] for row in rows}


def test_the_table_and_the_faults_are_the_same() -> None:
    assert set(lines()) == set(FAULTS)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_hostile_answer_ends_with_a_typed_error(server: Hostile, fault: str, source: str) -> None:
    server.answer = FAULTS[fault]
    with pytest.raises(SourceError) as caught:
        fetch(source, server.url, seconds=0.3, most_bytes=8 << 20)
    assert str(caught.value).startswith(source)
    kinds = lines()[fault].split(" or ")
    assert type(caught.value).__name__ in kinds, str(caught.value)
    assert re.search(r"choose another|update the application|Try again|network", str(caught.value))
