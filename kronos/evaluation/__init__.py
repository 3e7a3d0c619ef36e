"""Scoring forecasts against what happened."""
