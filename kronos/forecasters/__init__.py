"""Forecasters: candles in, a forecast out; Kronos, baselines and Chronos-2."""
