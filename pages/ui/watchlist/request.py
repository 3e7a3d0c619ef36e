"""What one run of a watchlist asks for, checked again on the server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from kronos.errors import InvalidRequest
from kronos.forecast import SamplingParameters
from pages.ui.inputs.instruments import MAX_SYMBOLS, Entry
from pages.ui.jobs.settings import require_size


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """One batched run.

    Attributes:
        entries: What is forecast, in the order of the table.
        source: Name of the source of the symbols.
        model: Name of the model, as for `kronos.models.load`.
        revision: Revision of the model's weights.
        horizon: Number of bars ahead.
        sampling: How futures are drawn.
        own_events: Digest of the visitor's own events; "" without any.

    Raises:
        InvalidRequest: There is nothing to forecast, too much of it, or a setting is out of
            range.
    """

    entries: tuple[Entry, ...]
    source: str
    model: str
    revision: str
    horizon: int
    sampling: SamplingParameters
    own_events: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.entries) <= MAX_SYMBOLS:
            raise InvalidRequest(
                f"A watchlist has 1 to {MAX_SYMBOLS} lines, found {len(self.entries)}."
            )
        require_size(self.horizon, self.sampling)

    @property
    def key(self) -> str:
        """SHA-256 of everything asked for; files by their content."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
