"""Files that the page offers."""

from __future__ import annotations

from pages.ui import exports


def test_file_names_are_harmless(simulate):
    candles, forecast = simulate(symbol="../../etc/pass wd\n<x>")
    stem = exports.file_stem(candles, forecast)
    assert stem == "etc-pass-wd-x_30m_20190805T1800_24bars"
