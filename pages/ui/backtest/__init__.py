"""The Backtest page.

controls.py  widgets in, a checked request out
work.py      the request and the run: bars, forecasts, portfolio
example.py   the finished backtest that the page opens with
figure.py    equity and drawdown
view.py      the result on the page
"""
