"""The event embedding: silent until trained, causal, and strict in checkpoint files."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from kronos import Kronos as PublicKronos
from kronos.errors import CheckpointInvalid, InvalidRequest
from kronos.nn.checkpoint import load_model, save_checkpoint
from kronos.nn.config import N_EVENT_CHANNELS, SIZES, ModelConfig
from kronos.nn.model import Kronos, token_loss

WEIGHTS = "model.safetensors"
NAMES = {"event_emb.proj.weight", "event_emb.proj.bias"}


@pytest.fixture
def sequence():
    """Ids (2, 24) twice, stamps (2, 24, 5) and events (2, 24, 20)."""
    generator = torch.Generator().manual_seed(3)
    s1, s2 = torch.randint(1024, (2, 2, 24), generator=generator)
    stamp = torch.randint(7, (2, 24, 5), generator=generator)
    return s1, s2, stamp, torch.randn(2, 24, N_EVENT_CHANNELS, generator=generator)


def logits_of(model, s1, s2, stamp, events):
    return model(s1, s2, stamp, events, s1_targets=s1.roll(-1, 1))


def test_it_has_the_parameters_of_one_layer():
    with torch.device("meta"):
        model = Kronos(**SIZES["base"].to_dict(), n_event_channels=N_EVENT_CHANNELS)
    own = {name: p.numel() for name, p in model.named_parameters() if name in NAMES}
    assert sum(own.values()) == 17_472
    assert sum(p.numel() for p in model.parameters()) == 102_310_592 + 17_472


def test_it_is_added_after_the_calendar(eventful_model, sequence):
    s1, s2, stamp, events = sequence
    proj = eventful_model.event_emb.proj
    plain = eventful_model.embed(s1, s2, stamp)
    expected = plain + (events @ proj.weight.T + proj.bias)
    torch.testing.assert_close(eventful_model.embed(s1, s2, stamp, events), expected)


@pytest.mark.parametrize("training", [True, False])
def test_a_fresh_one_changes_no_bit(model, sequence, training):
    """Dropout is zero in the golden checkpoint, so training mode is deterministic too."""
    model.train(training)
    *tokens, events = sequence
    expected = logits_of(model, *tokens, None)
    model.add_event_embedding()
    for found in (logits_of(model, *tokens, None), logits_of(model, *tokens, events)):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_without_events_a_trained_one_changes_no_bit(eventful_model, root, sequence):
    *tokens, events = sequence
    base = logits_of(load_model(root / "tests/golden/model"), *tokens, None)
    found = logits_of(eventful_model, *tokens, None)
    assert all(torch.equal(a, b) for a, b in zip(found, base, strict=True))
    told = logits_of(eventful_model, *tokens, events)
    assert not any(torch.equal(a, b) for a, b in zip(told, base, strict=True))


def test_a_fresh_one_learns(model, sequence):
    s1, s2, *_ = sequence
    block = model.add_event_embedding()
    token_loss(*logits_of(model, *sequence), s1.roll(-1, 1), s2.roll(-1, 1)).total.backward()
    assert block.proj.weight.grad.abs().sum() > 0
    assert block.proj.bias.grad.abs().sum() > 0


def test_future_events_never_change_past_logits(eventful_model, sequence):
    *tokens, events = sequence
    changed = events.clone()
    changed[:, 15:] += 1.0
    expected, found = (logits_of(eventful_model, *tokens, e) for e in (events, changed))
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a[:, :15], b[:, :15])
        assert not torch.equal(a[:, 15], b[:, 15])


def test_all_other_weights_begin_as_without_it(model):
    made = []
    for extra in ({}, {"n_event_channels": N_EVENT_CHANNELS}):
        torch.manual_seed(6)
        made.append(Kronos(**model.config.to_dict(), **extra).state_dict())
    plain, eventful = made
    assert eventful.keys() - plain.keys() == NAMES
    assert all(torch.equal(tensor, eventful[name]) for name, tensor in plain.items())
    assert eventful["event_emb.proj.weight"].std() > 0.01


def test_it_takes_the_type_of_the_model(model, sequence):
    model.bfloat16().add_event_embedding()
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.hidden(*sequence).dtype == torch.bfloat16


def test_events_without_one_and_a_second_one_are_refused(model, sequence):
    with pytest.raises(InvalidRequest, match="never trained with events"):
        model.hidden(*sequence)
    model.add_event_embedding()
    with pytest.raises(InvalidRequest, match="already"):
        model.add_event_embedding()


@pytest.fixture
def folder(eventful_model, tmp_path):
    """A checkpoint with an event embedding."""
    save_checkpoint(eventful_model, tmp_path / "eventful")
    return tmp_path / "eventful"


def change_config(folder, **fields):
    path = folder / "config.json"
    values = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def change_weights(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def fault_of(folder):
    with pytest.raises(CheckpointInvalid) as caught:
        load_model(folder)
    return str(caught.value)


def test_a_checkpoint_stores_it(folder, eventful_model, sequence, tmp_path):
    assert json.loads((folder / "config.json").read_text())["n_event_channels"] == 20
    assert load_file(folder / WEIGHTS).keys() >= NAMES
    for load in (load_model, PublicKronos.from_pretrained):
        loaded = load(folder)
        assert loaded.config == eventful_model.config
        with torch.no_grad():
            assert torch.equal(loaded.hidden(*sequence), eventful_model.hidden(*sequence))
    save_checkpoint(load_model(folder), tmp_path / "again")
    for name in ("config.json", WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_checkpoint_without_it_has_the_published_form(root, tmp_path):
    golden = root / "tests/golden/model"
    save_checkpoint(load_model(golden), tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written == json.loads((golden / "config.json").read_text())
    assert load_file(tmp_path / WEIGHTS).keys() == load_file(golden / WEIGHTS).keys()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_half_of_it_is_refused(folder, name):
    change_weights(folder, lambda tensors: tensors.pop(name))
    assert f"missing {name}" in fault_of(folder)


def test_another_number_of_channels_is_refused(folder):
    change_weights(
        folder, lambda tensors: tensors.update({"event_emb.proj.weight": torch.zeros(48, 19)})
    )
    assert "event_emb.proj.weight is (48, 19), expected (48, 20)" in fault_of(folder)


def test_config_and_weights_must_agree_on_it(folder, root):
    change_config(folder, n_event_channels=None)
    assert "unknown event_emb.proj.bias; unknown event_emb.proj.weight" in fault_of(folder)
    base = load_file(root / "tests/golden/model" / WEIGHTS)
    change_config(folder, n_event_channels=20)
    save_file(base, folder / WEIGHTS)
    assert "missing event_emb.proj.weight" in fault_of(folder)


@pytest.mark.parametrize("value", [19, -1, True, 20.0, "20"])
def test_the_number_of_channels_is_20_or_none(value):
    with pytest.raises(CheckpointInvalid, match="n_event_channels must be 20, or 0"):
        ModelConfig.from_dict(SIZES["mini"].to_dict() | {"n_event_channels": value})


def test_a_configuration_that_names_no_channels_is_the_published_one():
    named = ModelConfig.from_dict(SIZES["mini"].to_dict() | {"n_event_channels": 0})
    assert named == SIZES["mini"]
    assert "n_event_channels" not in named.to_dict()


def test_the_alignment_of_rows_is_written_where_it_is_not_the_first():
    model = Kronos(**SIZES["mini"].to_dict())
    assert model.config.event_alignment == "bar"
    model.add_event_embedding("ahead")
    written = model.config.to_dict()
    assert written["event_alignment"] == "ahead"
    assert ModelConfig.from_dict(written) == model.config
    plain = Kronos(**SIZES["mini"].to_dict())
    plain.add_event_embedding()
    assert "event_alignment" not in plain.config.to_dict()
    with pytest.raises(CheckpointInvalid, match="event_alignment must be bar or ahead"):
        ModelConfig.from_dict(written | {"event_alignment": "later"})
