"""A training, a fine-tuning and a walk that are killed end like those that never were."""

import pytest

from benchmarks.gates import kills


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["training", "fine-tuning", "walk"])
def test_a_killed_run_ends_like_one_that_was_not(kind, tmp_path):
    tally = kills.KINDS[kind](2, 0, tmp_path)
    assert (tally.kills, tally.failures) == (2, [])
    assert tally.n_ends > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_loses_steps_or_ends_otherwise_is_a_failure(tmp_path):
    sound = kills.finetuning(tmp_path)
    reported = iter(range(100, 0, -1))  # fewer after every kill
    ends = iter(["equal", "equal"])
    forgetful = kills.Command(sound.commands, lambda _: next(reported), lambda _: next(ends, "not"))
    tally = kills.kill_command(forgetful, 1, 0, tmp_path)
    assert any("acknowledged after a kill" in failure for failure in tally.failures)
    assert any("changed the result" in failure for failure in tally.failures)
