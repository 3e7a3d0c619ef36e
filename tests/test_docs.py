"""What the documents name exists."""

import re
import subprocess

import pytest

from tests.source_tree import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    *(path for path in [ROOT / "CONTRIBUTING.md"] if path.exists()),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "assets/bundled/README.md",
]
PATH = re.compile(r"`((?:kronos|pages|data_sources|tests|benchmarks|docs|assets)/[\w./-]*)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
REVISION = re.compile(r"\b[0-9a-f]{7}\b")
NAMED = re.compile(r"`((?:kronos|pages|data_sources)/[\w./]+\.py)`\s+`([A-Za-z_.]+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_a_document_exists(document):
    text = document.read_text(encoding="utf-8")
    installed = {"kronos/_assets"}  # where a wheel carries assets/
    named = set(PATH.findall(text)) - installed
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_revision_that_a_figure_names_is_in_the_history(document):
    if git("rev-parse", "--is-shallow-repository") != "false\n":
        pytest.skip("needs the whole history of the project")
    named = {text for text in REVISION.findall(document.read_text("utf-8")) if not text.isdigit()}
    known = git("log", "--format=%H").split()
    missing = [each for each in named if not any(commit.startswith(each) for commit in known)]
    assert not missing


def git(*arguments):
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


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
