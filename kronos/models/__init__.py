"""Models by name: what a name means, files from the hub, and loading.

    registry.py     what a name means, and the published models: revisions, digests, sizes
    checkpoints.py  checkpoint folders on disk, the bundled one among them
    adapters.py     adapters: their files, the installed ones, the bases they belong to
    peft.py         adapters in peft's format; needs torch
    merging.py      adapters' tensors, merged into a base; needs torch
    loading.py      load(): name or folder in, a forecaster out
    inventory.py    the list of models; download, delete and verify them
    facts.py        context, revision and events of a model, without loading it
    cut_offs.py     where the training bars of a model end
    pretrained.py   `Kronos` and `KronosTokenizer` with upstream's interface; needs torch
    hub/            files from the Hugging Face hub, verified

Importing this package imports neither torch nor the hub client.
"""

from __future__ import annotations

from kronos.models.adapters import weights_sha256
from kronos.models.checkpoints import describe_bundle
from kronos.models.cut_offs import PRETRAINED_UNTIL, cut_off
from kronos.models.inventory import (
    Checked,
    Entry,
    available,
    checked,
    delete,
    download,
    install,
    require_free,
    verify,
)
from kronos.models.loading import (
    Located,
    checkpoint_folder,
    checkpoint_pair,
    load,
    load_kronos,
    locate,
)
from kronos.models.registry import (
    BUNDLED,
    CHRONOS,
    ENSEMBLE,
    PUBLISHED,
    Kind,
    PublishedModel,
    Reference,
    draws_tokens,
    kind_of,
    resolve,
)

__all__ = [
    "BUNDLED",
    "CHRONOS",
    "ENSEMBLE",
    "PRETRAINED_UNTIL",
    "PUBLISHED",
    "Checked",
    "Entry",
    "Kind",
    "Located",
    "PublishedModel",
    "Reference",
    "available",
    "checked",
    "checkpoint_folder",
    "checkpoint_pair",
    "cut_off",
    "delete",
    "describe_bundle",
    "download",
    "draws_tokens",
    "install",
    "kind_of",
    "load",
    "load_kronos",
    "locate",
    "require_free",
    "resolve",
    "verify",
    "weights_sha256",
]
