"""Fans corrected by the record of their model.

    state.py     offsets and drift of every stream of forecasts, as a file
    fan.py       a forecast corrected by them, and what a page says of it
    record.py    outcomes from the store of forecasts
    tracker.py   offsets learned from outcomes
    drift.py     how much of a fan's drift to keep, learned likewise

The first two apply what the others have learned, and know nothing of the store. The reasons are in
docs/adr/0016-calibration.md. Importing this package imports no database library.
"""

from __future__ import annotations

from kronos.calibration.fan import CalibrationStatus, calibrate, calibration_status, drift_words
from kronos.calibration.state import CalibrationState, load_state

__all__ = [
    "CalibrationState",
    "CalibrationStatus",
    "calibrate",
    "calibration_status",
    "drift_words",
    "load_state",
]
