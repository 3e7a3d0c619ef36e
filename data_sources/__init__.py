"""Where candles come from: files, bundled samples, and later vendors and exchanges."""
