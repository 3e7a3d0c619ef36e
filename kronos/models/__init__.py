"""Models by name: where each one comes from, and loading it ready to forecast.

    table.py      the published models: revisions, digests, sizes
    folders.py    checkpoint folders on disk, the bundled one among them
    loading.py    load(): name or folder in, KronosPredictor out
    adapted.py    adapters and the bases they belong to
    inventory.py  what is here, what can be fetched, and fetching and deleting it
    checked.py    when its files were last hashed
    chronos.py    Chronos-2: found and loaded
    cut_offs.py   up to when the bars reach that a model learned from

Importing this package imports neither torch nor the hub client.
"""

from __future__ import annotations

from kronos.models.adapters import weights_sha256
from kronos.models.checked import Checked, checked
from kronos.models.checkpoints import describe_bundle
from kronos.models.cut_offs import PRETRAINED_UNTIL, cut_off
from kronos.models.inventory import (
    Entry,
    available,
    delete,
    download,
    install,
    require_free,
    verify,
)
from kronos.models.loading import Located, checkpoint_folder, checkpoint_pair, load, locate
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
    "locate",
    "require_free",
    "resolve",
    "verify",
    "weights_sha256",
]
