"""Kronos Fan: forecasts of candles as an honest fan of possible futures.

Start it with `streamlit run app.py`.
"""

from pages.ui.shell import build_shell

build_shell().run()
