"""How much a queue holds."""

from __future__ import annotations

from dataclasses import dataclass

from kronos.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a queue.

    Attributes:
        max_queued: Jobs of each priority that may wait beside those that run.
        max_results: Finished results kept, least recently used dropped first, and as many failed
            or cancelled jobs; beside those whose end an owner has yet to see.
        abandon_after: Seconds of silence after which an owner counts as gone.

    Raises:
        InvalidRequest: there is no room for even one job or result.
    """

    max_queued: int = 8
    max_results: int = 32
    abandon_after: float = 300.0

    def __post_init__(self) -> None:
        if self.max_queued < 1 or self.max_results < 1:
            raise InvalidRequest(
                "A queue needs room for at least one waiting job and one result, found "
                f"max_queued={self.max_queued} and max_results={self.max_results}."
            )
