"""Several models on the same candles."""
