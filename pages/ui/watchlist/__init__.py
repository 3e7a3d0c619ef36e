"""The watchlist: many instruments in one run."""
