"""Forecasts of all members for the same outcomes, in units of sigma * sqrt(h)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from kronos.calibration.record import issue_moments, usable_record
from kronos.calibration.state import bucket_of
from kronos.evaluation.scores import LEVELS, pinball
from kronos.models import cut_off
from kronos.models.registry import published
from kronos.store.record import read_quantiles

if TYPE_CHECKING:
    from kronos.store.store import Store

__all__ = ["MemberTable", "read_members", "recent_losses", "trailing_losses"]

RECENT = 200
"""Resolved outcomes over which a member's recent loss is averaged."""
_OF_STREAM = ["asset_class", "interval", "bucket"]

_WINDOW = ["instrument", "source", "interval", "origin", "horizon", "seed"]
_FACTS = [
    *("instrument", "source", "interval", "asset_class", "origin", "step", "timestamp", "scale"),
    *("zone", "event_day", "resolved_at"),
]


@dataclass(frozen=True, slots=True, eq=False)
class MemberTable:
    """Outcomes that all members forecast, a row for each window and step.

    Attributes:
        members: (M,) names.
        revisions: (M,) revisions of their weights.
        facts: instrument, source, interval, asset_class, origin, step, timestamp, scale, zone,
            event_day, resolved_at; issued, the earliest moment of the forecasts in nanoseconds;
            bucket.
        quantiles: (n, M, L) quantiles of the log-return over sigma * sqrt(h).
        outcomes: (n,) in the same units.
        levels: (L,) levels, ascending.
    """

    members: tuple[str, ...]
    revisions: tuple[str, ...]
    facts: pd.DataFrame
    quantiles: np.ndarray
    outcomes: np.ndarray
    levels: np.ndarray

    def __len__(self) -> int:
        return len(self.outcomes)

    def rows(self, wanted: np.ndarray) -> MemberTable:
        """The rows of a mask (n,)."""
        return MemberTable(
            self.members,
            self.revisions,
            self.facts[wanted].reset_index(drop=True),
            self.quantiles[wanted],
            self.outcomes[wanted],
            self.levels,
        )

    def made_by(self, share: float) -> pd.Timestamp:
        """The moment by which a share of the forecasts was made, UTC."""
        issued = self.facts["issued"].to_numpy()
        return pd.Timestamp(int(np.quantile(issued, share)), unit="ns", tz="UTC")

    def losses(self) -> np.ndarray:
        """(n, M) pinball loss of every member, the mean over the levels."""
        errors = self.outcomes[:, None, None] - self.quantiles
        return np.asarray(pinball(errors, self.levels).mean(axis=-1))


def read_members(store: Store, members: Sequence[tuple[str, str]]) -> MemberTable:
    """The outcomes of a store that every member forecast from the same origin.

    Args:
        store: What to read.
        members: Name and revision of each.

    Raises:
        StoreError: The store cannot be used.
    """
    record = usable_record(store, cut_off)
    keys = [*_WINDOW, "step"]
    joined: pd.DataFrame | None = None
    parts = []
    for place, (name, revision) in enumerate(members):
        known = published(name)
        stored = name if known is None else known.title
        part = record[(record["model"] == stored) & (record["version"] == revision)]
        part = part.drop_duplicates(keys).reset_index(drop=True)
        parts.append(part)
        found = part[keys].assign(**{str(place): part.index})
        joined = found if joined is None else joined.merge(found, on=keys)
    assert joined is not None
    chosen = [part.iloc[joined[str(place)]] for place, part in enumerate(parts)]
    first = chosen[0].reset_index(drop=True)
    facts = first[_FACTS].copy()
    facts["issued"] = issue_moments(first)
    facts["bucket"] = bucket_of(first["step"].to_numpy())
    scale = first["scale"].to_numpy()
    return MemberTable(
        members=tuple(name for name, _ in members),
        revisions=tuple(revision for _, revision in members),
        facts=facts,
        quantiles=np.stack([read_quantiles(store, rows) for rows in chosen], axis=1)
        / scale[:, None, None],
        outcomes=first["actual_return"].to_numpy() / scale,
        levels=np.array(LEVELS),
    )


def trailing_losses(table: MemberTable) -> np.ndarray:
    """(n, M) mean recent loss of every member when each forecast was made; NaN without any.

    Only outcomes resolved by then count.
    """
    losses = table.losses()
    found = np.full(losses.shape, np.nan)
    resolved = table.facts["resolved_at"].to_numpy(dtype="datetime64[ns]").astype("int64")
    issued = table.facts["issued"].to_numpy()
    for _, rows in table.facts.groupby(_OF_STREAM).indices.items():
        order = rows[np.argsort(resolved[rows], kind="stable")]
        sums = np.concatenate([np.zeros((1, losses.shape[1])), np.cumsum(losses[order], axis=0)])
        ends = np.searchsorted(resolved[order], issued[rows], side="right")
        begins = np.maximum(ends - RECENT, 0)
        known = ends > 0
        counts = (ends - begins)[known, None]
        found[rows[known]] = (sums[ends[known]] - sums[begins[known]]) / counts
    return found


def recent_losses(table: MemberTable) -> dict[tuple[str, str, int], list[float]]:
    """Mean recent loss of every member after all outcomes, by stream."""
    losses = table.losses()
    ordered = table.facts.reset_index(drop=True).sort_values("resolved_at", kind="stable")
    groups = cast(Iterable[tuple[tuple[str, str, int], pd.DataFrame]], ordered.groupby(_OF_STREAM))
    return {
        (name, interval, int(bucket)): losses[rows.index[-RECENT:]].mean(axis=0).tolist()
        for (name, interval, bucket), rows in groups
    }
