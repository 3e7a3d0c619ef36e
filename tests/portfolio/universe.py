"""Universes made of numbers, for the laws of a backtest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.forecast import COLUMNS


def made(
    n_instruments: int = 6, n_bars: int = 120, *, seed: int = 0, has_volume: bool = True
) -> dict[str, Candles]:
    """Daily bars of instruments that are traded every day of the week."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2024-01-01", periods=n_bars, tz="UTC", name="timestamp")
    found = {}
    for i in range(n_instruments):
        closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, n_bars)))
        opens = np.concatenate([[100.0], closes[:-1]]) * np.exp(rng.normal(0.0, 0.005, n_bars))
        high, low = np.maximum(opens, closes) * 1.004, np.minimum(opens, closes) * 0.996
        volume = rng.lognormal(3.0, 0.4, n_bars) * has_volume
        values = np.stack([opens, high, low, closes, volume, volume * closes], axis=1)
        found[f"S{i}"] = of(pd.DataFrame(values, index, list(COLUMNS)), f"S{i}")
    return found


def of(frame: pd.DataFrame, symbol: str) -> Candles:
    """Daily candles of a frame."""
    return Candles(frame, "1d", "UTC", "24/7", symbol, "made of numbers")


def changed_after(candles: Candles, n_before: int, factor: float = 1.7) -> Candles:
    """The same bars up to a position, and others behind it."""
    frame = candles.frame.copy()
    frame.iloc[n_before:] *= factor
    return of(frame, candles.symbol)


def without(candles: Candles, bars: slice) -> Candles:
    """The bars without some of them."""
    return of(candles.frame.drop(candles.frame.index[bars]), candles.symbol)


def untraded(candles: Candles, bars: slice) -> Candles:
    """The bars, some of them without volume."""
    frame = candles.frame.copy()
    frame.iloc[bars, 4:] = 0.0
    return of(frame, candles.symbol)


def write_qlib(folder: Path, universe: dict[str, Candles], *, with_factor: bool = True) -> None:
    """Write a universe as Qlib's dump_bin does: adjusted to 1 on the first day of each series."""
    days = next(iter(universe.values())).local_index.tz_localize(None)
    for part in ("calendars", "instruments"):
        (folder / part).mkdir(parents=True)
    (folder / "calendars/day.txt").write_text("".join(f"{day:%Y-%m-%d}\n" for day in days))
    members = "".join(f"{name}\t{days[0]:%Y-%m-%d}\t{days[-1]:%Y-%m-%d}\n" for name in universe)
    (folder / "instruments/all.txt").write_text(members)
    for name, candles in universe.items():
        place = folder / "features" / name.lower()
        place.mkdir(parents=True)
        frame = candles.frame
        factor = 1.0 / frame["close"].iloc[0] if with_factor else 1.0
        values = {each: frame[each] * factor for each in COLUMNS[:4]}
        values["volume"] = frame["volume"] / factor
        if with_factor:
            values["factor"] = pd.Series(factor, frame.index)
        for field, column in values.items():
            np.hstack([[0.0], column]).astype("<f4").tofile(place / f"{field}.day.bin")
