"""What a visitor chooses: candles, events, model and sampling."""
