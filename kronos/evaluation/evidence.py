"""Evidence that one forecaster is better than another, valid at every look at a record that grows.

A confidence interval holds for one look: whoever looks every day until 0 is outside of it always
sees that day. An e-process is the capital of a gambler who starts with 1 and bets that the
forecaster is better. If it is not, the capital ever reaches 20 with a probability of at most 1/20
(Ville's inequality), however often it is looked at. Sources: Choe and Ramdas, "Comparing sequential
forecasters" (2024); Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting" (2024).

**The score** is the CRPS of the stored quantiles, over the volatility at the origin. Between two
forecasts that are known, its difference is bounded whatever happens, by a number that is known at
the origin. Nothing has to be clipped, so a rare large loss counts in full.

**One bet per block.** Forecasts of one date, and those whose bars overlap, depend on one another.
Outcomes are gathered in blocks: one begins with the first origin at which all outcomes of the
block before are known, lasts as long as the longest forecast so far, and holds every outcome whose
origin and bar both lie within it. The others are left out. A bet is made when a block begins and
settled when it ends.

**The bet** on a forecast is sized when it is made: a stake times the difference of the scores, as a
share of the largest sum of bounds that any of the last blocks had. Forecasts of a block are bet on
in their order until everything is at risk. So the capital never falls below 0, and nothing about a
bet depends on an outcome that is not known when the forecast is made.

**The null hypothesis** is that the expected gain, given what is known at the origins, is not above
0 in the mean over the blocks so far. A gambler with a constant stake f has the capital
`prod(1 + f x)`, which is below `exp(f sum(E x))` times a martingale that starts at 1. The capital
here is the mean over several stakes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.calendars.intervals import interval_width
from kronos.evaluation.scores import crps_of_errors, level_weights
from kronos.evaluation.track_record import PAIRED

__all__ = [
    "ENOUGH",
    "STAKES",
    "Evidence",
    "blocks_of_time",
    "evidence",
    "log_capital",
    "paired_gains",
    "quantile_gains",
]

ENOUGH = 20.0
"""Capital at which a claim is made: at most 1 false claim in 20 records, however often watched."""
STAKES = (0.1, 0.3, 1.0, 3.0)
"""Shares of the capital that are at risk in a block whose bounds are as large as the last blocks'
largest; never more than all of it. The gambler starts with a part for each."""
_LAST = 10
"""Blocks whose sums of bounds set the size of the bets."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """E-processes of a comparison, one for each direction.

    Attributes:
        times: (n,) ends of the blocks, UTC, ascending.
        better: (n,) logarithm of the capital that bet on fewer losses, after each block.
        worse: (n,) likewise on more losses.
        n_used: Outcomes in the blocks.
        n_outcomes: Outcomes that both have forecast.
    """

    times: pd.DatetimeIndex
    better: np.ndarray
    worse: np.ndarray
    n_used: int
    n_outcomes: int

    @property
    def e_value(self) -> float:
        """Capital that bet on fewer losses, now."""
        return _capital(self.better)

    @property
    def e_value_worse(self) -> float:
        """Capital that bet on more losses, now."""
        return _capital(self.worse)

    @property
    def claim(self) -> str:
        """ "better" or "worse" where that capital has ever reached `ENOUGH`, else ""."""
        found = {name: self._first(name) for name in ("better", "worse")}
        if found["better"] is not None and found["worse"] is not None:
            # Less than one record in 20 shows both, and then at most one of them is wrong.
            return "better" if self.e_value >= self.e_value_worse else "worse"
        return next((name for name, place in found.items() if place is not None), "")

    @property
    def since(self) -> pd.Timestamp | None:
        """End of the block after which the claim was made; None without a claim."""
        place = self._first(self.claim) if self.claim else None
        return None if place is None else self.times[place]

    def _first(self, name: str) -> int | None:
        reached = np.flatnonzero(getattr(self, name) >= np.log(ENOUGH))
        return int(reached[0]) if len(reached) else None


def evidence(pairs: pd.DataFrame) -> Evidence:
    """E-processes of the outcomes that two forecasters share.

    Args:
        pairs: A row for every outcome: begin (moment at which the forecast could be made), end
            (moment at which the outcome was known), gain and bound as of `quantile_gains`.
    """
    pairs = pairs[np.isfinite(pairs["gain"]) & np.isfinite(pairs["bound"])]
    begin, end = (pairs[name].to_numpy("datetime64[ns]") for name in ("begin", "end"))
    block = blocks_of_time(begin, end)
    used = np.flatnonzero(block >= 0)
    used = used[np.argsort(begin[used], kind="stable")]
    block, gain = block[used], pairs["gain"].to_numpy()[used]
    bound = pairs["bound"].to_numpy()[used]
    # Rounding may leave a loss a trifle above its bound.
    gain = np.clip(gain, -bound, bound)
    is_first = begin[used] == pd.Series(begin[used]).groupby(block).transform("min").to_numpy()
    sizes = _sizes(bound, block, is_first)
    times = pd.Series(end[used]).groupby(block).max()
    return Evidence(
        pd.DatetimeIndex(times.to_numpy()).tz_localize("UTC"),
        log_capital(gain, bound, block, sizes),
        log_capital(-gain, bound, block, sizes),
        len(used),
        len(pairs),
    )


def log_capital(
    gain: np.ndarray, bound: np.ndarray, block: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """(B,) logarithms of the capital after each block, of one that starts with a capital of 1.

    Args:
        gain: (n,) gains, by block and, within one, in the order in which the forecasts were made.
        bound: (n,) largest sizes of the gains.
        block: (n,) blocks, 0 to B - 1.
        sizes: (B,) what the bets of a block are shares of.
    """
    size = sizes[block]
    starts = np.searchsorted(block, np.arange(len(sizes)))
    total = np.cumsum(bound)
    before = total - bound - (total - bound)[starts][block] if len(block) else total
    parts = []
    for stake in STAKES:
        # Everything is at risk once the bounds of the bets add up to the size over the stake.
        room = np.maximum(size / stake - before, 0.0)
        share = np.divide(room, bound, out=np.zeros(len(bound)), where=bound > 0).clip(0.0, 1.0)
        won = np.bincount(block, gain * share, len(sizes))
        won = np.divide(stake * won, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
        with np.errstate(divide="ignore"):
            parts.append(np.cumsum(np.log1p(np.maximum(won, -1.0))))
    return np.asarray(np.logaddexp.reduce(parts, axis=0) - np.log(len(STAKES)))


def _sizes(bound: np.ndarray, block: np.ndarray, is_first: np.ndarray) -> np.ndarray:
    """(B,) the largest sum of bounds of the blocks before; of the first, that of its first moment.

    What was forecast by the time a block begins decides it.
    """
    n = int(block[-1]) + 1 if len(block) else 0
    sums = np.bincount(block, bound, n)
    opening = np.bincount(block, bound * is_first, n)
    return np.array(
        [sums[max(0, i - _LAST) : i].max(initial=0.0) or opening[i] for i in range(n)], dtype=float
    )


def blocks_of_time(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Block of every outcome, -1 for those in none; see the module.

    Args:
        begin: (n,) moments at which the forecasts could be made, datetime64.
        end: (n,) moments at which the outcomes were known.
    """
    block = np.full(len(begin), -1)
    order = np.argsort(begin, kind="stable")
    starts, ends = begin[order], end[order]
    longest = np.maximum.accumulate(ends - starts)
    first, n_blocks = 0, 0
    while first < len(starts):
        # The forecasts of one moment are made together.
        same = int(np.searchsorted(starts, starts[first], "right"))
        until = starts[first] + longest[same - 1]
        after = int(np.searchsorted(starts, until, "left"))
        inside = np.arange(first, after)[ends[first:after] <= until]
        block[order[inside]] = n_blocks
        first, n_blocks = after, n_blocks + 1
    return block


