"""Sources of candles: CSV files, bundled samples, Yahoo Finance, exchanges, FRED."""
