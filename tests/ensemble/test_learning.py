"""Weights: the loss's own derivative, what may be learned from, and when they are used."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronos.ensemble.learning import (
    combined_loss,
    later_rows,
    learn,
    n_apart,
    objective,
    train,
    trial,
)
from kronos.ensemble.record import MemberTable, recent_losses, trailing_losses
from kronos.ensemble.weights import (
    POOLED,
    EnsembleWeights,
    equal,
    feature_names,
    features,
    load_weights,
    predict,
    shrunk,
    softmax,
)
from kronos.errors import InvalidRequest
from kronos.evaluation.scores import LEVELS

LEVELS = np.array(LEVELS)
MEMBERS = ("first", "second", "third")


def made(n_days=240, *, seed=0, skilled=True, horizon=2, n_series=3):
    """The second member is right, the third four times too wide, the first biased; or all equal."""
    rng = np.random.default_rng(seed)
    rows = []
    for series in range(n_series):
        for day in range(n_days):
            origin = pd.Timestamp("2025-01-01", tz="UTC") + pd.Timedelta(days=day)
            for step in range(1, horizon + 1):
                end = origin + pd.Timedelta(days=1 + step)
                rows.append((f"S{series}", "made", "1d", "crypto", origin, step, end, end))
    columns = ["instrument", "source", "interval", "asset_class", "origin", "step", "timestamp"]
    facts = pd.DataFrame(rows, columns=[*columns, "resolved_at"])
    facts["scale"] = 0.02 * np.sqrt(facts["step"])
    facts["zone"] = "UTC"
    facts["event_day"] = pd.array([pd.NA] * len(facts), dtype="boolean")
    facts["issued"] = facts["origin"].astype("datetime64[ns, UTC]").astype("int64") + 86400 * 10**9
    facts["bucket"] = facts["step"].map({1: 1, 2: 3})
    normal = np.sort(np.random.default_rng(1).normal(size=20001))
    z = np.quantile(normal, LEVELS)
    each = np.stack([z + 1.0, z, 4.0 * z]) if skilled else np.stack([z, z, z])
    quantiles = np.tile(each, (len(facts), 1, 1)) + rng.normal(0, 0.05, (len(facts), 3, 1))
    return MemberTable(MEMBERS, ("r",) * 3, facts, quantiles, rng.normal(size=len(facts)), LEVELS)


def cut_at(table, day):
    return table.facts["origin"].min() + pd.Timedelta(days=day)


@given(st.integers(0, 1000))
def test_the_gradient_is_that_of_the_loss_of_the_combined_fan(seed):
    rng = np.random.default_rng(seed)
    quantiles = np.sort(rng.normal(size=(4, 3, 15)), axis=2)
    outcomes, scores = rng.normal(0, 2, 4), rng.normal(size=(4, 3))
    unit = np.maximum(
        LEVELS * (outcomes[:, None, None] - quantiles),
        (LEVELS - 1) * (outcomes[:, None, None] - quantiles),
    ).mean()

    def loss(at):
        return combined_loss(softmax(at), quantiles, outcomes, LEVELS) / unit

    gradient, curvature = objective(quantiles, outcomes, LEVELS)(scores, None)
    step = 1e-7
    for member in range(3):
        moved = scores.copy()
        moved[:, member] += step
        slope = (loss(moved) - loss(scores)) / step
        np.testing.assert_allclose(gradient[:, member], slope, atol=1e-3)
    assert (curvature > 0).all()
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-12)


def test_the_better_member_gets_the_weight_and_the_fan_gains():
    table = made()
    learned = learn(table, cut_at(table, 160))
    found = trial(table, learned)
    assert found.is_won
    assert found.learned < 0.99 * found.equal
    assert found.members["second"] == min(found.members.values())
    inputs = features(table.facts, table.quantiles, LEVELS, trailing_losses(table))
    weights = predict(learned, table.facts["asset_class"].to_numpy(), inputs)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights.mean(axis=0).argmax() == 1
    assert inputs.shape[1] == len(feature_names(MEMBERS))


def test_nothing_that_resolved_after_the_cut_off_is_learned_from():
    table = made(120)
    cut_off = cut_at(table, 100)
    late = (table.facts["resolved_at"] > cut_off).to_numpy()
    outcomes = np.where(late, 50.0, table.outcomes)
    one, two = learn(table, cut_off), learn(replace(table, outcomes=outcomes), cut_off)
    assert one.boosters == two.boosters
    assert one.constants == two.constants
    assert one.recent == two.recent
    assert one.n_apart == two.n_apart


def test_an_embargo_as_long_as_the_horizon_lies_between_learning_and_trial():
    table = made(60)
    cut_off = cut_at(table, 30)
    later = table.facts[later_rows(table, cut_off)]
    known = table.facts[table.facts["resolved_at"] <= cut_off]
    first = pd.to_datetime(later["issued"].min(), utc=True)
    assert first - known["resolved_at"].max() >= pd.Timedelta(days=2)
    assert len(known)


def test_recent_losses_know_only_what_had_resolved():
    table = made(40, n_series=1)
    cut = 20
    outcomes = table.outcomes.copy()
    late = (table.facts["resolved_at"] > cut_at(table, cut)).to_numpy()
    outcomes[late] = 99.0
    other = trailing_losses(replace(table, outcomes=outcomes))
    early = table.facts["issued"].to_numpy() <= cut_at(table, cut).value
    np.testing.assert_array_equal(trailing_losses(table)[early], other[early])
    assert np.isnan(other[0]).all()
    assert np.isfinite(other[early][-1]).all()
    assert recent_losses(table).keys() == {("crypto", "1d", 1), ("crypto", "1d", 3)}


def test_forecasts_that_overlap_count_once():
    # Two bars ahead from every day: every second forecast of a series begins as one ends.
    assert n_apart(made(10, n_series=2)) == 10
    assert n_apart(made(10, n_series=1, horizon=1)) == 10


def test_weights_are_drawn_to_equal_ones_where_the_record_is_short():
    sharp = np.array([[1.0, 0.0]])
    np.testing.assert_allclose(shrunk(sharp, 49), [[0.5, 0.5]])
    np.testing.assert_allclose(shrunk(sharp, 200), [[0.75, 0.25]])
    assert shrunk(sharp, 10**6)[0, 0] > 0.999


def test_classes_have_weights_of_their_own_only_with_a_long_record():
    table = made(240)
    assert set(learn(table, cut_at(table, 190)).boosters) == {POOLED}
    assert set(learn(table, cut_at(table, 239)).boosters) == {POOLED, "crypto"}


def test_with_too_few_forecasts_weights_stay_equal_and_say_so():
    table = made(20, n_series=2)
    with pytest.raises(InvalidRequest, match="at least 50"):
        learn(table, cut_at(table, 20))
    found = train(EnsembleWeights(MEMBERS, ("r",) * 3, None, None, ""), table)
    assert found.is_equal
    assert "50 are the fewest" in found.reason


def test_weights_that_lose_later_are_kept_but_not_used():
    # The wide member is the right one later on.
    table = made(240)
    late = (table.facts["origin"] > cut_at(table, 150)).to_numpy()
    base = EnsembleWeights(MEMBERS, ("r",) * 3, None, None, "")
    found = train(
        base, replace(table, outcomes=table.outcomes * (1 + 3 * late)), cut_off=cut_at(table, 160)
    )
    assert found.learned is not None
    assert not found.trial.is_won
    assert found.is_equal
    assert "they are not used" in found.reason
    np.testing.assert_allclose(found.of(np.array(["crypto"]), np.zeros((1, 17))), 1 / 3)
    assert found.revision == base.revision


def test_weights_are_read_as_they_were_written(tmp_path):
    table = made(120)
    base = EnsembleWeights(MEMBERS, ("r",) * 3, None, None, "")
    found = train(base, table)
    found.save(tmp_path / "ensemble")
    again = EnsembleWeights.load(tmp_path / "ensemble")
    inputs = features(table.facts, table.quantiles, LEVELS, trailing_losses(table))
    classes = table.facts["asset_class"].to_numpy()
    np.testing.assert_array_equal(again.of(classes, inputs), found.of(classes, inputs))
    assert again.revision == found.revision != base.revision
    assert again.learned.recent == found.learned.recent
    (tmp_path / "ensemble" / "current").write_text("../elsewhere")
    with pytest.raises(InvalidRequest, match="kronos ensemble train"):
        EnsembleWeights.load(tmp_path / "ensemble")


def test_weights_of_other_versions_of_the_members_are_not_used(tmp_path):
    assert load_weights(tmp_path).is_equal
    here = equal(("bundled", "ewma"))
    replace(here, revisions=("another", here.revisions[1])).save(tmp_path)
    found = load_weights(tmp_path)
    assert found.is_equal
    assert "other versions of bundled" in found.reason
    with pytest.raises(InvalidRequest, match="no model 'nobody'"):
        equal(("bundled", "nobody"))
