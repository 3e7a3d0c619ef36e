"""The Backtest page.

controls.py  widgets in, a checked request out
work.py      the request and the run: bars, forecasts, portfolio
figure.py    equity and drawdown
view.py      the result on the page
"""
