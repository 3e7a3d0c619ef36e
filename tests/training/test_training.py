"""Training learns, resumes exactly, and writes checkpoints everything else can read."""

import copy
import json
import multiprocessing
import os
import subprocess
import sys
import time

import pytest
import torch

from kronos.errors import InvalidRequest, TrainingDiverged
from kronos.nn.checkpoint import load_tokenizer
from kronos.nn.config import ModelConfig, TokenizerConfig
from kronos.nn.model import S2Attention
from kronos.nn.tokenizer import KronosTokenizer
from kronos.training import loop as loop_module
from kronos.training import run as run_module
from kronos.training.corpus import Holdout
from kronos.training.loop import LoopConfig, learning_rate, make_optimizers, train
from kronos.training.objectives import ModelObjective, TokenizerObjective
from kronos.training.processes import process_group
from kronos.training.run import DataConfig, train_model, train_tokenizer
from kronos.training.state import Log
from kronos.training.windows import WindowPlan, WindowSampler
from tests.training.conftest import made_up_bars

PLAN = WindowPlan(contexts=(32,), future=16, bars_per_batch=768)
TINY_TOKENIZER = TokenizerConfig(6, 32, 4, 64, 2, 2, 0.0, 0.0, 0.0, 4, 4, 0.05, 1.0, 1.1, 0.05, 4)
TINY_MODEL = ModelConfig(4, 4, 1, 32, 4, 64, 0.1, 0.0, 0.1, 0.0, True)


