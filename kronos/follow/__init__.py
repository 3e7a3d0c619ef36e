"""Forecasts that follow a market: made again when a bar closes, with what changed, and alerts.

clock.py     when the next bar closes, and when to look again where it does not come
figures.py   the figures of a forecast that are compared, and their change
alerts.py    rules such as "p_up>0.6", and what they find
follower.py  many lines, each by its own clock
"""

from kronos.follow.alerts import Alert, AlertRule, AlertState
from kronos.follow.clock import BarClock, next_close
from kronos.follow.figures import Change, FanFigures
from kronos.follow.follower import Fault, FetchedBars, Follower, FollowEvent, Known, Line, Made

__all__ = [
    "Alert",
    "AlertRule",
    "AlertState",
    "BarClock",
    "Change",
    "FanFigures",
    "Fault",
    "FetchedBars",
    "FollowEvent",
    "Follower",
    "Known",
    "Line",
    "Made",
    "next_close",
]
