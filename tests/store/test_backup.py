"""Backups hold every row, exports every number, and neither disturbs the store."""

import csv
import io
import json
import sqlite3
import threading
from dataclasses import replace

import pandas as pd
import pytest
import sqlalchemy as sa

from kronos.errors import InvalidRequest, StoreDamaged
from kronos.store.backup import back_up, export_csv, export_json_lines, restore
from kronos.store.schema import TABLES
from kronos.store.scoring import score_candles
from tests.store.made import make_candles, make_forecast, without

CANDLES = make_candles()
N = 7


def fill(store):
    for position in range(50, 50 + N):
        store.save(make_forecast(CANDLES, position, seed=position), CANDLES)
    score_candles(store, without(CANDLES, 58))
    return store


def everything(store):
    """Every row of every table, in order of the keys."""
    with store.database.reading() as connection:
        return {
            table.name: connection.execute(
                sa.select(table).order_by(*table.primary_key.columns)
            ).all()
            for table in TABLES
        }


def test_a_backup_is_the_store_in_one_file_and_restores_into_either_database(
    store, tmp_path, opened
):
    fill(store)
    path = tmp_path / "backup" / "copy.sqlite3"
    path.parent.mkdir()
    counts = back_up(store, path)
    assert counts == store.counts()
    assert [file.name for file in path.parent.iterdir()] == ["copy.sqlite3"]
    digest = path.read_bytes()
    other = opened(str(tmp_path / "other.sqlite3"))
    assert restore(other, path) == counts
    assert everything(other) == everything(store)
    assert set(restore(store, path).values()) == {0}
    assert path.read_bytes() == digest


def test_a_restored_store_keeps_what_it_has(tmp_path, opened):
    one, two = (opened(str(tmp_path / name)) for name in ("one.sqlite3", "two.sqlite3"))
    fill(one)
    back_up(one, tmp_path / "copy.sqlite3")
    eth = replace(CANDLES, symbol="ETHUSD")
    mine = two.save(make_forecast(eth, 55), eth)
    shared = two.save(make_forecast(CANDLES, 52, seed=52), CANDLES)
    before = two.get(shared.id).created_at
    added = restore(two, tmp_path / "copy.sqlite3")
    assert added["ml_predictions"] == N - 1
    assert two.get(mine.id).instrument == "ETHUSD"
    assert two.get(shared.id).created_at == before
    assert two.counts()["signal_evaluations"] == one.counts()["signal_evaluations"]


def test_a_backup_is_of_one_moment_while_others_write(store, tmp_path, opened):
    """Every prediction in the copy has its paths, though predictions are added all along."""
    fill(store)
    stop = threading.Event()

    def write():
        seed = 100
        while not stop.is_set():
            seed += 1
            store.save(make_forecast(CANDLES, seed=seed), CANDLES)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = back_up(store, tmp_path / "copy.sqlite3")
    finally:
        stop.set()
        writer.join()
    assert counts["ml_predictions"] == counts["prediction_paths"] >= N


def test_a_backup_never_overwrites(tmp_path, opened):
    store = opened(str(tmp_path / "one.sqlite3"))
    (tmp_path / "copy.sqlite3").write_text("precious")
    with pytest.raises(InvalidRequest, match="exists already"):
        back_up(store, tmp_path / "copy.sqlite3")
    assert (tmp_path / "copy.sqlite3").read_text() == "precious"
    with pytest.raises(InvalidRequest, match="cannot be written"):
        back_up(store, tmp_path / "nowhere" / "copy.sqlite3")


def test_what_is_no_backup_is_refused(tmp_path, opened):
    store = opened(str(tmp_path / "one.sqlite3"))
    with pytest.raises(InvalidRequest, match="no such file"):
        restore(store, tmp_path / "nothing")
    text, other = tmp_path / "text", tmp_path / "other.sqlite3"
    text.write_text("no database " * 500)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(StoreDamaged, match=r"no backup"):
            restore(store, path)
        assert path.read_bytes() == before


def test_the_csv_has_every_step_and_its_scores(store):
    fill(store)
    out = io.StringIO()
    assert export_csv(store, out) == N
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert len(rows) == N * 6
    table = store.evaluations().set_index(["prediction_id", "step"])
    for row in rows:
        score = table.loc[(row["id"], int(row["step"]))]
        assert row["outcome"] == score["outcome"]
        assert (row["crps"] == "") == (row["outcome"] == "missing")
        if row["crps"]:
            assert float(row["crps"]) == score["crps"]
        assert float(row["p5"]) <= float(row["p50"]) <= float(row["p97.5"])
    assert "missing" in {row["outcome"] for row in rows}


def test_json_lines_have_every_fact(store):
    fill(store)
    eth = replace(CANDLES, symbol="ETHUSD")
    saved = store.save(make_forecast(eth), eth, event_context={"cpi": 0.1})
    out = io.StringIO()
    assert export_json_lines(store, out) == N + 1
    found = {row["id"]: row for row in map(json.loads, out.getvalue().splitlines())}
    for stored in store.predictions():
        row = found[stored.id]
        assert row["quantiles"] == stored.quantiles.tolist()
        assert [pd.Timestamp(text) for text in row["timestamps"]] == list(stored.timestamps)
        assert row["parameters"] == stored.parameters
    assert (found[saved.id]["event_context"], found[saved.id]["evaluations"]) == ({"cpi": 0.1}, [])
    whole = store.path_evaluations().set_index("prediction_id")["energy_score"]
    assert {i: row["energy_score"] for i, row in found.items() if row["energy_score"]} == (
        whole.to_dict()
    )
    only = io.StringIO()
    assert export_json_lines(store, only, instrument="ETHUSD", model=None) == 1


def test_text_cells_of_the_csv_are_never_formulas(tmp_path, opened):
    store = opened(str(tmp_path / "one.sqlite3"))
    evil = replace(CANDLES, symbol="=HYPERLINK(1)", source="@x\n+y")
    store.save(make_forecast(evil), evil)
    out = io.StringIO()
    export_csv(store, out)
    row = next(csv.DictReader(io.StringIO(out.getvalue())))
    assert (row["instrument"], row["source"]) == ("'=HYPERLINK(1)", "'@x +y")
