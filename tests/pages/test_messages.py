"""Words on the page: nothing from outside is taken for markup, no error goes untold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronos.errors import Busy, CheckpointUnavailable, InvalidCandles
from kronos.serving.jobs import JobStatus
from pages.ui.frame.messages import error_text, plain
from pages.ui.jobs.progress import progress_share, progress_text


@given(st.text(max_size=60))
def test_markdown_shows_text_as_it_is(text):
    escaped = plain(text)
    assert re.sub(r"\\(.)", r"\1", escaped) == " ".join(text.split())
    assert not re.search(r"(?<!\\)[*_`\[\]<>$:#|~]", escaped.replace("\\\\", ""))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", ":material/home:", "$x^2$", "# a"])
def test_markup_is_escaped(text):
    assert plain(text) != text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Busy("number 4"), "busy"),
        (CheckpointUnavailable("no route"), "could not be downloaded"),
        (InvalidCandles("Line 7, column close"), "Line 7"),
        (ZeroDivisionError("secret"), "ZeroDivisionError"),
        (OSError(28, "", "runs/log"), "runs/log cannot be used: No space left on device. Free"),
    ],
)
def test_every_error_has_words(error, words):
    assert words in error_text(error).replace("\\", "")


def test_half_of_a_surrogate_pair_reaches_no_page():
    assert plain("Apple \ud800 Inc").encode() == b"Apple ? Inc"


def test_an_unforeseen_error_keeps_its_details_to_itself():
    assert "secret" not in error_text(ZeroDivisionError("secret"))


def status(**options):
    return JobStatus(key="k", **({"state": "running"} | options))


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (status(state="queued", position=2), "Place 2 in line"),
        (status(stage="Loading the model"), "Loading the model"),
        (
            status(stage="Sampling", done=7, total=24, seconds_left=3.2),
            "Sampling: step 7 of 24, about 3 s left",
        ),
        (
            status(stage="Downloading", done=12_000_000, total=115_000_000, seconds_left=300),
            "Downloading: 12 MB of 115 MB, about 5 min left",
        ),
        (status(stage="Sampling", done=24, total=24, seconds_left=0.0), "Sampling: step 24 of 24"),
    ],
)
def test_progress_in_one_line(job, words):
    assert words in progress_text(job)
    assert 0.0 <= progress_share(job) <= 1.0
