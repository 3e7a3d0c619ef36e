"""Gates: attacks and soaks with a verdict. `python -m benchmarks.gates.NAME`, --quick for a trial.

Each prints what it tried, its failures, the largest time and memory, and the revision, and exits
with 1 on a failure. docs/reliability.md has the figures.
"""

from __future__ import annotations

import os

_FOLDERS = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME")


def own_home(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Variables of a user who has nothing: no adapter, record or model of this machine.

    Args:
        folder: Where everything is kept that the user gets.
    """
    return {**dict.fromkeys(_FOLDERS, os.fspath(folder)), "HF_HUB_OFFLINE": "1"}
