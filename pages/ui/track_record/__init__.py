"""The Track record page.

controls.py  the filters
record.py    the record of the store, read in the background
study.py     the figures of a part of it
walks.py     a walk-forward test of the bundled samples
figure.py    charts
text.py      sentences and tables
view.py      the record on the page
"""
