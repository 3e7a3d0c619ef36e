"""What signals need of a forecast, kept so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kronos.forecast import Forecast

__all__ = ["Outlook", "OutlookCache"]


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """A forecast as far as it decides a rank; log-returns of the close from the last close.

    Attributes:
        medians: (H,) median over the paths.
        low: Of the last bar, p10.
        high: Of the last bar, p90.
        probability_up: Share of paths that end above the last close.
    """

    medians: np.ndarray
    low: float
    high: float
    probability_up: float

    @classmethod
    def of(cls, forecast: Forecast) -> Outlook:
        """What a forecast says."""
        returns = forecast.log_returns()
        low, high = np.quantile(returns[:, -1], (0.10, 0.90)).tolist()
        return cls(np.median(returns, axis=0), low, high, float(forecast.probability_up()[-1]))


class OutlookCache:
    """Outlooks in a file of JSON lines, one for every request.

    Several processes may add to one file. A line that was cut off by a crash counts as not there.

    Args:
        folder: Where the file lies; made when there is something to keep.
        settings: What all requests of a run have in common: it names the file.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        text = json.dumps(dict(settings), sort_keys=True)
        self.path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
        self._lock = threading.Lock()
        self._found: dict[str, Outlook | None] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Outlook | None:
        return self._found[key]

    def add(self, outlooks: Mapping[str, Outlook | None]) -> None:
        """Keeps outlooks by the keys of their requests; None where there can be none."""
        lines = "".join(f"{json.dumps(_row(key, each))}\n" for key, each in outlooks.items())
        with self._lock:
            self._found.update(outlooks)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as opened:
                # In front of the lines, because the one before them may have been cut off.
                opened.write("\n" + lines)

    def _read(self, line: str) -> None:
        try:
            row = json.loads(line)
            outlook = row["outlook"]
            self._found[row["key"]] = outlook and Outlook(
                np.array(outlook["medians"], dtype=float),
                float(outlook["low"]),
                float(outlook["high"]),
                float(outlook["probability_up"]),
            )
        except (ValueError, TypeError, KeyError):
            return


def _row(key: str, outlook: Outlook | None) -> dict[str, Any]:
    facts = outlook and {
        "medians": outlook.medians.tolist(),
        "low": outlook.low,
        "high": outlook.high,
        "probability_up": outlook.probability_up,
    }
    return {"key": key, "outlook": facts}
