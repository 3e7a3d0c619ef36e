"""Upstream's outputs on a tiny checkpoint: ids exactly, values to 1e-4 relative."""

from tests.golden_vectors import (
    RTOL,
    error,
    filter_outputs,
    model_outputs,
    teacher_outputs,
    tokenizer_outputs,
)

INPUTS = {
    "tokenizer.x", "model.s1_ids", "model.s2_ids", "model.stamp", "model.decode_s2.s1_pick",
    "model.teacher.s1_targets", "model.teacher.s2_targets", "filter.logits",
}  # fmt: skip


def require_upstreams(found, vectors, stem):
    """Every vector of that stem that is no input is there, and is equal."""
    assert set(found) == {name for name in vectors if name.startswith(stem)} - INPUTS
    errors = {name: error(tensor, vectors[name]) for name, tensor in found.items()}
    assert {name: size for name, size in errors.items() if not size <= RTOL} == {}


def test_the_tokenizer_gives_upstreams_ids_and_candles(tokenizer, vectors):
    require_upstreams(tokenizer_outputs(tokenizer, vectors), vectors, "tokenizer.")


def test_the_model_gives_upstreams_logits_and_gradients(model, vectors):
    found = model_outputs(model, vectors) | teacher_outputs(model, vectors)
    require_upstreams(found, vectors, "model.")


def test_filters(vectors, golden_cases):
    require_upstreams(filter_outputs(vectors, golden_cases), vectors, "filter.")


def test_an_error_is_relative_for_values_and_a_count_for_ids(vectors):
    ids, values = vectors["tokenizer.s1"], vectors["tokenizer.decoded"]
    other = ids.clone()
    other[0, :3] += 1
    assert error(other, ids) == 3
    assert abs(error(values * 1.01, values) - 0.01) < 1e-6
