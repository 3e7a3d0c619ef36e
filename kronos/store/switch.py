"""The environment variable that names the store or switches it off. Imports nothing heavy."""

from __future__ import annotations

import os

__all__ = ["OFF", "VARIABLE", "is_off"]

VARIABLE = "KRONOS_STORE"
"""Environment variable that names the store where no argument does."""
OFF = "off"
"""Value of the variable that switches the store off."""


def is_off() -> bool:
    """Whether the store is switched off."""
    return os.environ.get(VARIABLE, "").strip().casefold() == OFF
