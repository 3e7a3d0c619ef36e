"""Adapters: small files that change a base model, kept by name on this machine.

    adapter.py    the file format: what an adapter is for, and reading and writing it
    registry.py   where adapters lie, listing, installing and deleting them
    merging.py    putting an adapter's weights into its base

Importing this package imports no torch.
"""

from kronos.models.adapters.adapter import AdapterFacts, read_facts
from kronos.models.adapters.registry import (
    adapter_path,
    adapters_folder,
    check_name,
    delete_adapter,
    install_adapter,
    installed,
    rolling_folder,
)

__all__ = [
    "AdapterFacts",
    "adapter_path",
    "adapters_folder",
    "check_name",
    "delete_adapter",
    "install_adapter",
    "installed",
    "read_facts",
    "rolling_folder",
]
