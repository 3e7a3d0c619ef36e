"""How torch is brought into a process that also serves pages."""

from __future__ import annotations

import os

from kronos.collector import collector_paused

__all__ = ["prepare_torch"]


def prepare_torch() -> None:
    """Imports torch, with threads that sleep while they wait for one another.

    By default they spin, and on a machine whose processors also serve pages a step of
    milliseconds then takes seconds. OpenMP reads the setting once, when torch is loaded; one that
    the user has set is left alone.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with collector_paused():
        import torch  # noqa: F401
