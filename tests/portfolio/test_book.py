"""Laws of the book: what is traded, when, and where every unit of cash goes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.errors import InvalidRequest
from kronos.portfolio import Book, Costs, Market, Rules, simulate
from kronos.portfolio.book import choose
from tests.portfolio.universe import changed_after, made, of, untraded, without

FREE = Costs(0.0, 0.0)
CAPITAL = 1000.0


def run(
    market: Market,
    rules: Rules,
    costs: Costs = FREE,
    *,
    every: int = 3,
    seed: int = 1,
    first: int = 5,
) -> Book:
    """A book that follows random scores."""
    dates = np.arange(first, len(market.index) - 1, every)
    scores = np.random.default_rng(seed).normal(size=(len(dates), len(market.names)))
    scores[~market.has_bar[dates]] = np.nan
    return simulate(market, dates, scores, rules, costs, capital=CAPITAL)


@settings(max_examples=25)
@given(
    top_k=st.integers(1, 6),
    n_drop=st.integers(0, 6),
    hold=st.integers(1, 9),
    reweigh=st.booleans(),
    seed=st.integers(0, 99),
    buy=st.floats(0.0, 0.02),
    sell=st.floats(0.0, 0.02),
)
def test_cash_is_conserved_and_bounds_hold(top_k, n_drop, hold, reweigh, seed, buy, sell):
    bars = made(seed=seed % 3)
    bars["S1"] = untraded(bars["S1"], slice(20, 40))
    bars["S2"] = without(bars["S2"], slice(30, 60))
    market = Market.of(bars)
    rules = Rules(top_k, min(n_drop, top_k), hold, reweigh)
    book = run(market, rules, Costs(buy, sell), seed=seed)
    trades = book.trades
    sign = np.where(trades["side"] == "buy", -1.0, 1.0)
    flows = sign * trades["value"] - trades["cost"]
    at_close = flows.groupby(trades["time"]).sum().reindex(book.index, fill_value=0.0)
    np.testing.assert_allclose(book.cash, CAPITAL + at_close.cumsum(), atol=1e-6)
    marks = np.nan_to_num(market.closes[-len(book.index) :])
    np.testing.assert_allclose(book.equity, book.cash + (book.shares * marks).sum(axis=1))
    assert (book.cash > -1e-6).all()
    assert ((book.shares > 0).sum(axis=1) <= top_k).all()
    np.testing.assert_allclose(
        trades["cost"], trades["value"] * np.where(sign < 0, buy, sell), atol=1e-9
    )


@pytest.mark.parametrize("reweigh", [False, True])
def test_no_more_are_dropped_at_once_than_allowed(reweigh):
    market = Market.of(made(12))
    book = run(market, Rules(5, 2, reweigh=reweigh), every=1)
    left = (book.shares[:-1] > 0) & (book.shares[1:] == 0)
    assert left.sum(axis=1).max() == 2


def test_a_purchase_is_held_for_the_minimum_number_of_bars():
    market = Market.of(made(8))
    book = run(market, Rules(3, 3, hold=7), every=2)
    position = {stamp: i for i, stamp in enumerate(market.index)}
    since: dict[str, int] = {}
    spans = []
    for row in book.trades.itertuples():
        if row.side == "buy":
            since[row.instrument] = position[row.time]
        else:
            spans.append(position[row.time] - since.pop(row.instrument))
    assert min(spans) == 8, "the first rebalance that is not before 7 bars, every 2 bars"


@pytest.mark.parametrize("last", [40, 41, 63])
def test_later_bars_change_no_trade_made_before(last):
    bars = made()
    other = {
        name: changed_after(each, last, 1.0 + i) for i, (name, each) in enumerate(bars.items())
    }
    rules, costs = Rules(2, 1), Costs()
    before = run(Market.of(bars), rules, costs).trades
    after = run(Market.of(other), rules, costs).trades
    cut = Market.of(bars).index[last]
    pd.testing.assert_frame_equal(before[before["time"] < cut], after[after["time"] < cut])
    decided = [
        table[table["decided"] < cut][["time", "instrument", "side"]] for table in (before, after)
    ]
    pd.testing.assert_frame_equal(*decided)
    assert len(decided[0]) > 5


def test_orders_are_filled_at_the_open_after_the_decision():
    bars = made()
    market = Market.of(bars)
    trades = run(market, Rules(2, 1)).trades
    for row in trades.itertuples():
        assert row.price == bars[row.instrument].frame.loc[row.time, "open"]
        assert row.time - row.decided == pd.Timedelta(days=1)


def test_everything_held_without_costs_is_the_mean_of_the_instruments():
    bars = made(4)
    market = Market.of(bars)
    book = run(market, Rules(4, 0), first=5)
    opens = np.array([each.frame["open"].iloc[6] for each in bars.values()])
    growth = (market.closes[6:] / opens).mean(axis=1)
    np.testing.assert_allclose(book.equity[1:], CAPITAL * growth)


def test_everything_brought_back_to_equal_parts_earns_their_mean_return():
    market = Market.of(made(4))
    book = run(market, Rules(4, 0, reweigh=True), every=3, first=5)
    opens, closes, value, expected = market.opens, market.closes, CAPITAL, [CAPITAL]
    shares = np.zeros(4)
    for at in range(6, len(market.index)):
        if (at - 6) % 3 == 0:
            value = float(shares @ opens[at]) or CAPITAL
            shares = value / 4 / opens[at]
        expected.append(float(shares @ closes[at]))
    np.testing.assert_allclose(book.equity, expected)


@pytest.mark.parametrize("halt", [untraded, without])
def test_what_is_halted_never_trades_and_stays_in_the_book(halt):
    bars = made(3)
    bars["S0"] = halt(bars["S0"], slice(20, 50))
    market = Market.of(bars)
    dates = np.arange(5, 100, 1)
    scores = np.tile([1.0, 0.5, 0.2], (len(dates), 1))
    scores[10:, 0] = -1.0  # to be sold from bar 15 on: filled at the open of bar 16
    held_on = scores.copy()
    held_on[10:20, 0] = 1.0  # from bar 25 on, in the middle of the halt
    early = simulate(market, dates, scores, Rules(1, 1), FREE)
    late = simulate(market, dates, held_on, Rules(1, 1), FREE)
    sold = {
        book: book.trades.query("instrument == 'S0' and side == 'sell'")["time"].iloc[0]
        for book in (early, late)
    }
    assert sold[early] == market.index[16]
    assert sold[late] == market.index[50]
    assert (late.shares[20:45, 0] > 0).all()
    assert late.n_lapsed > 0


def test_at_its_price_limit_an_instrument_is_not_bought_above_nor_sold_below():
    bars = made(2)
    frame = bars["S0"].frame.copy()
    frame.iloc[30:, :4] *= 1.2
    frame.iloc[60:, :4] /= 1.3
    bars["S0"] = of(frame, "S0")
    market = Market.of(bars, limit=0.1)
    assert (market.can_buy[30, 0], market.can_sell[30, 0]) == (False, True)
    assert (market.can_buy[60, 0], market.can_sell[60, 0]) == (True, False)
    assert market.can_buy[31:60].all()
    assert market.can_sell[1:60, 0].all()


def test_an_instrument_whose_volume_is_never_known_can_be_traded():
    assert Market.of(made(2, has_volume=False)).can_buy.all()


def test_days_of_markets_in_several_zones_belong_together():
    bars = made(2, 30)
    there = bars["S1"].frame.copy()
    there.index = (there.index.tz_localize(None).tz_localize("Asia/Tokyo")).tz_convert("UTC")
    tokyo = type(bars["S0"])(there, "1d", "Asia/Tokyo", "24/7", "S1", "made of numbers")
    market = Market.of({"S0": bars["S0"], "S1": tokyo})
    assert len(market.index) == 30
    assert market.has_bar.all()


def test_a_score_that_is_missing_is_no_reason_to_trade():
    scores = np.array([np.nan, 3.0, 2.0, 1.0])
    sell, buy = choose(scores, np.array([True, False, False, True]), Rules(2, 2))
    assert sell == [3]
    assert buy == [1]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Rules(0, 0), "top_k must be at least 1, found 0"),
        (lambda: Rules(2, 3), "n_drop must be at most top_k"),
        (lambda: Rules(2, 1, 0), "hold must be at least 1"),
        (lambda: Costs(-0.1, 0.0), "cost to buy"),
        (lambda: Market.of({}), "1 to 1,000 instruments, found 0"),
        (lambda: Market.of(made(2), limit=3.0), "price limit"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(InvalidRequest, match=said):
        make()
