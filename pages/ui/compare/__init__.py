"""The Compare page: several models on the same candles."""
