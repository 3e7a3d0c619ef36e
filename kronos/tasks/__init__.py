"""The published tasks of Kronos, with the published settings, beside naive rivals.

windows.py      origins that instruments share, and the paths drawn there
direction.py    rank correlation of price and return
volatility.py   realised volatility: one path, and QLIKE of many, against EWMA, GARCH and HAR
series.py       synthetic series: a discriminator, and training on synthetic data
report.py       all tasks, the published figures, table and JSON

Settings are those of arXiv 2508.02739. It states no exact formula for several measures; the
docstrings here say what is computed.
"""
