"""Only sources of series with due forecasts are asked for bars."""

import pandas as pd
import pytest

from kronos.errors import InvalidRequest, StoreUnavailable
from kronos.store.database import store_url
from kronos.store.resolving import due_series, resolve, stored_series
from kronos.store.switch import is_off
from tests.store.made import make_candles, make_forecast

CANDLES = make_candles()
HORIZON = 6
ORIGIN = CANDLES.frame.index[60]


@pytest.fixture
def at(url, opened):
    """The store, a number of hours after the origin."""

    def open_at(hours):
        now = pd.Timestamp(ORIGIN) + pd.Timedelta(hours=hours)
        return opened(url, clock=lambda: now)

    open_at(1.5).save(make_forecast(CANDLES, 60, horizon=HORIZON), CANDLES, source="made up")
    return open_at


def test_a_series_is_due_when_its_next_step_has_ended(at):
    assert due_series(at(1.9)) == []
    (due,) = due_series(at(2))
    assert (due.source, due.instrument, due.interval) == ("made up", "BTCUSD", "1h")
    assert due.since == ORIGIN
    assert stored_series(at(1.9), "made up") == [due]
    assert stored_series(at(1.9), "another") == []


def test_what_has_come_is_scored_and_not_asked_for_again(at):
    def fetch(due):
        return CANDLES.slice(0, 61 + 3)

    found = resolve(at(4.5), due_series(at(4.5)), fetch)
    assert found.report.recorded == {"observed": 3}
    assert (found.n_series, found.failures) == (1, {})
    assert due_series(at(4.9)) == []
    assert len(due_series(at(5))) == 1
    resolve(at(20), due_series(at(20)), lambda due: CANDLES)
    assert due_series(at(1000)) == []


def test_a_source_that_fails_stops_no_other(at):
    other = make_candles(symbol="ETHUSD")
    at(2).save(make_forecast(other, 60, horizon=HORIZON), other, source="made up")

    def fetch(due):
        if due.instrument == "BTCUSD":
            raise InvalidRequest("not here")
        return other

    store = at(20)
    found = resolve(store, due_series(store), fetch)
    assert found.n_series == 2
    assert [str(error) for error in found.failures.values()] == ["not here"]
    assert found.report.recorded == {"observed": HORIZON}


def test_a_store_that_is_switched_off_is_refused_in_words(monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", " Off ")
    assert is_off()
    with pytest.raises(StoreUnavailable, match="switched off by KRONOS_STORE=off"):
        store_url()
    assert store_url("here.sqlite3").database.endswith("here.sqlite3")
