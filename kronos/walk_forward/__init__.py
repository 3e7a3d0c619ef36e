"""Walk-forward evaluation: many origins in the past, each forecast as if it were the present.

plan.py   series, which of their bars are origins, and the request of each
run.py    forecast, score and store, chunk by chunk; windows in the store are left out
"""

from __future__ import annotations

from kronos.walk_forward.plan import Series, WalkPlan, choose_origins
from kronos.walk_forward.run import WalkReport, walk_forward

__all__ = ["Series", "WalkPlan", "WalkReport", "choose_origins", "walk_forward"]
