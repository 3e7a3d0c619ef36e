"""The file of finished examples, which comes with the application.

`python -m benchmarks.examples` makes it with the bundled weights, whose revision it names.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kronos.system import asset_path, parse_json

__all__ = ["EXAMPLES", "MODEL", "SERIES", "mark", "read_examples"]

logger = logging.getLogger(__name__)
MODEL = "bundled"
EXAMPLES, SERIES = "examples.json", "example-series.safetensors"
"""Files below assets/bundled: facts and figures, and the synthetic series."""


def read_examples(revision: str) -> dict[str, Any] | None:
    """The examples; None where there are none of these weights.

    Args:
        revision: Revision of the bundled weights.
    """
    try:
        found = parse_json(Path(asset_path("bundled", EXAMPLES)).read_text(encoding="utf-8"))
        return dict(found) if found["revision"] == revision else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("The finished examples are left out: %s", error)
        return None


def mark(revision: str) -> str:
    """What an example is, in a line above it."""
    return (
        f"Below is a finished example: the bundled model (weights {revision[:8]}) on the bundled "
        "samples, with the settings that the page opens with."
    )
