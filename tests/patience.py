"""Waiting for other threads and processes without a fixed pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(look: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `look` finds once that is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.005)
    return found
