"""What one backtest asks for, checked again on the server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from kronos.errors import InvalidRequest
from kronos.portfolio.backtest import Plan
from pages.ui.inputs.instruments import MAX_SYMBOLS, Entry
from pages.ui.jobs.settings import require_size


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """One backtest.

    Attributes:
        entries: The universe.
        source: Name of the source of the symbols.
        plan: What is tried.
        revision: Revision of the model's weights.
        limit: Daily price limit as a share; None where there is none.

    Raises:
        InvalidRequest: The universe is empty or too large, or a setting is out of range.
    """

    entries: tuple[Entry, ...]
    source: str
    plan: Plan
    revision: str
    limit: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.entries) <= MAX_SYMBOLS:
            raise InvalidRequest(
                f"A universe has 1 to {MAX_SYMBOLS} instruments here, found {len(self.entries)}."
            )
        require_size(self.plan.horizon, self.plan.sampling)

    @property
    def key(self) -> str:
        """SHA-256 of everything asked for; files by their content."""
        facts = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(facts.encode()).hexdigest()
