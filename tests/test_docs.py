"""What the documents name exists."""

import re

import pytest

from tests.source_tree import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    *(path for path in [ROOT / "CONTRIBUTING.md"] if path.exists()),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PATH = re.compile(r"`((?:kronos|pages|data_sources|tests|benchmarks|docs|assets)/[\w./-]*)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:kronos|pages|data_sources)/[\w./]+\.py)`\s+`([A-Za-z_.]+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_a_document_exists(document):
    text = document.read_text(encoding="utf-8")
    installed = {"kronos/_assets"}  # where a wheel carries assets/
    named = set(PATH.findall(text)) - installed
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document):
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", t).lower().replace(" ", "-") for t in titles}


def test_the_architecture_names_what_stands_in_the_files():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = NAMED.findall(text)
    assert len(found) > 20
    for file, name in found:
        source = (ROOT / file).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"\b(?:def|class) {part}\b", source), f"{file} has no {part}"
