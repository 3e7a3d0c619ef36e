"""The command that times walks: its operations are those of the network, its phases add up."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.bulk import PHASES, Phases, Walked, main, window_operations
from kronos.nn.config import SIZES, published_tokenizer
from kronos.nn.model import Kronos
from kronos.nn.tokenizer import KronosTokenizer


def linear_weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))


def test_the_operations_of_a_window_are_those_of_the_networks():
    model, tokenizer = SIZES["mini"], published_tokenizer(5)
    network, codec = Kronos(**model.to_dict()), KronosTokenizer(**tokenizer.to_dict())

    # Twice the paths less once the paths: what a path adds, every product of it once per step.
    def operations(paths, horizon):
        return window_operations(model, tokenizer, context=8, horizon=horizon, paths=paths)

    added = operations(2, 1) - operations(1, 1)
    # One step: drawn and decoded, not read; s2 looks at 8 positions, the new candle at 9.
    decoder_layers, d = tokenizer.n_dec_layers - 1, tokenizer.d_model
    drawn = linear_weights(network.head) + sum(
        part.weight.numel()
        for part in (network.dep_layer.cross_attn.q_proj, network.dep_layer.cross_attn.out_proj)
    )
    decoded = sum(
        linear_weights(part) for part in (codec.decoder, codec.post_quant_embed, codec.head)
    )
    seen = 8 * model.d_model + 9 * decoder_layers * d
    assert added == 2 * (drawn + decoded) + 4 * seen

    with FlopCounterMode(display=False) as counted, torch.no_grad():
        codec.embed_ids(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4, dtype=torch.int64))
    assert counted.get_total_flops() == 2 * 4 * linear_weights(codec.post_quant_embed)
    # A path of two steps reads one pair: every matrix once, and what it sees.
    read = operations(2, 2) - operations(1, 2) - 2 * added
    blocks = linear_weights(network) - drawn
    more = (
        model.n_layers * 9 * model.d_model  # the pair that is read
        + model.d_model  # the second query of s2 sees one position more
        + decoder_layers * d  # and so does the second candle
    )
    assert read == 2 * blocks + 4 * more


def test_a_phase_counts_without_what_is_called_inside():
    class Work:
        def outer(self):
            times[0] += 1
            self.inner()
            times[0] += 2

        def inner(self):
            times[0] += 10

    times, plain = [0.0], Work.__dict__["inner"]
    phases = Phases(lambda: times[0])
    with phases.of([(Work, "outer", "a"), (Work, "inner", "b")]):
        Work().outer()
        Work().inner()
    assert phases.seconds == {"a": 3, "b": 20}
    assert Work.__dict__["inner"] is plain


def test_the_fastest_walk_is_set_against_the_best_rate():
    slow, fast = Walked({"a": 3.0}, 8.0, 4.0), Walked({"a": 2.0}, 8.0, 2.0)
    best = Walked.best([slow, fast])
    assert (best.total, best.floor) == (2.0, 2.0)


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_dry_run_prints_phases_that_add_up_to_the_window(tmp_path, capsys):
    file = tmp_path / "bulk.md"
    counts = ["--windows", "5", "--paths", "2", "--horizon", "3", "--threads", "1"]
    assert main([*counts, "--quick", "--out", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    assert text.strip() in capsys.readouterr().out
    header, _, row = ([c.strip() for c in line.strip("|").split("|")] for line in _rows(text))
    found = dict(zip(header, map(float, row), strict=True))
    parts = [found[f"{name} (ms)"] for name in PHASES]
    assert all(part > 0 for part in parts)
    assert sum(parts) == pytest.approx(found["window (ms)"], abs=0.3)
    # Printed to the last digit that is shown.
    assert found["times the floor"] == pytest.approx(
        found["window (ms)"] / found["floor (ms)"], rel=0.1
    )


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]
