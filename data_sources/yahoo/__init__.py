"""Yahoo Finance: bars, symbols and earnings dates."""
