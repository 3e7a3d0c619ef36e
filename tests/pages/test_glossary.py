"""The glossary: short, right, and the one place where words are explained."""

from __future__ import annotations

import ast
import re

import pytest

from pages.ui.frame import glossary
from tests.source_tree import ROOT, python_files, syntax

TERMS = [term for terms in glossary.SECTIONS.values() for term in terms]


def test_every_term_stands_once_and_is_explained_in_a_few_sentences():
    names = [term.name for term in TERMS]
    assert len(names) == len(set(names))
    for term in TERMS:
        assert re.fullmatch(r"[A-Z0-9].*\.", term.meaning), term
        assert len(term.meaning) <= 200, term
        assert term.name not in term.meaning.split(), f"{term.name} explains itself by itself"


def test_a_tooltip_says_what_the_glossary_says():
    assert glossary.meaning("Top-k").startswith("Samples only from this many")
    assert glossary.meaning("Top-k", "More.").endswith("0 keeps all. More.")
    with pytest.raises(KeyError):
        glossary.meaning("Top-q")


def test_no_tooltip_explains_a_term_in_words_of_its_own():
    """A meaning that is written out anywhere else would soon say something else."""
    tooltips = [
        ast.unparse(keyword.value)
        for file in python_files("pages")
        for node in ast.walk(syntax(file))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "help"
    ]
    assert len(tooltips) > 20
    for term in TERMS:
        opening = " ".join(term.meaning.split()[:3]).rstrip(".,")
        assert not [text for text in tooltips if opening in text], term


@pytest.mark.parametrize("name", ["Seed", "Top-p", "Top-k", "Paths", "Horizon", "Lookback"])
def test_the_controls_of_a_forecast_take_their_tooltips_from_it(name):
    rooms = ROOT / "pages" / "ui"
    text = "".join((rooms / room / "controls.py").read_text() for room in ("inputs", "forecast"))
    assert f'meaning("{name}"' in re.sub(r"\(\s+", "(", text)
