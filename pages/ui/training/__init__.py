"""Training an adapter on one's own candles.

data.py      uploaded files and samples as series
plan.py      split, steps and sizes of a run, before it starts
controls.py  the widgets of both
folder.py    a run on the disk: its bars, what was asked for, its log
lock.py      one training at a time on a machine
process.py   starting, stopping and going on
text.py      what the page says of a run
figure.py    its curves
setup.py     the page before a run
view.py      the page of a run
outcome.py   the page of a run that has ended: keeping the adapter, and where to go with it
session.py   which run this session looks at
"""
