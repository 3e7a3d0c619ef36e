"""The Forecasts page.

controls.py  the filters, and the forecast that is open
text.py      the list as a table
view.py      the list on the page, and a forecast with its outcome
"""
