"""The Watchlist page.

controls.py  widgets in, a checked request out
saved.py     lists in the browser and in text files
session.py   the run of this session
work.py      the run: its request, its lines, bars and forecasts
figure.py    the small fan of a line
text.py      a run as a table and as files
view.py      the run on the page
"""
