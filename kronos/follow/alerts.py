"""Alerts: rules on a probability, a level, or an outcome outside the band.

A rule on a probability or a level alerts when it begins to hold: at the first forecast, or where it
did not hold at the one before. An outcome outside the band alerts each time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.errors import InvalidRequest
from kronos.follow.figures import FanFigures
from kronos.forecast import Forecast
from kronos.risk import Estimate, share_of

__all__ = ["MAX_RULES", "OUTSIDE_BAND", "Alert", "AlertRule", "AlertState", "read_rules"]

OUTSIDE_BAND = "outside-band"
P_UP, CLOSE, P_TOUCH = "p_up", "close", "p_touch"
MAX_RULES = 20
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_RULE = re.compile(
    rf"(p_up|close|p_touch\((?P<level>{_NUMBER})\))(?P<sign>[<>])(?P<threshold>{_NUMBER})"
)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When to alert.

    Attributes:
        kind: p_up, p_touch, close or outside-band.
        above: Whether the value must be above the threshold, or below it.
        threshold: A probability, or the price for close; 0 for outside-band.
        level: Price of p_touch; None otherwise.
    """

    kind: str
    above: bool = True
    threshold: float = 0.0
    level: float | None = None

    @classmethod
    def parse(cls, text: str) -> AlertRule:
        """Read a rule: "p_up>0.6", "p_touch(110)>0.3", "close<100", or "outside-band".

        Raises:
            InvalidRequest: The text is no rule.
        """
        words = "".join(text.split()).casefold()
        if words == OUTSIDE_BAND:
            return cls(OUTSIDE_BAND)
        found = _RULE.fullmatch(words[:100])
        if found is None:
            raise InvalidRequest(
                "An alert must be such as p_up>0.6, p_touch(110)>0.3, close<100 or "
                f"{OUTSIDE_BAND}, found {text[:60]!r}."
            )
        kind = found[1].partition("(")[0]
        level = float(found["level"]) if found["level"] else None
        rule = cls(kind, found["sign"] == ">", float(found["threshold"]), level)
        if kind != CLOSE and not 0.0 <= rule.threshold <= 1.0:
            raise InvalidRequest(
                f"A probability of an alert must be from 0 to 1, found {text[:60]!r}."
            )
        if not all(math.isfinite(each) for each in (rule.threshold, level or 0.0)):
            raise InvalidRequest(f"An alert must have finite numbers, found {text[:60]!r}.")
        return rule

    @property
    def text(self) -> str:
        """The rule as `parse` reads it."""
        if self.kind == OUTSIDE_BAND:
            return OUTSIDE_BAND
        level = "" if self.level is None else f"({self.level:.12g})"
        return f"{self.kind}{level}{'>' if self.above else '<'}{self.threshold:.12g}"

    def value(self, figures: FanFigures, forecast: Forecast | None) -> Estimate | None:
        """The value that is compared, with its standard error: 0 for a close, which is known.

        Args:
            figures: Figures of the forecast.
            forecast: Its paths; None where they are gone.

        Returns:
            None where the rule needs the paths.
        """
        if self.kind == P_UP:
            return figures.p_up
        if self.level is None:
            return Estimate(figures.last_close, 0.0)
        if forecast is None:
            return None
        is_above = self.level >= forecast.last_close
        extremes = forecast.column("high" if is_above else "low")
        touched = extremes >= self.level if is_above else extremes <= self.level
        return share_of(np.any(touched, axis=1))

    def holds(self, value: float) -> bool:
        """Whether a value is beyond the threshold."""
        return value > self.threshold if self.above else value < self.threshold


@dataclass(frozen=True, slots=True)
class Alert:
    """What a rule found.

    Attributes:
        rule: The rule.
        origin: Time of the newest bar.
        threshold: Of the rule; for an outcome outside the band, the edge that was crossed.
        value: The probability or the close.
        error: Standard error of the value; of an outcome, that of the edge.
    """

    rule: AlertRule
    origin: pd.Timestamp
    threshold: float
    value: float
    error: float


class AlertState:
    """The rules of one line, and which of them hold.

    Args:
        rules: The rules.
    """

    def __init__(self, rules: Iterable[AlertRule] = ()) -> None:
        self.rules = tuple(rules)
        self._holding: set[AlertRule] = set()

    def check(
        self, figures: FanFigures, before: FanFigures | None, forecast: Forecast | None = None
    ) -> list[Alert]:
        """The alerts of a new forecast.

        Args:
            figures: Its figures.
            before: Figures of the one before it; None for the first.
            forecast: Its paths, which p_touch needs; None leaves such rules out.
        """
        found = []
        for rule in self.rules:
            if rule.kind == OUTSIDE_BAND:
                found += _outside(rule, figures, before)
                continue
            value = rule.value(figures, forecast)
            if value is None:
                continue
            if not rule.holds(value.value):
                self._holding.discard(rule)
            elif rule not in self._holding:
                self._holding.add(rule)
                found.append(Alert(rule, figures.origin, rule.threshold, value.value, value.error))
        return found


def read_rules(texts: Iterable[str]) -> tuple[AlertRule, ...]:
    """Rules of texts, each once.

    Raises:
        InvalidRequest: One is no rule, or there are too many.
    """
    rules = tuple(dict.fromkeys(AlertRule.parse(text) for text in texts))
    if len(rules) > MAX_RULES:
        raise InvalidRequest(f"At most {MAX_RULES} alerts can be set, found {len(rules)}.")
    return rules


def _outside(rule: AlertRule, after: FanFigures, before: FanFigures | None) -> list[Alert]:
    """The alert of a close outside the band that the forecast before had for its bar."""
    # After a bar that never came, the band of its neighbour says nothing.
    if before is None or after.origin != before.next_bar:
        return []
    close = after.last_close
    for edge, is_outside in (
        (before.next_low, close < before.next_low.value),
        (before.next_high, close > before.next_high.value),
    ):
        if is_outside:
            return [Alert(rule, after.origin, edge.value, close, edge.error)]
    return []
