"""The Backtest page.

request.py   what one run asks for
controls.py  widgets in, a checked request out
work.py      the run: bars fetched, forecasts made, the portfolio followed
figure.py    equity and drawdown
view.py      the result on the page
"""
