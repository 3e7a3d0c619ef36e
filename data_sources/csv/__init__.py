"""CSV files of candles in any layout."""
