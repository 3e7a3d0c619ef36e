"""The published code's outputs on a tiny checkpoint, computed here: ids exactly, values to 1e-4."""

from __future__ import annotations

import torch

from benchmarks.gpu.results import Found, Work
from kronos.forecasters.kronos import KronosPredictor
from kronos.nn.checkpoint import load_model, load_tokenizer
from tests import golden_vectors as golden


def check(work: Work) -> None:
    """Looks for the units "network" and "forecasts"."""
    work.look("network", lambda: _network(work.device))
    work.look("forecasts", lambda: _forecasts(work.device))


def _network(device: str) -> Found:
    vectors = {name: tensor.to(device) for name, tensor in golden.read_vectors().items()}
    model = load_model(golden.GOLDEN / "model").to(device)
    tokenizer = load_tokenizer(golden.GOLDEN / "tokenizer").to(device)
    with torch.no_grad():
        filtered = golden.filter_outputs(vectors, golden.read_cases())
    found = {
        **golden.tokenizer_outputs(tokenizer, vectors),
        **golden.model_outputs(model, vectors),
        **golden.teacher_outputs(model, vectors),
        **filtered,
    }
    return _judged({name: golden.error(found[name], vectors[name]) for name in found})


def _forecasts(device: str) -> Found:
    vectors, candles = golden.read_vectors(), golden.read_candles()
    errors = {}
    for case in golden.read_cases()["predict_cases"]:
        model = load_model(golden.GOLDEN / "model")
        tokenizer = load_tokenizer(golden.GOLDEN / "tokenizer")
        predictor = KronosPredictor(model, tokenizer, device, max_context=case["max_context"])
        errors[case["name"]] = golden.forecast_error(predictor, case, candles, vectors)
    return _judged(errors)


def _judged(errors: dict[str, float]) -> Found:
    wrong = {name: size for name, size in errors.items() if not size <= golden.RTOL}
    worst = max(errors, key=lambda name: errors[name])
    if wrong:
        listed = ", ".join(f"{name} by {size:.2g}" for name, size in wrong.items())
        return Found(False, f"{len(wrong)} of {len(errors)} differ: {listed}", errors)
    text = f"{len(errors)} are right; the largest difference is {errors[worst]:.1e} ({worst})"
    return Found(True, text, errors)