def quantile_gains(
    actual: np.ndarray, ours: np.ndarray, theirs: np.ndarray, levels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much less one forecast lost than another, and the most it could gain or lose.

    Args:
        actual: (n,) outcomes.
        ours: (n, L) quantiles of the one.
        theirs: (n, L) quantiles of the other.
        levels: (L,) their levels.

    Returns:
        (n,) CRPS of the quantiles of the other less that of the one, and (n,) the largest size of
        this difference over all outcomes, both in units of the outcomes.
    """
    gain = crps_of_errors(actual[:, None] - theirs, levels) - crps_of_errors(
        actual[:, None] - ours, levels
    )
    # The difference is constant below all quantiles and linear between them: its slope is twice
    # the weight of our quantiles below less that of theirs.
    weights = level_weights(levels)
    kinks = np.concatenate([ours, theirs], axis=1)
    order = np.argsort(kinks, axis=1)
    kinks = np.take_along_axis(kinks, order, axis=1)
    steps = np.concatenate([weights, -weights])[order]
    below = 2.0 * (ours - theirs) @ (weights * (1.0 - levels))
    rises = 2.0 * np.cumsum(steps, axis=1)[:, :-1] * np.diff(kinks, axis=1)
    at_kinks = below[:, None] + np.cumsum(rises, axis=1)
    bound = np.maximum(np.abs(below), np.abs(at_kinks).max(axis=1))
    return gain, bound


def paired_gains(
    record: pd.DataFrame,
    quantiles: np.ndarray,
    other: pd.DataFrame,
    other_quantiles: np.ndarray,
    levels: np.ndarray,
) -> pd.DataFrame:
    """The rows for `evidence` wherever two records have an instrument, origin and step.

    Where a window was forecast several times, the forecast that was stored first counts.

    Args:
        record: Rows of `kronos.store.record.read_record`: forecasts of the model.
        quantiles: (rows, L) their quantiles, log-returns from the origin.
        other: Forecasts of its rival.
        other_quantiles: (rows of other, L).
        levels: (L,).

    Returns:
        Columns begin, end, gain and bound, the last two over the volatility at the origin.
    """
    ours, theirs = _first_stored(record), _first_stored(other)
    both = ours.merge(theirs[[*PAIRED, "row"]], on=list(PAIRED), suffixes=("", "_other"))
    gain, bound = quantile_gains(
        both["actual_return"].to_numpy(),
        quantiles[both["row"].to_numpy()],
        other_quantiles[both["row_other"].to_numpy()],
        levels,
    )
    # Of an empty record the widths would be text.
    known = {name: interval_width(name) for name in both["interval"].unique()}
    widths = pd.to_timedelta(both["interval"].map(known))
    found = pd.DataFrame(
        {
            "begin": both["origin"] + widths,
            "end": both["timestamp"] + widths,
            "gain": gain / both["scale"],
            "bound": bound / both["scale"],
        }
    )
    for name in ("begin", "end"):
        found[name] = found[name].dt.tz_convert("UTC").dt.tz_localize(None)
    return found


def _first_stored(record: pd.DataFrame) -> pd.DataFrame:
    table = record.reset_index(drop=True).rename_axis("row").reset_index()
    table = table[(table["scale"] > 0) & table["actual_return"].notna()]
    columns = ["row", *PAIRED, "timestamp", "actual_return", "scale", "created_at"]
    table = table[columns].sort_values("created_at", kind="stable")
    return table.drop_duplicates(list(PAIRED))


def _capital(logarithms: np.ndarray) -> float:
    return float(np.exp(min(logarithms[-1], 700.0))) if len(logarithms) else 1.0
