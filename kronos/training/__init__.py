"""Training tokenizer and model on folders of candle files."""
