"""Damage of the file of a store is one typed error, whatever the operation meets first."""

import sqlite3
from contextlib import closing

import pytest

from benchmarks.gates.damaged_store import attack
from kronos.errors import StoreDamaged
from kronos.store import integrity
from kronos.store.record import read_quantiles, read_record
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from tests.store.made import make_candles, make_forecast

CANDLES = make_candles()


@pytest.fixture
def filled(tmp_path):
    path = tmp_path / "store.sqlite3"
    with Store(str(path)) as store:
        for origin in (60, 70):
            store.save(make_forecast(CANDLES, origin), CANDLES, source="made")
    return path


def test_every_operation_on_damaged_copies_ends_in_words():
    outcomes, failures, _ = attack(25, seed=7)
    assert failures == []
    assert outcomes["StoreDamaged"] > 10
    assert outcomes["as before"] > 10


def test_text_that_is_no_text_is_damage_and_the_file_stays(filled):
    damaged = filled.read_bytes().replace(b"BTCUSD", b"BT\xff\xfeSD")
    filled.write_bytes(damaged)
    with Store(str(filled)) as store, pytest.raises(StoreDamaged) as raised:
        list(store.predictions())
    assert "kronos store restore" in str(raised.value)
    assert str(filled) in str(raised.value)
    assert filled.read_bytes()[100:] == damaged[100:]


@pytest.mark.parametrize(
    "damage",
    ["last_close = 0", "last_close = -1", "last_close = 9e999", "quantiles = '[[-1.0]]'"],
)
@pytest.mark.filterwarnings("error")
def test_prices_that_cannot_be_are_damage(filled, damage):
    with Store(str(filled)) as store:
        score_candles(store, CANDLES)
        record = read_record(store, lambda *_: None)
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (trigger,) in listed.fetchall():
            connection.execute(f'DROP TRIGGER "{trigger}"')
        connection.execute(f"UPDATE ml_predictions SET {damage}")
    with Store(str(filled)) as store:
        for read in (
            lambda: read_quantiles(store, record),
            lambda: list(store.predictions()),
            lambda: score_candles(store, CANDLES),
        ):
            with pytest.raises(StoreDamaged, match=r"not above zero|CHECK constraint failed"):
                read()


def test_an_error_of_a_sound_store_stays_what_it_is(filled):
    with Store(str(filled)) as store:
        assert integrity.find_damage(store.database) is None
        with pytest.raises(ZeroDivisionError), integrity.finding_damage(store.database):
            _ = 1 / 0
