"""Walk-forward evaluation: many origins in the past, each forecast as if it were the present.

plan.py      series, and which of their bars are origins
stored.py    which windows are in the store already
windows.py   what the engine is asked: many windows of one model in one request
run.py       doing it: forecast, score, store, chunk by chunk
files.py     series of a folder of candle files
"""

from __future__ import annotations

from kronos.walk_forward.plan import Series, WalkPlan, choose_origins
from kronos.walk_forward.run import WalkReport, walk_forward

__all__ = ["Series", "WalkPlan", "WalkReport", "choose_origins", "walk_forward"]
