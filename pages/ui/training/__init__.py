"""Training an adapter on one's own candles.

plan.py      series, settings, split and steps of a run before it starts
controls.py  the widgets that choose them
folder.py    a run on the disk: its bars, its plan and its log
lock.py      one training at a time on a machine
process.py   start, stop and resume
session.py   the run of this session
figure.py    split and curves
text.py      a run in words
view.py      the page
"""
