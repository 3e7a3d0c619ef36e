"""The environment variable of the store, by which it can be switched off. Imports nothing heavy."""

from __future__ import annotations

import os

__all__ = ["OFF", "VARIABLE", "is_off"]

VARIABLE = "KRONOS_STORE"
"""Environment variable that names the store where no argument does."""
OFF = "off"
"""What the variable says where nothing is to be stored."""


def is_off() -> bool:
    """Whether the user wants nothing stored."""
    return os.environ.get(VARIABLE, "").strip().casefold() == OFF
