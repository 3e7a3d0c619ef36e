"""Training an adapter on one's own candles.

plan.py      series, settings, split and steps of a run before it starts
controls.py  the widgets that choose them
folder.py    a run on the disk: its bars, its plan and its log
process.py   the process that trains: start, stop, resume, one at a time
session.py   the run of this session
figure.py    split and curves
text.py      a run in words
view.py      the page
"""
