"""What the Training page says of a run that has ended."""

from pages.ui.training.text import result_facts, verdict

COMMON = {"split": "validation", "coverage": 0.78, "cone_crps": 0.65, "seconds": 3.0}
BASE = COMMON | {"step": 0, "crps": 0.66, "windows": 32.0}
BETTER = COMMON | {"step": 6, "crps": 0.658, "windows": 32.0, "change": -0.003}
END = {
    "split": "end", "reason": "early", "step": 12, "best_step": 6, "best": 0.658,
    "seconds": 90.0, "peak_bytes": 5e8, "n_steps": 25, "patience": 3,
}  # fmt: skip


def test_a_gain_within_its_interval_is_no_success():
    lines = [BASE, BETTER | {"change_low": -0.02, "change_high": 0.013}, END]
    has_gained, text = verdict(lines)
    assert not has_gained
    assert text.startswith("No evidence of a gain: validation CRPS −0.3% against the base (95%")
    assert "Ended early at step 12 of 25: the last 3 validations did not improve on step 6" in text


def test_a_gain_beyond_its_interval_is_one():
    lines = [BASE, BETTER | {"change_low": -0.02, "change_high": -0.001}, END]
    assert verdict(lines)[0]


def test_a_log_of_an_earlier_version_is_read():
    end = {name: END[name] for name in END if name not in {"n_steps", "patience"}}
    older = {name: BETTER[name] for name in BETTER if name not in {"windows", "change"}}
    has_gained, text = verdict([BASE, older, end], 25)
    assert not has_gained
    assert "without an interval" in text
    assert "step 12 of 25" in text
    assert result_facts([BASE, older, end])[0].remark == "of 12"


def test_the_best_step_stands_beside_the_steps_done_and_requested():
    assert result_facts([BASE, BETTER, END])[0].remark == "of 12; requested 25"
