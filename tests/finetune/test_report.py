"""What is said of a run that has ended: why, and whether it gained anything."""

import pytest

from kronos.finetune.report import gain_text, has_gained, why_ended

BASE = {"split": "validation", "step": 0, "crps": 0.66, "windows": 32}


def scored(change, low=None, high=None, step=12):
    line = {"step": step, "crps": 0.66 * (1 + change), "windows": 32, "change": change}
    return line if low is None else line | {"change_low": low, "change_high": high}


def test_a_small_gain_within_its_interval_is_no_evidence():
    text = gain_text(BASE, scored(-0.003, -0.021, 0.014))
    assert text == (
        "No evidence of a gain: validation CRPS −0.3% against the base (95% interval −2.1% to "
        "+1.4%) on 32 validation windows."
    )
    assert not has_gained(scored(-0.003, -0.021, 0.014))


def test_an_interval_below_zero_is_a_gain():
    best = scored(-0.03, -0.05, -0.01)
    assert has_gained(best)
    assert gain_text(BASE, best).startswith("A gain: validation CRPS −3.0%")


@pytest.mark.parametrize("best", [scored(-0.2), {"step": 12, "crps": 0.5}, BASE])
def test_without_an_interval_there_is_no_evidence(best):
    assert gain_text(BASE, best).startswith("No evidence of a gain")
    assert not has_gained(best)


def test_a_run_that_ended_early_says_why():
    end = {"reason": "early", "step": 12, "best_step": 4, "n_steps": 25, "patience": 4}
    assert why_ended(end).startswith(
        "Ended early at step 12 of 25: the last 4 validations did not improve on step 4"
    )
    older = {"reason": "early", "step": 12, "best_step": 0}
    assert why_ended(older, 25).startswith("Ended early at step 12 of 25: the last validations")
    assert "on the base" in why_ended(older, 25)


@pytest.mark.parametrize(
    ("reason", "text"),
    [("finished", "All 25 steps are done."), ("stopped", "Stopped on request at step 25 of 25.")],
)
def test_other_ends_are_named(reason, text):
    assert why_ended({"reason": reason, "step": 25, "best_step": 3, "n_steps": 25}) == text
