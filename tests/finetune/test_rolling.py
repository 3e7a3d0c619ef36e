"""Champion and challenger: what promotes, what is recorded, and that failures change nothing."""

import dataclasses

import pytest

from kronos import models
from kronos.errors import InvalidRequest, TrainingDiverged
from kronos.finetune import rolling as rolling_module
from kronos.finetune.history import Decision, append, champions, exclusive, read
from kronos.finetune.job import Hooks
from kronos.finetune.rolling import RollingSettings, roll, roll_back, rolling_parts, verdict
from kronos.models.adapters import adapter_path, read_facts, rolling_folder
from tests.finetune.conftest import QUICK

CPU = Hooks(device="cpu")
ROLLING = RollingSettings("tiny-crypto", years=0.02, test_windows=3, test_paths=4)
SETTINGS = dataclasses.replace(QUICK, steps=2, validate_every=1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def scores(crps=1.0, coverage=0.8, quiet_error=1.0):
    return {"crps": crps, "coverage": coverage, "quiet_error": quiet_error}


def digest():
    path = adapter_path(ROLLING.name)
    return read_facts(path).tensors_sha256[:16] if path else None


def decide(monkeypatch, is_better):
    monkeypatch.setattr(rolling_module, "verdict", lambda scores: (is_better, "as the test says"))


def test_the_first_challenger_is_compared_with_the_base(base, tuning_corpus):
    decision = roll(base, tuning_corpus, ROLLING, SETTINGS, hooks=CPU)
    assert decision.what in {"promoted", "kept"}
    assert decision.scores["champion"] == decision.scores["base"]
    assert set(decision.scores["challenger"]) >= {"crps", "coverage", "quiet_error"}
    assert read(rolling_folder(ROLLING.name)) == [decision]
    assert digest() == (decision.adapter if decision.what == "promoted" else None)


def test_challengers_are_promoted_recorded_and_rolled_back(base, tuning_corpus, monkeypatch):
    decide(monkeypatch, True)
    first = roll(base, tuning_corpus, ROLLING, SETTINGS, hooks=CPU)
    other = dataclasses.replace(SETTINGS, seed=1, lr=0.05)
    second = roll(base, tuning_corpus, ROLLING, other, hooks=CPU)
    assert (first.what, second.what) == ("promoted", "promoted")
    assert digest() == second.adapter != first.adapter
    assert models.load(ROLLING.name, device="cpu").revision == second.adapter
    decide(monkeypatch, False)
    third = dataclasses.replace(SETTINGS, seed=2, lr=0.05)
    assert roll(base, tuning_corpus, ROLLING, third, hooks=CPU).what == "kept"
    assert digest() == second.adapter
    assert roll_back(ROLLING.name).adapter == first.adapter
    assert digest() == first.adapter
    decisions = [decision.what for decision in read(rolling_folder(ROLLING.name))]
    assert decisions == ["promoted", "promoted", "kept", "rolled back"]
    with pytest.raises(InvalidRequest, match="no champion of tiny-crypto before"):
        roll_back(ROLLING.name)


def test_a_failed_run_leaves_the_champion_as_it_was(base, tuning_corpus, monkeypatch):
    decide(monkeypatch, True)
    first = roll(base, tuning_corpus, ROLLING, SETTINGS, hooks=CPU)
    before = adapter_path(ROLLING.name).read_bytes()

    def fail(*_, **__):
        raise TrainingDiverged("The gradient is nan.")

    monkeypatch.setattr(rolling_module, "finetune_lora", fail)
    with pytest.raises(TrainingDiverged):
        roll(base, tuning_corpus, ROLLING, SETTINGS, hooks=CPU)
    assert adapter_path(ROLLING.name).read_bytes() == before
    last = read(rolling_folder(ROLLING.name))[-1]
    assert (last.what, last.why) == ("failed", "TrainingDiverged: The gradient is nan.")
    assert champions(read(rolling_folder(ROLLING.name))) == [first.adapter]


@pytest.mark.slow
def test_a_stopped_run_decides_nothing_and_goes_on(base, tuning_corpus):
    stopped = roll(base, tuning_corpus, ROLLING, SETTINGS, hooks=Hooks(None, lambda: True, "cpu"))
    assert stopped is None
    assert read(rolling_folder(ROLLING.name)) == []
    assert roll(base, tuning_corpus, ROLLING, SETTINGS, hooks=CPU) is not None


@pytest.mark.slow
def test_the_same_bars_once_more_change_nothing(base, tuning_corpus, monkeypatch):
    decide(monkeypatch, True)
    settings = dataclasses.replace(SETTINGS, lr=0.05)
    first = roll(base, tuning_corpus, ROLLING, settings, hooks=CPU)
    again = roll(base, tuning_corpus, ROLLING, settings, hooks=CPU)
    assert (again.what, again.adapter) == ("kept", first.adapter)
    assert "the bars are the same" in again.why


@pytest.mark.slow
def test_a_champion_put_in_place_unseen_is_noted(base, tuning_corpus, monkeypatch):
    """As by a run that was killed between promoting and saying so."""
    decide(monkeypatch, True)
    first = roll(base, tuning_corpus, ROLLING, SETTINGS, hooks=CPU)
    (rolling_folder(ROLLING.name) / "history.jsonl").unlink()
    decide(monkeypatch, False)
    roll(base, tuning_corpus, ROLLING, dataclasses.replace(SETTINGS, seed=4), hooks=CPU)
    noted = read(rolling_folder(ROLLING.name))[0]
    assert (noted.what, noted.adapter) == ("promoted", first.adapter)


def test_what_compares_is_later_than_what_taught_and_chose(tuning_corpus):
    parts = rolling_parts(tuning_corpus, ROLLING, SETTINGS)
    assert parts.train.times.max() < parts.validation.times.min()
    assert parts.validation.times.max() < parts.test.times.min()
    assert parts.seen_until.value <= parts.test.times.min()
    assert {s.is_replay for s in parts.train.series} == {False, True}


@pytest.mark.parametrize(
    ("challenger", "is_promoted"),
    [
        (scores(), True),
        (scores(crps=0.9), True),
        (scores(crps=1.001), False),
        (scores(coverage=0.785), True),
        (scores(coverage=0.75), False),
        (scores(coverage=0.85), False),
        (scores(quiet_error=1.019), True),
        (scores(quiet_error=1.03), False),
        (scores(crps=float("nan")), False),
    ],
)
def test_the_challenger_must_be_no_worse_in_any_respect(challenger, is_promoted):
    figures = {"challenger": challenger, "champion": scores(), "base": scores()}
    assert verdict(figures)[0] == is_promoted


def test_the_history_survives_a_torn_line(tmp_path):
    append(tmp_path, Decision("promoted", "a" * 16, "better"))
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"what": "promo')
    assert [d.adapter for d in read(tmp_path)] == ["a" * 16]
    append(tmp_path, Decision("kept", "b" * 16, "worse"))
    assert [d.what for d in read(tmp_path)] == ["promoted", "kept"]


def test_two_runs_of_one_name_exclude_each_other(tmp_path):
    with (
        exclusive(tmp_path),
        pytest.raises(InvalidRequest, match="Another run"),
        exclusive(tmp_path),
    ):
        pass
    with exclusive(tmp_path):
        pass
