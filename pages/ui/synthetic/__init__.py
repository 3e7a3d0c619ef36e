"""The Synthetic page.

work.py      the run: series made by the engine, and compared with their source
figure.py    the series behind their source, and the memory of their moves
view.py      widgets in, results out
"""
