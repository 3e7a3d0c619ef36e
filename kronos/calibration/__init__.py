"""Fans corrected by their own record.

    streams.py   which outcomes are tracked together
    tracker.py   the online quantile tracker of one stream
    replay.py    outcomes through the trackers, in the order in which they resolved
    record.py    what the store knows, as such outcomes
    state.py     what has been learned, as a file
    moving.py    paths moved to the corrected quantiles
    fan.py       a forecast corrected, and what is to be said of it

Why it is built this way is told in docs/adr/0016-calibration.md. Importing this package imports
no database library; reading the store's record does.
"""

from __future__ import annotations

from kronos.calibration.fan import Standing, calibrate, standing
from kronos.calibration.state import CalibrationState, load_state

__all__ = ["CalibrationState", "Standing", "calibrate", "load_state", "standing"]
