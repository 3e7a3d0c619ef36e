"""A checkpoint of Chronos-2 with a few thousand random weights, and a hub that offers it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kronos import models
from kronos.models.hub.repository import repository
from tests.loopback_hub import LoopbackHub


@contextmanager
def tiny_on_a_hub(folder: Path, cache: Path) -> Iterator[LoopbackHub]:
    """A hub that offers the checkpoint in a folder in the place of the small Chronos-2."""
    tiny = models.PublishedModel(
        name="chronos-2-small",
        model=repository("autogluon/chronos-2-small", "d" * 40),
        tokenizer=None,
        n_parameters=1,
        max_context=256,
        licence="Apache-2.0",
    )
    with pytest.MonkeyPatch.context() as patch, LoopbackHub() as running:
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        patch.setenv("HF_HUB_CACHE", str(cache))
        patch.setenv("HF_ENDPOINT", running.url)
        patch.setitem(models.CHRONOS, tiny.name, tiny)
        running.publish(tiny.model.repo_id, tiny.model.revision, folder)
        yield running


def write_tiny(folder: Path) -> Path:
    """Writes config.json and model.safetensors into a folder, and returns it."""
    import torch
    from chronos.chronos2 import Chronos2Model
    from chronos.chronos2.config import Chronos2CoreConfig

    torch.manual_seed(0)
    config = Chronos2CoreConfig(
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        vocab_size=2,
        reg_token_id=1,
        feed_forward_proj="relu",
        chronos_config={
            "context_length": 256,
            "output_patch_size": 16,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": [0.01, *(round(0.05 * i, 2) for i in range(1, 20)), 0.99],
            "use_reg_token": True,
            "use_arcsinh": True,
            "max_output_patches": 4,
            "time_encoding_scale": 256,
        },
    )
    config.architectures = ["Chronos2Model"]
    config.chronos_pipeline_class = "Chronos2Pipeline"
    Chronos2Model(config).eval().save_pretrained(folder)
    return folder
