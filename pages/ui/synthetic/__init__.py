"""The Synthetic page.

work.py      the run: series from the engine, and their comparison with the source
example.py   the finished series that the page opens with
figure.py    the series after their source, and the volatility clustering
view.py      widgets in, results out
"""
