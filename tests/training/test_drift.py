"""A model whose fan does not drift by chance: the weight of the squared drift."""

from dataclasses import replace

import pytest
import torch

from kronos.cli import main
from kronos.errors import InvalidRequest
from kronos.nn.checkpoint import load_model, save_checkpoint
from kronos.nn.tokenizer import KronosTokenizer
from kronos.training import recipes
from kronos.training.corpus import Holdout, load_corpus
from kronos.training.loop import LoopConfig
from kronos.training.objectives import DRIFT_BARS, ModelObjective, returns_by_token, squared_drift
from kronos.training.run import DataConfig, train_model
from kronos.training.windows import WindowPlan, WindowSampler
from tests.training.conftest import made_up_bars
from tests.training.test_training import TINY_MODEL, TINY_TOKENIZER

PLAN = WindowPlan(contexts=(32,), future=16, bars_per_batch=768)
RETURNS = replace(TINY_TOKENIZER, normalisation="returns")
UP_OR_DOWN = torch.tensor([-1.0, 1.0])


def logits(expected):
    """Of two tokens with returns of -1 and 1, whose expected return is given: (1, T, 2)."""
    return torch.stack([1 - expected, 1 + expected], dim=-1).div(2).log()[None]


def test_a_drift_that_stays_counts_by_its_sum():
    stays = squared_drift(logits(torch.full((60,), 0.1)), UP_OR_DOWN)
    assert float(stays) == pytest.approx(DRIFT_BARS * 0.1**2, rel=1e-4)
    turns = squared_drift(logits(0.1 * (-1.0) ** torch.arange(60)), UP_OR_DOWN)
    assert float(turns) == pytest.approx(0.0, abs=1e-8)


def test_a_window_of_few_bars_is_one_run():
    found = squared_drift(logits(torch.full((5,), 0.1)), UP_OR_DOWN)
    assert float(found) == pytest.approx(5 * 0.1**2, rel=1e-4)


def test_returns_of_tokens_are_means_over_their_bars(corpus):
    tokenizer = KronosTokenizer(**RETURNS.to_dict()).eval()
    batch = WindowSampler(corpus, PLAN, seed=0, normalisation="returns").batch(0)
    found = returns_by_token(tokenizer, [batch])
    with torch.no_grad():
        s1 = tokenizer.encode(batch.x)[0]
    token = int(s1[0, 0])
    moves = batch.x[..., 3][s1 == token].double().sinh().clamp(-8, 8)
    assert float(found[token]) == pytest.approx(float(moves.mean()), rel=1e-5)
    unseen = torch.bincount(s1.flatten(), minlength=16) == 0
    assert not found[unseen].any()


def test_a_tokenizer_of_whole_windows_is_refused(bars_folder, tmp_path, capsys):
    tokenizer = KronosTokenizer(**TINY_TOKENIZER.to_dict())
    with pytest.raises(InvalidRequest, match="needs the returns"):
        ModelObjective(drift_weight=0.1).with_tokenizer(tokenizer)
    with pytest.raises(InvalidRequest, match="at least 0, found nan"):
        ModelObjective(drift_weight=float("nan"))
    save_checkpoint(tokenizer, tmp_path / "tokenizer")
    options = ["--data", str(bars_folder), "--out", str(tmp_path), "--steps", "1"]
    assert main(["train", "model", *options, "--drift-weight", "0.1"]) == 2
    assert "Leave --drift-weight out" in capsys.readouterr().err


def test_a_weight_of_the_drift_keeps_a_model_from_drifting(tmp_path):
    """Bars that rose learn a rise without it; with it, a small part of that."""
    folder = tmp_path / "bars"
    folder.mkdir()
    for i in range(4):
        bars = made_up_bars(400, seed=i)
        rise = 1.002 ** bars.index.to_numpy()
        bars[["open", "high", "low", "close"]] *= rise[:, None]
        bars.to_csv(folder / f"series{i}.csv", index=False)
    torch.manual_seed(0)
    tokenizer = KronosTokenizer(**RETURNS.to_dict()).eval()
    save_checkpoint(tokenizer, tmp_path / "tokenizer")
    batch = WindowSampler(load_corpus(folder), PLAN, seed=9, normalisation="returns").batch(0)
    returns = returns_by_token(tokenizer, [batch])

    def drift(weight):
        out = tmp_path / f"out{weight}"
        objective = recipes.model_objective("returns", is_published=False)
        train_model(
            DataConfig(folder, holdout=Holdout(0.0)), PLAN, LoopConfig(steps=60, lr=1e-2),
            replace(objective, drift_weight=weight), out, tokenizer=tmp_path / "tokenizer",
            config=TINY_MODEL, device="cpu",
        )  # fmt: skip
        model = load_model(out / "model").eval()
        with torch.no_grad():
            s1, s2 = tokenizer.encode(batch.x)
            found = model(s1[:, :-1], s2[:, :-1], batch.stamp[:, :-1], s1_targets=s1[:, 1:])
        return float(squared_drift(found[0], returns))

    free, held = drift(0.0), drift(1.0)
    assert free > 0.2
    assert held < 0.3 * free
