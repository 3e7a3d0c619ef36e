"""FRED, the economic data of the Federal Reserve Bank of St. Louis."""
