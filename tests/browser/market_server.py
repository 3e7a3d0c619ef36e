"""The application with its sources of market data pointed at loopback markets.

`python -m tests.browser.market_server --markets URL -- OPTIONS` serves like
`streamlit run app.py OPTIONS`. Yahoo and Binance are the real clients; only where they send their
requests differs. The markets keep the real time (`LoopbackMarkets(now=None)`). The fixture
`market_server` starts both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def point_sources_at(url: str) -> None:
    """From now on `open_source` gives sources that ask the loopback markets."""
    from data_sources.exchange.source import Exchange
    from data_sources.registry import register_source
    from data_sources.yahoo.source import Yahoo
    from tests.loopback_markets import redirect, yahoo_session

    register_source("yahoo", lambda: Yahoo(yahoo_session(url)))
    register_source("binance", lambda: Exchange("binance", configure=redirect(url)))


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="The application with loopback markets.")
    parser.add_argument("--markets", required=True, metavar="URL")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="of streamlit run, after --")
    args = parser.parse_args()
    point_sources_at(args.markets)
    from streamlit.web import cli

    cli.main(["run", str(ROOT / "app.py"), *args.options], prog_name="streamlit")


if __name__ == "__main__":
    main()
