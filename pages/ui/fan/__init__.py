"""A forecast beside its chart: readouts, calibration, exports and runs side by side."""
