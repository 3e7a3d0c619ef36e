"""Qlib's binary files, as its own tools write them: read right, and refused where damaged."""

import numpy as np
import pandas as pd
import pytest

from kronos.errors import InvalidCandles, InvalidRequest
from kronos.training.corpus import load_corpus
from kronos.training.files import QlibFolder, is_qlib, without_factor
from tests.training.conftest import made_up_bars

DAYS = pd.bdate_range("2020-01-01", periods=300)


def write_feature(folder, symbol, name, first, values):
    """As Qlib dumps it: the position of the first value, then the values, all float32."""
    place = folder / "features" / symbol.lower()
    place.mkdir(parents=True, exist_ok=True)
    np.hstack([first, values]).astype("<f4").tofile(place / f"{name}.day.bin")


@pytest.fixture
def qlib(tmp_path):
    """Two instruments: one from the first day on, one listed at day 50, with a day missing."""
    for part in ("calendars", "instruments"):
        (tmp_path / part).mkdir()
    (tmp_path / "calendars/day.txt").write_text("\n".join(f"{day:%Y-%m-%d}" for day in DAYS) + "\n")
    ends = f"{DAYS[0]:%Y-%m-%d}\t{DAYS[-1]:%Y-%m-%d}"
    (tmp_path / "instruments/all.txt").write_text(f"SH600000\t{ends}\nSZ000001\t{ends}\n")
    member = f"SH600000\t{DAYS[0]:%Y-%m-%d}\t{DAYS[119]:%Y-%m-%d}"
    (tmp_path / "instruments/few.txt").write_text(member + "\n")
    for symbol, first, seed in (("SH600000", 0, 1), ("SZ000001", 50, 2)):
        bars = made_up_bars(len(DAYS) - first, seed=seed)
        if first:
            bars.loc[10, ["open", "high", "low", "close", "volume"]] = np.nan
        for name in ("open", "high", "low", "close", "volume"):
            write_feature(tmp_path, symbol, name, first, bars[name].to_numpy())
    return tmp_path


def test_bars_are_those_that_were_written(qlib):
    assert is_qlib(qlib)
    folder = QlibFolder(qlib)
    assert [facts.file for facts in folder.instruments()] == ["SH600000", "SZ000001"]
    expected = made_up_bars(len(DAYS), seed=1)
    bars = folder.bars("SH600000")
    assert list(bars["timestamp"]) == list(DAYS)
    np.testing.assert_allclose(bars["close"], expected["close"], rtol=1e-6)
    typical = expected[["open", "high", "low", "close"]].mean(axis=1)
    np.testing.assert_allclose(bars["amount"], expected["volume"] * typical, rtol=1e-5)
    late = folder.bars("SZ000001")
    assert late["timestamp"].iloc[0] == DAYS[50]
    assert DAYS[60] not in set(late["timestamp"])
    assert len(late) == 249


def test_only_members_of_a_market_are_read_while_they_belong_to_it(qlib):
    folder = QlibFolder(qlib, market="few")
    assert [facts.file for facts in folder.instruments()] == ["SH600000"]
    assert folder.bars("SH600000")["timestamp"].iloc[-1] == DAYS[119]


def test_candles_are_on_the_clock_of_the_symbol_and_their_factor_is_known(qlib):
    folder = QlibFolder(qlib)
    candles = folder.candles("SH600000")
    assert (candles.zone, candles.interval) == ("Asia/Shanghai", "1d")
    assert list(candles.local_index.tz_localize(None)) == list(DAYS)
    assert "1 of 1 instruments have no factor (SH600000)" in without_factor(folder, ["SH600000"])
    # Adjusted to 1 on the first day: prices times the factor, volumes divided by it.
    bars = made_up_bars(len(DAYS), seed=1)
    factor = np.where(np.arange(len(DAYS)) < 150, 1.0, 2.0) / bars["close"].iloc[0]
    for name in ("open", "high", "low", "close"):
        write_feature(qlib, "SH600000", name, 0, bars[name].to_numpy() * factor)
    write_feature(qlib, "SH600000", "volume", 0, bars["volume"].to_numpy() / factor)
    write_feature(qlib, "SH600000", "factor", 0, factor)
    adjusted = folder.candles("SH600000").frame
    assert adjusted["close"].iloc[0] == pytest.approx(1.0)
    np.testing.assert_allclose(adjusted["amount"], candles.frame["amount"], rtol=1e-5)
    assert without_factor(folder, ["SH600000"]) == ""


def test_what_a_folder_offers(qlib):
    (qlib / "calendars/day_future.txt").write_text("2030-01-01\n")
    assert QlibFolder.offers(qlib) == (["all", "few"], ["day"])
    with pytest.raises(InvalidRequest, match="is no Qlib data folder: it needs the folders"):
        QlibFolder.offers(qlib / "features")


def test_a_corpus_is_loaded_from_a_qlib_folder(qlib):
    corpus = load_corpus(qlib)
    assert [(s.name, s.interval, s.n_bars) for s in corpus.series] == [
        ("SH600000", "1d", 300), ("SZ000001", "1d", 249),
    ]  # fmt: skip
    assert len(load_corpus(qlib, market="few").times) == 120


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x00\x80\x3f\x00", "no row of 4-byte numbers"),
        (np.array([290, *range(100)], "<f4").tobytes(), "do not fit into 300 dates"),
        (np.array([np.nan, 1, 2], "<f4").tobytes(), "do not fit"),
        (np.array([-3, 1, 2], "<f4").tobytes(), "do not fit"),
        (b"", "0 bytes"),
    ],
)
def test_damaged_files_are_named(qlib, content, message):
    path = qlib / "features/sh600000/close.day.bin"
    path.write_bytes(content)
    with pytest.raises(InvalidCandles, match=message) as raised:
        load_corpus(qlib)
    assert str(path) in str(raised.value)


def test_errors_name_what_is_missing(qlib):
    with pytest.raises(InvalidRequest, match=r"no market 'csi300'.*found: all, few"):
        QlibFolder(qlib, market="csi300")
    with pytest.raises(InvalidRequest, match=r"no calendar '5min'.*found: day"):
        QlibFolder(qlib, frequency="5min")
    (qlib / "features/sh600000/low.day.bin").unlink()
    with pytest.raises(InvalidCandles, match=r"low\.day\.bin is missing"):
        load_corpus(qlib)
    (qlib / "instruments/all.txt").write_text("../up\t2020-01-01\t2020-02-01\n")
    with pytest.raises(InvalidCandles, match="is no symbol"):
        load_corpus(qlib)
    (qlib / "instruments/all.txt").write_text("SH600000 2020-01-01 2020-02-01\n")
    with pytest.raises(InvalidCandles, match="line 1: expected symbol, first and last date"):
        load_corpus(qlib)
