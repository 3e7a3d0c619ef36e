"""What the models page says of models, machine and work."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kronos import models, system
from kronos.errors import CheckpointCorrupt, CheckpointUnavailable
from kronos.forecasters.base import Placement
from kronos.self_test import TITLES, SelfTest, Step
from kronos.serving.jobs import JobStatus
from kronos.serving.model_cache import LoadedModel
from pages.ui.models import text as models_text

WHEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SMALL = models.Entry(
    name="small",
    title="Kronos-small",
    state="cached",
    n_bytes=115_000_000,
    n_parameters=24_741_376,
    max_context=512,
    lookback=None,
    licence="MIT",
    revision="901c26c1332695a2a8f243eb2f37243a37bea320",
)
BUNDLED = replace(SMALL, name="bundled", title="Bundled", state="bundled")
ON_CPU = LoadedModel("small", "r", 165_000_000, Placement("cpu", "", "float32", 2))
ON_GPU = LoadedModel("base", "r", 210_000_000, Placement("cuda", "Made-up 9", "bfloat16", 8))


def fact(facts, label: str) -> str:
    found = next(fact for fact in facts if fact.label == label)
    return f"{found.value}; {found.remark}"


@pytest.mark.parametrize(
    ("state", "check", "text"),
    [
        ("cached", None, "Not verified; since server start"),
        ("cached", models.Checked(WHEN), "Verified; 04 Mar, 05:06 UTC"),
        ("downloadable", None, "Pinned; verified on download"),
        ("downloadable", models.Checked(WHEN, "bad"), "Damaged; 04 Mar, 05:06 UTC"),
        ("broken", None, "Damaged; wrong size or missing files"),
    ],
)
def test_the_state_of_the_checksum(state, check, text):
    facts = models_text.model_facts(replace(SMALL, state=state), check, None)
    assert fact(facts, "Checksum") == text


def test_a_model_s_facts_say_where_it_is():
    facts = models_text.model_facts(SMALL, None, ON_CPU)
    assert fact(facts, "Size") == "115 MB; on disk"
    assert fact(facts, "Revision") == "901c26c13326; commit on the hub"
    assert fact(facts, "Memory") == "165 MB; float32 on cpu"
    away = models_text.model_facts(replace(SMALL, state="downloadable"), None, None)
    assert fact(away, "Size") == "115 MB; to download"
    assert fact(away, "Memory") == "Not loaded; needs a download first"


def test_a_broken_bundle_has_unknown_facts_and_two_actions():
    broken = replace(BUNDLED, state="broken", n_bytes=0, n_parameters=0, max_context=0, revision="")
    facts = models_text.model_facts(broken, None, None)
    assert [fact.value for fact in facts[:2]] == ["Unknown", "Unknown"]
    assert models_text.actions_of(broken) == ["test", "verify"], "nothing could bring it back"


def test_the_device_is_not_guessed_before_a_model_is_loaded():
    assert "Not in use" in fact(models_text.machine_facts([]), "Device")
    facts = models_text.machine_facts([ON_CPU, ON_GPU])
    assert fact(facts, "Device") == "cuda; Made-up 9"
    assert fact(facts, "Number format") == "bfloat16, float32; of the weights"
    assert fact(facts, "Model memory") == "375 MB; 2 models"
    assert fact(models_text.machine_facts([ON_CPU]), "Device").startswith("cpu; 2 threads, ")


def test_a_system_without_figures_is_no_error(monkeypatch):
    for name in ("process_bytes", "total_bytes", "free_bytes"):
        monkeypatch.setattr(system, name, lambda: None)
    assert fact(models_text.machine_facts([]), "Server memory") == "Unknown; "


def test_the_question_before_deleting_says_what_stays():
    assert "memory" not in models_text.delete_question(SMALL, None)
    assert "Running forecasts finish" in models_text.delete_question(SMALL, ON_CPU)


@pytest.mark.parametrize(
    ("action", "status", "text"),
    [
        ("download", JobStatus("k", "queued", 2, watchers=1), "number 2 in the queue"),
        ("download", JobStatus("k", "running", stage="Downloading"), "Stopping"),
        (
            "download",
            JobStatus("k", "running", 0, "Downloading", 3_000_000, 32_000_000, watchers=1),
            "Downloading: 3 MB of 32 MB",
        ),
        ("test", JobStatus("k", "running", 0, "Testing", 1, 6, watchers=1), "Step 2 of 6: Loading"),
        ("verify", JobStatus("k", "running", 0, "Hashing every file", watchers=1), "Hashing every"),
    ],
)
def test_work_is_one_line(action, status, text):
    assert text in models_text.job_text(action, status)


def test_a_problem_is_told_once_and_until_it_is_settled():
    away = replace(SMALL, state="downloadable")
    check = models.Checked(WHEN, "its digest is wrong")
    verified = {"verify": JobStatus("k", "failed", error=CheckpointCorrupt("its digest is wrong"))}
    assert list(map(str, models_text.problems(away, check, verified))) == ["its digest is wrong"]
    fetched = {"download": JobStatus("k", "failed", error=CheckpointUnavailable("no hub"))}
    assert list(map(str, models_text.problems(away, None, fetched))) == ["no hub"]
    assert models_text.problems(SMALL, None, fetched) == [], "it is here by now"
    broken = replace(SMALL, state="broken", problem="too short")
    assert list(map(str, models_text.problems(broken, None, {}))) == ["too short"]


def test_a_self_test_is_summed_up_with_its_failures():
    steps = [Step(title, "passed", 0.5, "fine") for title in TITLES]
    passed = SelfTest("small", "r", tuple(steps), WHEN)
    assert models_text.verdict_text(passed) == (
        "Self-test passed: 6 of 6 steps, in 3.0 s, 04 Mar, 05:06 UTC"
    )
    steps[4] = Step(TITLES[4], "failed", 0.5, "3 of 48 differ.", "Report it.")
    failed = SelfTest("small", "r", tuple(steps), WHEN)
    assert "Self-test failed: 1 of 6 steps" in models_text.verdict_text(failed)
    assert models_text.step_line(steps[4]).endswith("(0.50 s): 3 of 48 differ. Report it.")


def test_an_adapter_says_what_it_belongs_to_and_that_it_is_not_to_be_had_again():
    mine = replace(SMALL, name="mine", title="mine", base="/models/tiny", cut_off="2025-03-01")
    assert models_text.state_of(mine)[0] == "Adapter"
    assert models_text.state_of(replace(mine, state="downloadable"))[0] == "Not on this machine"
    assert models_text.state_of(SMALL)[0] == "Downloaded"
    facts = models_text.model_facts(mine, None, None)
    assert fact(facts, "Adapter of") == "tiny; trained on bars before 2025-03-01"
    assert fact(facts, "Revision").endswith("digest of the weights")
    assert "only trained again" in models_text.delete_question(mine, None)


def test_replicas_of_a_cluster_are_rows():
    placed = Placement("cuda:0", "H100", "bfloat16", 1)
    model = LoadedModel("small", "901c26c1", 98_000_000, placed)
    state = {
        "deployment": "kronos-small", "pid": 17, "models": (model,), "running": 3, "waiting": 5,
        "bytes": 1_500_000_000,
    }  # fmt: skip
    (row,) = models_text.replicas_table([state]).to_dict("records")
    assert row == {
        "Deployment": "kronos-small", "Process": "17", "Models": "small", "Device": "cuda:0",
        "Running": 3, "Waiting": 5, "Memory": "1.5 GB",
    }  # fmt: skip
