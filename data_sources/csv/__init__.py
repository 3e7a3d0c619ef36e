"""CSV files of candles, whatever their layout."""
