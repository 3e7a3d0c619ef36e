"""How often earlier 80% bands of a kind of forecast have held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["FEWEST", "BandCount", "bands_of_kind"]

FEWEST = 30
"""Forecasts below which a share says too little to be shown."""


@dataclass(frozen=True, slots=True)
class BandCount:
    """Closes inside the 80% band, of forecasts with one kind of series.

    Attributes:
        model: Name of the model.
        version: Revision of its weights.
        asset_class: Asset class of the instruments; "" for all.
        interval: Width of a bar; "" for all.
        n_forecasts: Forecasts with an outcome.
        n_closes: Their closes that are known.
        n_inside: Those inside the 80% band.
    """

    model: str
    version: str
    asset_class: str
    interval: str
    n_forecasts: int
    n_closes: int
    n_inside: int

    @property
    def share(self) -> float:
        """Share of the closes inside."""
        return self.n_inside / self.n_closes


def bands_of_kind(
    records: Iterable[Sequence[BandCount]],
    model: str,
    version: str,
    asset_class: str,
    interval: str,
) -> tuple[int, BandCount] | None:
    """The count of the narrowest kind with at least `FEWEST` forecasts.

    Kinds are this bar width and asset class, this bar width, and all series, in this order; of
    each kind, the first record that has enough counts.

    Args:
        records: Counts of each record, the preferred one first.
        model: Name of the model.
        version: Revision of its weights: other weights are another model.
        asset_class: Asset class of the instrument.
        interval: Width of its bars.

    Returns:
        The place of the record among `records`, and the count; None where none has enough.
    """
    of_model = [
        [count for count in counts if (count.model, count.version) == (model, version)]
        for counts in records
    ]
    for kind, width in ((asset_class, interval), ("", interval), ("", "")):
        for place, counts in enumerate(of_model):
            part = [
                count
                for count in counts
                if kind in ("", count.asset_class) and width in ("", count.interval)
            ]
            n_forecasts, n_closes, n_inside = (
                sum(getattr(count, name) for count in part)
                for name in ("n_forecasts", "n_closes", "n_inside")
            )
            if n_forecasts >= FEWEST and n_closes:
                found = BandCount(model, version, kind, width, n_forecasts, n_closes, n_inside)
                return place, found
    return None
