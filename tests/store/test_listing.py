"""The list of stored forecasts: order, pages, filters, outcomes, and what a page costs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from kronos.evaluation.scores import score_cone
from kronos.store.listing import Filters, find_listed, list_forecasts, read_choices
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from tests.store.made import make_candles, make_forecast

CANDLES = make_candles()
NOON = pd.Timestamp("2026-03-05 12:00", tz="UTC")


@pytest.fixture
def filled(url, opened):
    """Nine forecasts, stored in pairs at one moment: some whole, some partly known, some not."""
    moments = iter([NOON + pd.Timedelta(minutes=i // 2) for i in range(9)])
    store = opened(url, clock=lambda: next(moments))
    ids = []
    for i in range(9):
        candles = replace(CANDLES, symbol="ETHUSD" if i % 3 == 0 else "BTCUSD")
        position = (40, 116, 119)[i // 3]
        forecast = make_forecast(candles, position, seed=i, model="ewma" if i % 2 else "walk")
        ids.append(store.save(forecast, candles, source="files" if i == 4 else "made").id)
    store.clock = lambda: NOON + pd.Timedelta(days=5)
    for symbol in ("BTCUSD", "ETHUSD"):
        for source in ("made", "files"):
            bars = replace(CANDLES, symbol=symbol)
            score_candles(store, bars, of_source=source, bars_source=source)
    return store, ids


def test_pages_hold_every_forecast_once_the_newest_first(filled):
    store, ids = filled
    found, after = [], None
    while page := list_forecasts(store, Filters(), after=after, limit=4):
        found += page
        after = page[-1].place
    assert [each.place for each in found] == sorted((e.place for e in found), reverse=True)
    assert sorted(each.id for each in found) == sorted(ids)
    assert {each.id for each in found[-2:]} == {*ids[:2]}


def test_every_filter_keeps_what_it_names(filled):
    store, ids = filled

    def of(**named):
        return {each.id for each in list_forecasts(store, Filters(**named))}

    assert of(instrument="ETHUSD") == {ids[0], ids[3], ids[6]}
    assert of(model="ewma") == {*ids[1::2]}
    assert of(interval="1d") == set()
    assert of(sources=("files",)) == {ids[4]}
    assert of(sources=()) == set()
    states = [of(state=state) for state in ("complete", "partial", "waiting")]
    assert states == [{*ids[:3]}, {*ids[3:6]}, {*ids[6:]}]
    assert of(model="ewma", state="waiting") == {ids[7]}
    for listed in list_forecasts(store, Filters()):
        assert listed.id in of(state=listed.state)


def test_a_row_has_the_outcome_and_the_score_over_the_cone(filled):
    store, ids = filled
    whole, part, waiting = (find_listed(store, ids[i]) for i in (0, 3, 6))
    closes = CANDLES.frame["close"].to_numpy()
    returns = np.log(closes[41:47] / closes[40])
    steps = store.evaluations([ids[0]])
    scale = steps["scale"].to_numpy(dtype=float)
    cone = score_cone(returns, scale).crps * scale
    assert whole.score == pytest.approx(steps["crps"].sum() / cone.sum())
    assert whole.move == pytest.approx(np.expm1(returns[-1]))
    assert (whole.n_known, whole.n_closes) == (6, 6)
    assert whole.n_inside == steps["inside_band"].sum()
    assert (part.state, part.n_known) == ("partial", 3)
    assert (waiting.state, waiting.n_known) == ("waiting", 0)
    assert np.isnan([waiting.move, waiting.score]).all()
    assert find_listed(store, "0" * 64) is None


def test_the_choices_are_what_is_stored(filled):
    store, _ = filled
    found = read_choices(store)
    assert (found.instruments, found.models) == (("BTCUSD", "ETHUSD"), ("ewma", "walk"))
    assert found.intervals == ("1h",)
    assert read_choices(store, ["files"]).instruments == ("BTCUSD",)


def test_intervals_are_in_order_of_their_width(url, opened):
    store = opened(url)
    for i, interval in enumerate(("1d", "15m", "1h", "5m", "1w")):
        candles = replace(CANDLES, interval=interval)
        store.save(make_forecast(candles, 40, seed=i), candles, source="made")
    assert read_choices(store).intervals == ("5m", "15m", "1h", "1d", "1w")


def test_a_page_costs_the_same_in_a_long_list(tmp_path):
    """Counted in steps of SQLite's virtual machine: the first page, and one in the middle."""
    file = tmp_path / "store.sqlite3"
    store = Store(str(file))
    store.save(make_forecast(CANDLES), CANDLES, paths="none")
    steps = []

    @sa.event.listens_for(store.database._engine, "checkout")
    def watch(raw, *_):
        raw.set_progress_handler(lambda: steps.append(None), 1)

    costs = []
    for n_rows in (300, 6_000):
        middle = _fill(file, n_rows)
        for after in (None, middle):
            steps.clear()
            assert len(list_forecasts(store, Filters(), after=after, limit=20)) == 20
            costs.append(len(steps))
    store.close()
    assert min(costs) > 100
    assert max(costs) < 1.5 * min(costs), costs


def _fill(file, n_rows):
    """Copies of the first row, a minute apart; returns the place of the one in the middle."""
    begin = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=n_rows)
    moments = [begin + pd.Timedelta(minutes=i) for i in range(n_rows)]
    with closing(sqlite3.connect(file)) as raw, raw:
        names = [row[1] for row in raw.execute("pragma table_info(ml_predictions)")]
        row = dict(zip(names, raw.execute("select * from ml_predictions").fetchone(), strict=True))
        rows = [
            [
                *(
                    row
                    | {"id": f"{n_rows + i:064x}", "created_at": f"{moment:%Y-%m-%d %H:%M:%S.%f}"}
                ).values()
            ]
            for i, moment in enumerate(moments)
        ]
        marks = ",".join("?" * len(names))
        raw.executemany(f"insert into ml_predictions values ({marks})", rows)
    half = n_rows // 2
    return moments[half].to_pydatetime(), f"{n_rows + half:064x}"
