"""The bar cache in front of the real clients: its requests, and what it returns without them."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from data_sources.cache.cache import CachedBars, default_path
from data_sources.cache.store import BarStore, SeriesKey
from data_sources.source import DataSource
from kronos.errors import InvalidRequest, RateLimited, SourceDown, UnknownSymbol

HOUR = pd.Timedelta(hours=1)


def moment(text: str, zone: str = "UTC") -> pd.Timestamp:
    return pd.Timestamp(text, tz=zone).tz_convert("UTC")


@pytest.fixture
def store(tmp_path):
    return BarStore(tmp_path / "cache" / "bars.sqlite")


@pytest.fixture
def cached(binance, store, markets):
    return CachedBars(binance, store, clock=markets.clock)


@pytest.fixture
def cached_yahoo(yahoo, store, markets):
    return CachedBars(yahoo, store, clock=markets.clock)


def n_pages(markets):
    """How many requests for bars were made since the last time."""
    n = markets.n_requests("/klines") + markets.n_requests("/v8/", "period1")
    markets.requests.clear()
    return n


def test_it_has_the_interface_of_its_source(cached, binance):
    assert isinstance(cached, DataSource)
    assert (cached.name, cached.title) == (binance.name, binance.title)
    assert cached.intervals == binance.intervals
    assert cached.suggest("btc", 1) == binance.suggest("btc", 1)


def test_cached_bars_equal_fetched_bars(cached, markets):
    first = cached.fetch("BTC/USDT", interval="1h")
    assert n_pages(markets) == 3
    again = cached.fetch("BTC/USDT", interval="1h")
    assert n_pages(markets) == 0
    pd.testing.assert_frame_equal(first.candles.frame, again.candles.frame, check_freq=False)
    assert again.instrument == first.instrument
    assert (again.notes, again.fetched_at, again.stale) == (first.notes, first.fetched_at, "")
    assert again.candles.calendar == "24/7"


def test_a_request_is_made_once_a_new_bar_can_have_ended_and_is_small(cached, markets, binance):
    cached.fetch("BTC/USDT", interval="1h")
    markets.now = moment("2026-11-18 17:59:59")
    cached.fetch("BTC/USDT", interval="1h")
    n_pages(markets)
    markets.now = moment("2026-11-18 18:00")
    newer = cached.fetch("BTC/USDT", interval="1h")
    assert n_pages(markets) == 1
    assert newer.candles.frame.index[-1] == moment("2026-11-18 17:00")
    assert len(newer.candles) == 2001
    whole = binance.fetch("BTC/USDT", interval="1h").candles.frame
    pd.testing.assert_frame_equal(newer.candles.frame.iloc[1:], whole, check_freq=False)
    assert newer.notes == ("The bar of 2026-11-18 18:00 (UTC) is not finished and was left out.",)


def test_an_open_bar_is_never_returned_as_final(cached, markets):
    """Asked every quarter of an hour, each bar comes only once it is over, and as it ended."""
    for quarter in range(13):
        markets.now = moment("2026-11-18 17:40") + quarter * pd.Timedelta(minutes=15)
        frame = cached.fetch("BTC/USDT", interval="1h").candles.frame
        assert frame.index[-1] + HOUR <= markets.now
        assert markets.now - (frame.index[-1] + HOUR) < HOUR
    direct = cached.source.fetch("BTC/USDT", interval="1h").candles.frame
    pd.testing.assert_frame_equal(frame.loc[direct.index], direct, check_freq=False)


def test_a_weekend_brings_no_new_bars_of_a_stock(cached_yahoo, markets):
    markets.now = moment("2026-11-20 17:00", "America/New_York")
    bars = cached_yahoo.fetch("AAPL", interval="1d")
    assert bars.candles.local_index[-1].day == 20
    assert n_pages(markets) == 1
    for later in ("2026-11-21 12:00", "2026-11-23 15:59"):
        markets.now = moment(later, "America/New_York")
        cached_yahoo.fetch("AAPL", interval="1d")
    assert n_pages(markets) == 0
    markets.now = moment("2026-11-23 16:00", "America/New_York")
    assert cached_yahoo.fetch("AAPL", interval="1d").candles.local_index[-1].day == 23
    assert n_pages(markets) == 1


@pytest.mark.parametrize(
    ("symbol", "interval", "first"), [("VOD.L", "1h", "11:00"), ("AAPL", "5m", "14:56")]
)
def test_a_look_early_in_a_session_does_not_hide_the_rest_of_it(
    cached_yahoo, markets, symbol, interval, first
):
    """The few bars of the second request are of two sessions: their hours are not those of one."""
    markets.now = moment(f"2026-11-18 {first}") - pd.Timedelta(interval)
    cached_yahoo.fetch(symbol, interval=interval)
    markets.now = moment(f"2026-11-18 {first}")
    cached_yahoo.fetch(symbol, interval=interval)
    markets.now += pd.Timedelta(interval) + pd.Timedelta(minutes=31)
    last = cached_yahoo.fetch(symbol, interval=interval).candles.frame.index[-1]
    assert last + pd.Timedelta(interval) >= markets.now - pd.Timedelta(minutes=31)


def test_after_a_dividend_the_whole_series_is_fetched_again(cached_yahoo, yahoo, markets):
    cached_yahoo.fetch("AAPL", interval="1d")
    ex_date = moment("2026-11-19 09:30", "America/New_York")
    markets.yahoo.listings["AAPL"].dividends[ex_date] = 1.5
    markets.now = moment("2026-11-19 17:00", "America/New_York")
    n_pages(markets)
    frame = cached_yahoo.fetch("AAPL", interval="1d").candles.frame
    assert n_pages(markets) == 2
    pd.testing.assert_frame_equal(
        frame, yahoo.fetch("AAPL", interval="1d").candles.frame, check_freq=False
    )


def test_a_corrected_last_bar_replaces_the_cached_one(cached, store, markets, binance):
    cached.fetch("BTC/USDT", interval="1h")
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute(
            "UPDATE bars SET close = low WHERE opened = (SELECT MAX(opened) FROM bars)"
        )
    markets.now += HOUR
    n_pages(markets)
    frame = cached.fetch("BTC/USDT", interval="1h").candles.frame
    assert n_pages(markets) == 1
    direct = binance.fetch("BTC/USDT", interval="1h").candles.frame
    pd.testing.assert_frame_equal(frame.loc[direct.index], direct, check_freq=False)


@pytest.mark.parametrize(("high", "said"), [("1e30", "high 1e+30"), ("close * 60", "high ")])
def test_a_wild_price_in_the_cache_is_left_out_and_said(cached, store, markets, high, said):
    calm = cached.fetch("BTC/USDT", interval="1h")
    wild = calm.candles.frame.index[100]
    with closing(sqlite3.connect(store.path)) as database, database:
        order = "SELECT opened FROM bars ORDER BY opened LIMIT 1 OFFSET 100"
        changed = database.execute(f"UPDATE bars SET high = {high} WHERE opened = ({order})")
        assert changed.rowcount == 1
    n_pages(markets)
    bars = cached.fetch("BTC/USDT", interval="1h")
    assert n_pages(markets) == 0
    assert bars.candles.frame.index.tolist() == calm.candles.frame.index.drop(wild).tolist()
    (note,) = [note for note in bars.notes if "more than 50 times outside" in note]
    assert note.startswith("1 bar was left out")
    assert f"{wild:%Y-%m-%d %H:%M} UTC" in note
    assert said in note


def test_adjusted_and_raw_bars_are_cached_apart(cached_yahoo, markets):
    markets.yahoo.listings["AAPL"].dividends[moment("2026-11-03 14:30")] = 2.0
    adjusted = cached_yahoo.fetch("AAPL", interval="1d").candles.frame
    raw = cached_yahoo.fetch("AAPL", interval="1d", adjusted=False).candles.frame
    assert adjusted["close"].iloc[0] < raw["close"].iloc[0]
    assert cached_yahoo.fetch("AAPL", interval="1d").candles.frame.equals(adjusted)
    assert n_pages(markets) == 2


def test_an_older_range_is_fetched_without_a_hole(cached, markets):
    cached.fetch("BTC/USDT", interval="1h", start=moment("2026-11-10"))
    n_pages(markets)
    start, end = moment("2026-10-01"), moment("2026-10-08")
    old = cached.fetch("BTC/USDT", interval="1h", start=start, end=end).candles.frame
    assert (old.index[0], old.index[-1], len(old)) == (start, end, 169)
    assert n_pages(markets) == 1
    # Between the two lies what was never fetched.
    across = cached.fetch("BTC/USDT", interval="1h", start=start).candles.frame
    assert len(across) == (across.index[-1] - start) / HOUR + 1
    assert n_pages(markets) >= 1
    again = cached.fetch("BTC/USDT", interval="1h", start=start).candles.frame
    assert again.equals(across)
    assert n_pages(markets) == 0


def test_an_earlier_start_fetches_only_the_missing_bars(cached, markets):
    cached.fetch("BTC/USDT", interval="1h", start=moment("2026-11-10"))
    n_pages(markets)
    longer = cached.fetch("BTC/USDT", interval="1h", start=moment("2026-11-01")).candles.frame
    assert len(longer) == (longer.index[-1] - moment("2026-11-01")) / HOUR + 1
    (request,) = [found for found in markets.requests if "/klines" in found]
    assert f"startTime={moment('2026-11-01').value // 10**6}" in request


def test_a_file_of_an_earlier_revision_is_read(store):
    """Its tables and facts, word for word."""
    facts = (
        '{"is_default": true, "fetched_at": 1795023600000000000, "fresh_until": null, "zone": '
        '"UTC", "calendar": "24/7", "symbol": "BTC/USDT", "credit": "Binance", "instrument": '
        '{"source": "binance", "symbol": "BTC/USDT", "name": "BTC / USDT, spot", "kind": "spot", '
        '"currency": "USDT", "decimals": 2}, "notes": ["a note"]}'
    )
    store.path.parent.mkdir()
    with closing(sqlite3.connect(store.path)) as database, database:
        database.executescript(
            """
            CREATE TABLE stretches (
                id INTEGER PRIMARY KEY,
                source TEXT NOT NULL, symbol TEXT NOT NULL, interval TEXT NOT NULL,
                adjusted INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
                used_at INTEGER NOT NULL, n_bars INTEGER NOT NULL, facts TEXT NOT NULL
            );
            CREATE INDEX series ON stretches (source, symbol, interval, adjusted);
            CREATE TABLE bars (
                stretch INTEGER NOT NULL REFERENCES stretches ON DELETE CASCADE,
                opened INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL,
                close REAL NOT NULL, volume REAL NOT NULL, amount REAL NOT NULL,
                PRIMARY KEY (stretch, opened)
            ) WITHOUT ROWID;
            PRAGMA user_version = 1;
            """
        )
        database.execute(
            "INSERT INTO stretches VALUES (7, 'binance', 'BTC/USDT', '1h', 1, "
            "1795010400000000000, 1795014000000000000, 1795023600000000000, 2, ?)",
            (facts,),
        )
        database.execute("INSERT INTO bars VALUES (7, 1795010400000000000, 1, 4, 0.5, 2, 10, 20)")
        database.execute("INSERT INTO bars VALUES (7, 1795014000000000000, 2, 5, 1.5, 3, 11, 33)")
    (cached,) = store.find(SeriesKey("binance", "BTC/USDT", "1h", True))
    assert cached.facts() == facts
    assert cached.instrument.decimals == 2
    frame = store.read(cached)
    assert frame.index.tolist() == [cached.first, cached.last]
    assert frame.to_numpy().tolist() == [[1, 4, 0.5, 2, 10, 20], [2, 5, 1.5, 3, 11, 33]]


def test_any_ranges_in_any_order_equal_those_of_the_source(cached, binance, markets):
    draw = np.random.default_rng(11)
    origin = moment("2026-10-20")
    for _ in range(25):
        markets.now += pd.Timedelta(minutes=int(draw.integers(0, 90)))
        first, second = sorted(int(hour) for hour in draw.integers(0, 800, 2))
        start, end = origin + first * HOUR, origin + second * HOUR
        end = None if draw.random() < 0.4 or end >= markets.now else end
        if start + 2 * HOUR > markets.now:
            continue
        asked = {"interval": "1h", "start": start, "end": end}
        try:
            direct = binance.fetch("ETH/USDT", **asked).candles.frame
        except UnknownSymbol:
            continue
        kept = cached.fetch("ETH/USDT", **asked).candles.frame
        pd.testing.assert_frame_equal(kept, direct, check_freq=False)


def test_cached_bars_stand_in_for_a_failing_source_with_their_age(cached, markets, pauses):
    fresh = cached.fetch("BTC/USDT", interval="1h")
    markets.now += 3 * HOUR
    markets.faults.status = 503
    stale = cached.fetch("BTC/USDT", interval="1h")
    assert stale.candles.frame.equals(fresh.candles.frame)
    assert "3 h old (of 2026-11-18 17:40 UTC)" in stale.stale
    assert "HTTP 503" in stale.stale
    assert stale.fetched_at == fresh.fetched_at
    # The failure is cached: nobody waits for the attempts again.
    n_pages(markets)
    assert cached.fetch("BTC/USDT", interval="1h").stale
    assert n_pages(markets) == 0
    markets.faults.status = 0
    markets.now += pd.Timedelta(seconds=11)
    assert not cached.fetch("BTC/USDT", interval="1h").stale


@pytest.mark.parametrize("status", [429, 451, 503])
def test_nothing_stands_in_for_bars_that_were_never_fetched(cached, markets, status):
    cached.fetch("BTC/USDT", interval="1h", start=moment("2026-11-10"))
    markets.faults.status = status
    with pytest.raises((RateLimited, SourceDown, Exception), match=f"HTTP {status}"):
        cached.fetch("ETH/USDT", interval="1h")
    with pytest.raises(Exception, match=f"HTTP {status}|paused"):
        cached.fetch("BTC/USDT", interval="1h", start=moment("2026-10-01"))


def test_cached_bars_do_not_stand_in_for_an_unknown_symbol(cached_yahoo, markets):
    cached_yahoo.fetch("AAPL", interval="1h")
    del markets.yahoo.listings["AAPL"]
    markets.now += 2 * HOUR
    with pytest.raises(UnknownSymbol, match="no such symbol"):
        cached_yahoo.fetch("AAPL", interval="1h")


def test_a_series_whose_missing_bars_are_too_old_is_fetched_anew(cached_yahoo, markets):
    cached_yahoo.fetch("BTC-USD", interval="1m")
    markets.now += pd.Timedelta(days=20)
    bars = cached_yahoo.fetch("BTC-USD", interval="1m").candles
    steps = np.diff(bars.frame.index.to_numpy())
    assert (steps == np.timedelta64(1, "m")).all()
    assert markets.now - bars.frame.index[-1] <= pd.Timedelta(minutes=2)


def test_many_callers_make_one_request(cached, markets):
    cached.suggest("btc")
    n_pages(markets)
    ready = threading.Barrier(8)

    def ask(_):
        ready.wait(10)
        return cached.fetch("BTC/USDT", interval="1h", start=moment("2026-11-10"))

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(ask, range(8))]
    assert n_pages(markets) == 1
    assert all(answer.candles.frame.equals(answers[0].candles.frame) for answer in answers)


def test_two_processes_may_share_the_file(cached, binance, store, markets, caplog):
    """Two caches on one file, written from several threads: nothing is locked out or lost."""
    other = CachedBars(binance, BarStore(store.path), clock=markets.clock)
    binance.suggest("")

    def ask(number):
        cache = (cached, other)[number % 2]
        start = moment("2026-11-10") + (number // 2) * HOUR
        return cache.fetch("BTC/USDT", interval="15m", start=start, end=start + 5 * HOUR)

    with ThreadPoolExecutor(6) as pool:
        answers = [*pool.map(ask, range(24))]
    assert all(len(answer.candles) == 21 for answer in answers)
    assert "damaged" not in caplog.text
    with closing(sqlite3.connect(store.path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_range_that_two_writers_extend_covers_both(cached, store, markets):
    key, start = SeriesKey("binance", "BTC/USDT", "15m", True), moment("2026-11-10")
    bars = cached.fetch("BTC/USDT", interval="15m", start=start, end=start + 5 * HOUR)
    (early,) = store.find(key)
    cached.fetch("BTC/USDT", interval="15m", start=start, end=start + 9 * HOUR)
    last = bars.candles.frame.iloc[-1:]
    span = (last.index[0], early.last)
    kept = store.write(key, early, last, now=markets.clock(), replaced=span)
    assert store.find(key) == [kept]
    assert kept.last >= start + 9 * HOUR > early.last
    assert len(store.read(kept, start, start + 9 * HOUR)) == 37


def test_a_range_that_another_process_deleted_is_no_damage(cached, store, markets):
    key, start = SeriesKey("binance", "BTC/USDT", "15m", True), moment("2026-11-10")
    bars = cached.fetch("BTC/USDT", interval="15m", start=start, end=start + 5 * HOUR)
    (gone,) = store.find(key)
    store.drop(key)
    frame, now = bars.candles.frame, markets.clock()
    assert store.attempt(lambda store: store.write(key, gone, frame, now=now)) is None
    assert [file.name for file in store.path.parent.glob("*.damaged")] == []
    assert store.find(key) == []


@pytest.mark.parametrize("damage", ["not a database", "cut", "other tables", "nonsense inside"])
def test_a_damaged_file_is_set_aside_and_made_anew(cached, store, markets, damage, caplog):
    fresh = cached.fetch("BTC/USDT", interval="1h")
    if damage == "not a database":
        store.path.write_bytes(b"this is no database at all " * 200)
        for ending in ("-wal", "-shm"):
            store.path.with_name(store.path.name + ending).unlink(missing_ok=True)
    elif damage == "cut":
        with closing(sqlite3.connect(store.path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.path.write_bytes(store.path.read_bytes()[:6000])
    else:
        statement = {
            "other tables": "DROP TABLE stretches",
            "nonsense inside": "UPDATE stretches SET facts = 'x'",
        }[damage]
        with closing(sqlite3.connect(store.path)) as database, database:
            database.execute(statement)
    again = cached.fetch("BTC/USDT", interval="1h")
    pd.testing.assert_frame_equal(again.candles.frame, fresh.candles.frame, check_freq=False)
    assert store.path.with_name("bars.sqlite.damaged").exists()
    assert "damaged" in caplog.text
    n_pages(markets)
    cached.fetch("BTC/USDT", interval="1h")
    cached.fetch("BTC/USDT", interval="1h")
    assert n_pages(markets) <= 3
    assert store.n_bars() == 2000


def test_a_place_that_cannot_be_written_costs_requests_and_nothing_else(binance, tmp_path, markets):
    (tmp_path / "file").write_text("in the way")
    cached = CachedBars(binance, BarStore(tmp_path / "file" / "bars.sqlite"), clock=markets.clock)
    assert len(cached.fetch("BTC/USDT", interval="1h").candles) == 2000
    assert len(cached.fetch("BTC/USDT", interval="1h").candles) == 2000
    assert n_pages(markets) == 6


def test_the_file_is_bounded_and_the_least_recently_used_range_goes_first(
    binance, tmp_path, markets
):
    store = BarStore(tmp_path / "bars.sqlite", max_bars=700)
    cached = CachedBars(binance, store, clock=markets.clock)
    start = moment("2026-11-08 16:00")
    for symbol in ("BTC/USDT", "ETH/USDT", "BTC/USDT", "ETH/BTC"):
        markets.now += pd.Timedelta(minutes=2)
        cached.fetch(symbol, interval="1h", start=start)
    n_pages(markets)
    assert store.n_bars() <= 700
    cached.fetch("BTC/USDT", interval="1h", start=start)
    assert n_pages(markets) == 0
    cached.fetch("ETH/USDT", interval="1h", start=start)
    assert n_pages(markets) == 1


def test_invalid_requests_reach_neither_file_nor_source(cached, store, markets):
    with pytest.raises(InvalidRequest, match="has no 10m bars"):
        cached.fetch("BTC/USDT", interval="10m")
    assert not markets.requests
    assert not store.path.exists()


def test_the_file_lies_in_the_users_cache(own_cache):
    import os

    assert str(default_path()).startswith(os.environ["XDG_CACHE_HOME"])
