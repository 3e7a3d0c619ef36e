"""What the network computes from the golden inputs, by the name of the vector it must equal.

Without pytest, so that `benchmarks.gpu` can ask the same of a GPU.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from kronos.decoding.sampling import RowFilters
from kronos.forecast import SamplingParameters
from kronos.nn.model import S2Attention, token_loss

GOLDEN = Path(__file__).parent / "golden"
RTOL = 1e-4
"""Largest difference, relative to the largest value of the vector. Ids are exact."""


def read_cases():
    return json.loads((GOLDEN / "cases.json").read_text())


def read_vectors():
    return load_file(GOLDEN / "vectors.safetensors")


def read_candles():
    return pd.read_csv(GOLDEN / "candles.csv", parse_dates=["timestamps"])


@torch.no_grad()
def tokenizer_outputs(tokenizer, vectors):
    x, s1, s2 = (vectors[f"tokenizer.{name}"] for name in ("x", "s1", "s2"))
    coarse, fine = tokenizer.encode(x)
    found = {"tokenizer.s1": coarse, "tokenizer.s2": fine}
    found["tokenizer.decoded"] = tokenizer.decode(s1, s2)
    reconstruction = tokenizer(x)
    for name in ("coarse", "full", "quantized"):
        found[f"tokenizer.forward.{name}"] = getattr(reconstruction, name)
    found["tokenizer.forward.bsq_loss"] = reconstruction.loss.reshape(1)
    return found


@torch.no_grad()
def model_outputs(model, vectors):
    s1, s2 = vectors["model.s1_ids"], vectors["model.s2_ids"]
    hidden = model.hidden(s1, s2, vectors["model.stamp"])
    pick = vectors["model.decode_s2.s1_pick"][:, 0]
    return {
        "model.context": hidden,
        "model.s1_logits": model.s1_logits(hidden),
        "model.s1_logits.no_stamp": model.s1_logits(model.hidden(s1, s2)),
        "model.decode_s2.last_logits": model.s2_logits_last(vectors["model.context"], pick),
    }


def teacher_outputs(model, vectors):
    """Logits, losses and gradients of training; the golden checkpoint has no dropout."""
    model.train()
    s1_targets = vectors["model.teacher.s1_targets"]
    logits = model(
        *(vectors[f"model.{name}"] for name in ("s1_ids", "s2_ids", "stamp")),
        s1_targets=s1_targets,
        s2_attention=S2Attention.ROTATED,
    )
    loss = token_loss(*logits, s1_targets, vectors["model.teacher.s2_targets"])
    loss.total.backward()
    found = {
        "model.teacher.s1_logits": logits[0],
        "model.teacher.s2_logits": logits[1],
        "model.teacher.losses": torch.stack((loss.total, loss.s1, loss.s2)),
        "model.teacher.grad.q_proj0": model.transformer[0].self_attn.q_proj.weight.grad,
        "model.teacher.grad.dep_k": model.dep_layer.cross_attn.k_proj.weight.grad,
    }
    model.zero_grad()
    model.eval()
    return {name: tensor.detach() for name, tensor in found.items()}


def filter_outputs(vectors, cases):
    logits = vectors["filter.logits"]
    found = {}
    for case in cases["filter_cases"]:
        sampling = SamplingParameters(**{name: case[name] for name in ("T", "top_k", "top_p")})
        filters = RowFilters.of([sampling], logits.shape[-1], logits.device)
        found[f"filter.probs.{case['index']}"] = filters.probabilities(logits)
    return found


def error(found, expected):
    """The difference relative to the largest value, as fp32 sums differ in their last bits; of
    ids, how many differ."""
    if not expected.is_floating_point():
        return float((found != expected).sum())
    return float((found - expected).abs().max() / expected.abs().max())


def forecast_error(predictor, case, candles, vectors):
    """Largest error of a greedy forecast through the DataFrame interface: columns are of very
    different size, so each is compared on its own scale."""
    n, pred_len = case["context"], case["pred_len"]
    frame = predictor.predict(
        df=candles.loc[: n - 1, case["columns"]],
        x_timestamp=candles.loc[: n - 1, "timestamps"],
        y_timestamp=candles.loc[n : n + pred_len - 1, "timestamps"],
        pred_len=pred_len,
        T=case["T"],
        top_k=case["top_k"],
        top_p=case["top_p"],
        sample_count=case["sample_count"],
        verbose=False,
    )
    assert list(frame.columns) == ["open", "high", "low", "close", "volume", "amount"]
    expected = vectors[f"predict.{case['name']}"].cpu().numpy()
    scale = np.maximum(np.abs(expected).max(axis=0), 1e-3)
    return float((np.abs(frame.to_numpy() - expected) / scale).max())