def loop(steps, **kwargs):
    return LoopConfig(steps=steps, lr=3e-3, **({"log_every": 5, "save_every": 10} | kwargs))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(bars_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    data = DataConfig(bars_folder, holdout=Holdout(0.3))
    steps = loop(20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "VALIDATION_BATCHES", 2)
        train_tokenizer(data, PLAN, steps, TokenizerObjective(), out, config=TINY_TOKENIZER)
        train_model(
            data, PLAN, steps, ModelObjective(), out, tokenizer=out / "tokenizer", config=TINY_MODEL
        )
    return out


@pytest.mark.parametrize("stage", ["tokenizer", "model"])
def test_losses_fall_on_training_and_held_out_windows(trained, stage):
    log = lines(trained / f"{stage}-run/log.jsonl")
    losses = [entry["loss"] for entry in log if entry["split"] == "train"]
    validation = [entry["loss"] for entry in log if entry["split"] == "validation"]
    assert losses[-1] < losses[0]
    assert validation[-1] < validation[0]


def test_a_trained_folder_loads_and_forecasts(trained):
    from kronos.models import load

    bars = made_up_bars(60, seed=3).set_index("timestamp")
    future = bars.index[-5:] + (bars.index[-1] - bars.index[0])
    forecast = load(str(trained), device="cpu").forecast(
        bars, y_timestamp=future, sample_count=3, lookback=32
    )
    assert forecast.paths.shape == (3, 5, 6)


class Stopped(Exception):
    """Stands in for a kill between two checkpoints."""


def test_a_run_stopped_anywhere_ends_as_if_it_never_was(corpus, tmp_path, monkeypatch):
    """Dropout is on: resuming must also repeat the noise."""
    from kronos.nn.model import Kronos

    torch.manual_seed(0)
    frozen = KronosTokenizer(**TINY_TOKENIZER.to_dict()).eval()
    losses = ModelObjective().with_tokenizer(frozen)
    sampler = WindowSampler(corpus, PLAN, seed=1)

    def run(out):
        torch.manual_seed(5)
        model = Kronos(**TINY_MODEL.to_dict())
        with process_group("cpu") as process:
            train(model, losses, sampler, loop(12, save_every=4), out, process)
        return model

    whole = run(tmp_path / "whole")
    original = loop_module.learning_rate

    def stop_at_ten(step, config):
        if step == 9:
            raise Stopped
        return original(step, config)

    monkeypatch.setattr(loop_module, "learning_rate", stop_at_ten)
    with pytest.raises(Stopped):
        run(tmp_path / "stopped")
    monkeypatch.setattr(loop_module, "learning_rate", original)
    resumed = run(tmp_path / "stopped")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_resuming_under_other_settings_is_refused(corpus, tmp_path):
    tokenizer = KronosTokenizer(**TINY_TOKENIZER.to_dict())
    sampler = WindowSampler(corpus, PLAN, seed=1)
    with process_group("cpu") as process:
        train(tokenizer, TokenizerObjective(), sampler, loop(2), tmp_path, process)
        with pytest.raises(InvalidRequest, match="written with other settings \\(steps\\)"):
            train(tokenizer, TokenizerObjective(), sampler, loop(3), tmp_path, process)


def test_resuming_on_other_data_is_refused(corpus, tmp_path):
    """Another hold-out would train on families that scores count as unseen."""
    tokenizer = KronosTokenizer(**TINY_TOKENIZER.to_dict())
    sampler = WindowSampler(corpus, PLAN, seed=1)
    arguments = (tokenizer, TokenizerObjective(), sampler, loop(1), tmp_path)
    with process_group("cpu") as process:
        train(*arguments, process, facts={"data": "bars Holdout(share=0.1)"})
        with pytest.raises(InvalidRequest, match=r"other settings \(data\)"):
            train(*arguments, process, facts={"data": "bars Holdout(share=0.2)"})


def test_a_run_that_diverges_keeps_its_last_state(corpus, tmp_path):
    tokenizer = KronosTokenizer(**TINY_TOKENIZER.to_dict())
    sampler = WindowSampler(corpus, PLAN, seed=1)

    def losses(module, batch):
        values = TokenizerObjective()(module, batch)
        return values | {"loss": values["loss"] * float("nan")}

    with process_group("cpu") as process:
        train(tokenizer, TokenizerObjective(), sampler, loop(1), tmp_path, process)
        state = (tmp_path / "state.safetensors").read_bytes()
        (tmp_path / "state.safetensors").unlink()
        with pytest.raises(TrainingDiverged, match="gradient at step 1 is nan"):
            train(tokenizer, losses, sampler, loop(1), tmp_path, process)
    assert state


def test_tokens_learned_in_bf16_are_those_inference_reads(corpus, model, tokenizer, monkeypatch):
    batch = WindowSampler(corpus, PLAN, seed=2).batch(0)
    expected = tokenizer.encode(batch.x)
    seen = []
    original = tokenizer.encode
    monkeypatch.setattr(tokenizer, "encode", lambda x: seen.append(original(x)) or seen[-1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ModelObjective().with_tokenizer(tokenizer)(model, batch)
    assert torch.equal(seen[0][0], expected[0])
    assert torch.equal(seen[0][1], expected[1])


def test_a_torn_log_line_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    Log(path, enabled=True).write(step=2)
    assert [entry["step"] for entry in lines(path)] == [1, 2]


def test_learning_rate_rises_then_falls():
    config = LoopConfig(steps=100, lr=1.0, warmup=0.1, final_lr=0.02)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[9] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.02, abs=0.01)


def test_context_weight_one_is_upstreams_loss(corpus, model, tokenizer):
    """Weights of one give the plain mean that the golden vectors hold."""
    batch = WindowSampler(corpus, PLAN, seed=2).batch(0)
    everywhere = type(batch)(
        batch.x, batch.stamp, batch.n_context, torch.ones_like(batch.inside), batch.bar_sigma
    )
    losses = ModelObjective().with_tokenizer(tokenizer)(model, everywhere)
    s1, s2 = tokenizer.encode(batch.x)
    logits = model(
        s1[:, :-1],
        s2[:, :-1],
        batch.stamp[:, :-1],
        s1_targets=s1[:, 1:],
        s2_attention=S2Attention.ROTATED,
    )
    expected = torch.nn.functional.cross_entropy(logits[0].flatten(0, 1), s1[:, 1:].flatten())
    torch.testing.assert_close(losses["s1"], expected)


def test_price_weight_counts_errors_in_bars(corpus, tokenizer):
    batch = WindowSampler(corpus, PLAN, seed=2).batch(0)
    made = tokenizer(batch.x)
    plain = TokenizerObjective()(tokenizer, batch)
    weighted = TokenizerObjective(price_weight=0.5)(tokenizer, batch)
    added = 0.0
    for decoded in (made.full, made.coarse):
        bars = (decoded - batch.x)[..., :4] / batch.bar_sigma
        added += 0.5 * torch.nn.functional.smooth_l1_loss(bars, torch.zeros_like(bars))
    torch.testing.assert_close(weighted["loss"], plain["loss"] + added)


def _tiny_run(corpus, out, steps=30):
    torch.manual_seed(5)
    tokenizer = KronosTokenizer(**TINY_TOKENIZER.to_dict())
    sampler = WindowSampler(corpus, PLAN, seed=1)

    @torch.no_grad()
    def validate():
        batch = sampler.batch(10_000)
        return {"loss": float(TokenizerObjective()(tokenizer, batch)["loss"])}

    settings = loop(steps, save_every=4, log_every=1, watched="loss")
    with process_group("cpu") as process:
        train(tokenizer, TokenizerObjective(), sampler, settings, out, process, validate=validate)
    return tokenizer


def test_a_run_killed_by_force_ends_as_if_it_never_was(corpus, tmp_path):
    """kill -9 in the midst of a step, a line of the log or a checkpoint, and once more."""
    whole = _tiny_run(corpus, tmp_path / "whole")
    log = tmp_path / "killed/log.jsonl"
    for step in (6, 17):
        child = multiprocessing.get_context("fork").Process(
            target=_tiny_run, args=(corpus, tmp_path / "killed")
        )
        child.start()
        while not (log.is_file() and f'"step": {step}, "split": "train"' in log.read_text()):
            time.sleep(0.005)
            assert child.is_alive() or child.exitcode == 0
        child.kill()
        child.join()
    resumed = _tiny_run(corpus, tmp_path / "killed")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)

    def lines_of(path):
        return [(x["step"], x["split"], x.get("loss")) for x in lines(path)]

    assert lines_of(log) == lines_of(tmp_path / "whole/log.jsonl")


def test_a_step_of_many_batches_is_the_mean_of_their_gradients(corpus, tmp_path):
    tokenizer = KronosTokenizer(**TINY_TOKENIZER.to_dict())
    expected = copy.deepcopy(tokenizer)
    sampler, settings = WindowSampler(corpus, PLAN, seed=1), loop(1, accumulate=3)
    with process_group("cpu") as process:
        train(tokenizer, TokenizerObjective(), sampler, settings, tmp_path, process)
    for part in range(3):
        (TokenizerObjective()(expected, sampler.batch(0, part))["loss"] / 3).backward()
    torch.nn.utils.clip_grad_norm_(expected.parameters(), settings.grad_clip)
    optimizer = make_optimizers(expected, settings)[0]
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(0, settings)
    optimizer.step()
    for one, other in zip(expected.parameters(), tokenizer.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path, root):
    """torchrun with two CPU processes, against one that takes both batches itself."""
    bars_folder = tmp_path / "bars"
    bars_folder.mkdir()
    for i in range(4):  # long enough for the longest context of the recipe
        made_up_bars(600, seed=i).to_csv(bars_folder / f"series{i}.csv", index=False)
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}

    def command(launch, out):
        return [
            sys.executable, *launch, "-m", "kronos", "train", "tokenizer",
            "--data", str(bars_folder), "--out", str(tmp_path / out), "--steps", "3",
            "--accumulate", "2", "--bars-per-batch", "512", "--device", "cpu", "--holdout", "0",
        ]  # fmt: skip

    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for how, out in ((launch, "two"), ([], "one")):
        done = subprocess.run(
            command(how, out), env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    one, two = (load_tokenizer(tmp_path / out / "tokenizer") for out in ("one", "two"))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    logs = [lines(tmp_path / out / "tokenizer-run/log.jsonl") for out in ("one", "two")]
    losses = [[x["loss"] for x in log if x["split"] == "train"] for log in logs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
