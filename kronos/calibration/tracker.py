"""The online quantile tracker: one stream's offsets, corrected whenever outcomes resolve.

The quantile of a level is moved to q + theta * sigma * sqrt(h), sigma being the EWMA volatility at
the origin. When an outcome y resolves,

    theta += eta * (level - 1[y <= q + theta_issued * sigma * sqrt(h)])

with the theta that was in force when the forecast was made: what is corrected is the fan that was
shown. The sum of these errors is (theta - theta at the start) / eta, so that as long as theta stays
bounded the share of outcomes below the shown quantile tends to the level, whatever the outcomes do
(Gibbs and Candes 2021; Angelopoulos, Candes and Tibshirani 2023).

A correction has two parts: what a level and its mirror image, such as p10 and p90, do alike moves
the fan, the rest widens or narrows it. How wide a fan should be outlasts the weeks it was learned
in; where markets went in them hardly does. So the first part is taken at a quarter of the pace,
which leaves the argument above as it is, with another eta for it.
"""

from __future__ import annotations

import numpy as np

from kronos.errors import InvalidRequest

__all__ = ["ETA", "LOCATION", "WARM", "WARM_DAYS", "QuantileTracker"]

ETA = 0.02
"""Step of a correction, in units of sigma * sqrt(h)."""
LOCATION = 0.25
"""Pace at which a fan is moved, as a share of that at which it is widened."""
WARM = 200
"""Fewest forecasts of the burn-in, from which the first offsets are taken at once."""
WARM_DAYS = 20
"""Fewest days on which they were made: however many instruments, one day is one day's evidence."""
_DAYS_OF_DOUBT = 50


class QuantileTracker:
    """Offsets of one stream over time. Pure: the same outcomes give the same offsets.

    Outcomes that resolve at the same moment enter together by the mean of their errors. They share
    the market's move of that moment and are seldom independent; one by one, fifty instruments that
    fall together would move theta fifty times for one fall.

    The outcomes of the first forecasts are the burn-in: there are no offsets until it ends, and the
    first ones are the split-conformal quantiles of its scores (y - q) / (sigma * sqrt(h)), drawn
    towards 0 as far as its days leave room for chance: by n / (n + 50) after n days. A quantile of
    n independent scores has a variance of level * (1 - level) / (density^2 n), about 3 / n at p10
    of a normal; offsets of models in use have one of about .06, and 3 / .06 is 50. Of the first
    offsets too, what moves the fan counts a quarter.

    Attributes:
        levels: (L,) levels, ascending, each with its mirror image.
        n_outcomes: Outcomes that have entered.
    """

    def __init__(
        self,
        levels: np.ndarray,
        *,
        eta: float = ETA,
        location: float = LOCATION,
        warm: int = WARM,
        warm_days: int = WARM_DAYS,
        start: tuple[np.ndarray, int, int] | None = None,
    ) -> None:
        """Args:
        levels: (L,) levels in (0, 1), ascending; with each l there is 1 - l.
        eta: Step of a correction.
        location: Pace at which the fan is moved, as a share of that at which it is widened.
        warm: Fewest forecasts of the burn-in.
        warm_days: Fewest days on which these were made.
        start: Offsets (L,) of an earlier record, the moment they hold from and the number of
            outcomes they were learned from; there is no burn-in then.

        Raises:
            InvalidRequest: A level has no mirror image.
        """
        self.levels = np.asarray(levels, dtype=float)
        if not np.allclose(self.levels + self.levels[::-1], 1.0):
            raise InvalidRequest(
                "Levels must lie the same way below and above the median, such as 0.1, 0.5 and "
                f"0.9; found {', '.join(map(str, self.levels))}."
            )
        self.n_outcomes = 0 if start is None else start[2]
        self._eta, self._location = eta, location
        self._warm, self._warm_days = warm, warm_days
        self._burn_in: list[np.ndarray] = []
        self._burnt: set[int] = set()
        self._burnt_on: set[int] = set()
        self._moments: list[int] = [] if start is None else [start[1]]
        self._offsets: list[np.ndarray] = [] if start is None else [np.array(start[0], float)]
        self._latest = -(2**63) if start is None else start[1]

    @property
    def is_warm(self) -> bool:
        """Whether there are offsets."""
        return bool(self._offsets)

    @property
    def latest(self) -> int:
        """The last moment at which outcomes entered."""
        return self._latest

    @property
    def offsets(self) -> np.ndarray:
        """(L,) offsets as they stand; NaN before the end of the burn-in."""
        return self._offsets[-1] if self._offsets else np.full(len(self.levels), np.nan)

    def resolve(
        self,
        moment: int,
        issued: np.ndarray,
        scores: np.ndarray,
        forecasts: np.ndarray,
        days: np.ndarray,
    ) -> None:
        """Enters the outcomes that resolve at one moment.

        Args:
            moment: When, as a number that grows with time, such as nanoseconds.
            issued: (K,) when their forecasts were made, before `moment`.
            scores: (K, L) (y - q) / (sigma * sqrt(h)) of the raw quantiles.
            forecasts: (K,) numbers of the forecasts: steps of one share theirs.
            days: (K,) numbers of the days on which they were made.

        Raises:
            InvalidRequest: The moment is not after the one before, or a forecast is not before it.
        """
        if moment <= self._latest:
            raise InvalidRequest("Outcomes enter in the order in which they resolve.")
        if (np.asarray(issued) >= moment).any():
            raise InvalidRequest("A forecast is made before its outcome resolves.")
        self._latest = moment
        self.n_outcomes += len(scores)
        if not self.is_warm:
            self._burn_in.append(np.asarray(scores, dtype=float))
            self._burnt.update(np.asarray(forecasts).tolist())
            self._burnt_on.update(np.asarray(days).tolist())
            if len(self._burnt) >= self._warm and len(self._burnt_on) >= self._warm_days:
                found = _conformal(np.concatenate(self._burn_in), self.levels)
                self._keep(moment, _trust(len(self._burnt_on)) * self._tempered(found))
                self._burn_in.clear()
            return
        # A fan from before the end of the burn-in had no offsets; the first ones stand for them.
        places = np.searchsorted(self._moments, issued, side="right") - 1
        in_force = np.stack([self._offsets[place] for place in np.maximum(places, 0)])
        errors = self.levels - (scores <= in_force)
        self._keep(moment, self.offsets + self._eta * self._tempered(errors.mean(axis=0)))

    def offsets_at(self, moments: np.ndarray) -> np.ndarray:
        """(M, L) offsets in force at some moments: of what had resolved by then; else NaN."""
        places = np.searchsorted(self._moments, moments, side="right") - 1
        found = np.full((len(places), len(self.levels)), np.nan)
        for i in np.flatnonzero(places >= 0):
            found[i] = self._offsets[places[i]]
        return found

    def _tempered(self, change: np.ndarray) -> np.ndarray:
        """A change of offsets (L,), of which what moves the whole fan counts less."""
        mirrored = change[::-1]
        return np.asarray((change - mirrored) / 2 + self._location * (change + mirrored) / 2)

    def _keep(self, moment: int, offsets: np.ndarray) -> None:
        self._moments.append(moment)
        self._offsets.append(offsets)


def _trust(n_days: int) -> float:
    """How far scores of some days are believed, from 0 to 1."""
    return n_days / (n_days + _DAYS_OF_DOUBT)


def _conformal(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(L,) the k-th smallest of n scores (n, L) of every level, k = level * (n + 1)."""
    each = zip(scores.T, levels, strict=True)
    return np.array([np.quantile(column, level, method="weibull") for column, level in each])
