"""The track-record page: what became of the forecasts that were kept."""
