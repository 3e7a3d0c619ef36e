"""The windows of a walk, and the requests for their forecasts."""

from __future__ import annotations

from dataclasses import dataclass

from kronos.candles import Candles
from kronos.evaluation.cone import VOLATILITY_BARS
from kronos.events import event_inputs, load_events
from kronos.request import ForecastRequest, ModelFacts
from kronos.walk_forward.plan import Series, WalkPlan

__all__ = ["Window"]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One origin in one series.

    Attributes:
        series: The series.
        position: Of the last bar that is known.
    """

    series: Series
    position: int

    @property
    def recent(self) -> Candles:
        """The last bars up to the origin, as many as the store reads for its volatility."""
        stop = self.position + 1
        return self.series.candles.slice(max(0, stop - VOLATILITY_BARS - 1), stop)

    def request(self, facts: ModelFacts, plan: WalkPlan) -> ForecastRequest:
        """The request for its forecast, with the events of this machine's tables.

        Raises:
            KronosError: The candles cannot be used.
        """
        candles = self.series.candles
        events = event_inputs(load_events(), candles) if facts.reads_events else None
        return ForecastRequest.of_candles(
            candles,
            facts,
            origin=self.position,
            horizon=plan.horizon,
            sampling=plan.sampling,
            lookback=plan.lookback,
            events=events,
        )
