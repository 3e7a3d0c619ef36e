"""What pages show of a forecast beside its chart: readouts, exports, calibration."""
