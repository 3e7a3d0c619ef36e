"""Stores the closes that the bundled model forecasts: `python -m kronos.self_test`."""

from kronos.self_test.expected import store_expected

store_expected()
