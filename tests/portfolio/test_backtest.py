"""The backtest with a real model and engine: no look-ahead, resumed, judged, and by command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos import cli
from kronos.candles import Candles
from kronos.errors import ForecastCancelled, InvalidRequest
from kronos.forecast import Forecast, SamplingParameters
from kronos.portfolio import Backtest, Market, Plan, Rules, backtest, rebalance_dates
from kronos.portfolio.backtest import STRATEGY
from kronos.portfolio.export import facts, summary_text, warnings_of
from kronos.portfolio.forecasts import OutlookCache
from kronos.portfolio.signals import SIGNALS, Outlook
from kronos.request import ForecastRequest
from kronos.serving.service import LocalService
from tests.portfolio.universe import changed_after, made

GOLDEN = str(Path(__file__).parents[1] / "golden")
PLAN = Plan(
    model="ewma", every=4, horizon=3, rules=Rules(2, 1), sampling=SamplingParameters(sample_count=8)
)


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with closing(LocalService(device="cpu")) as started:
        yield started


def test_signals_are_what_they_are_said_to_be():
    outlook = Outlook(np.array([0.01, -0.02, 0.03]), low=-0.02, high=0.04, probability_up=0.6)
    found = {name: round(signal(outlook), 12) for name, signal in SIGNALS.items()}
    assert found == {
        "last": 0.03,
        "mean": round(0.02 / 3, 12),
        "max": 0.03,
        "min": -0.02,
        "p_up": 0.6,
        "return_over_width": 0.5,
    }
    narrow = replace(outlook, low=0.03, high=0.03)
    assert np.isnan(SIGNALS["return_over_width"](narrow))


@pytest.mark.parametrize("model", ["ewma", GOLDEN])
def test_bars_after_a_decision_change_no_earlier_trade(service, model):
    bars = made(4, 90)
    other = {name: changed_after(each, 78, 1.0 + i) for i, (name, each) in enumerate(bars.items())}
    plan = replace(PLAN, model=model)
    tables = [
        backtest(service, Market.of(each), plan).books[STRATEGY].trades for each in (bars, other)
    ]
    cut = Market.of(bars).index[78]
    before, after = (table[table["time"] < cut] for table in tables)
    pd.testing.assert_frame_equal(before, after)
    assert len(before) > 3
    assert not tables[0].equals(tables[1])


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(service, tmp_path):
    market, calls = Market.of(made(5, 100)), []

    def stop(done, total):
        calls.append(done)
        if done >= 32:
            raise ForecastCancelled("enough")

    partial: list[Backtest] = []
    with pytest.raises(ForecastCancelled):
        backtest(
            service, market, PLAN, cache_folder=tmp_path, progress=stop, partial=partial.append
        )
    (file,) = tmp_path.iterdir()
    with file.open("a") as opened:
        opened.write('{"key": "cut off by a cr')
    resumed: list[int] = []
    new: list[object] = []
    again = backtest(
        service,
        market,
        PLAN,
        cache_folder=tmp_path,
        save=lambda forecast, known: new.append(known),
        progress=lambda done, total: resumed.append(done),
    )
    assert resumed[:3] == [0, 16, 32]
    n_windows = len(rebalance_dates(market, PLAN)) * 5
    assert len(new) == n_windows - 32
    whole = backtest(service, market, PLAN)
    pd.testing.assert_frame_equal(again.curves, whole.curves)
    assert facts(again, None) == facts(whole, None)
    n_complete = 32 // 5
    assert len(partial[0].dates) == n_complete
    n_bars = n_complete * PLAN.every + 1
    pd.testing.assert_frame_equal(partial[0].curves, whole.curves.iloc[:n_bars])


def test_a_run_whose_forecasts_are_cached_is_followed_and_can_be_stopped(service, tmp_path):
    market, built = Market.of(made(5, 100)), []

    def count(self: ForecastRequest) -> str:
        built.append(self)
        return digest.__get__(self)

    def stop(done: int, total: int) -> None:
        if done >= 32:
            raise ForecastCancelled("enough")

    backtest(service, market, PLAN, cache_folder=tmp_path)
    digest = ForecastRequest.__dict__["digest"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForecastRequest, "digest", property(count))
        with pytest.raises(ForecastCancelled):
            backtest(service, market, PLAN, cache_folder=tmp_path, progress=stop)
    assert len({id(each) for each in built}) == 32, "no window behind the stop is looked up"


def test_other_bars_or_settings_are_other_requests(service, tmp_path):
    market = Market.of(made(3, 80))
    backtest(service, market, PLAN, cache_folder=tmp_path)
    for other, plan in (
        (Market.of(made(3, 80, seed=5)), PLAN),
        (market, replace(PLAN, horizon=2)),
        (market, replace(PLAN, sampling=SamplingParameters(sample_count=9))),
    ):
        new: list[pd.Timestamp] = []

        def note(forecast: Forecast, known: Candles, into: list[pd.Timestamp] = new) -> None:
            into.append(forecast.origin)

        backtest(service, other, plan, cache_folder=tmp_path, save=note)
        assert len(new) == len(rebalance_dates(other, plan)) * 3


def test_a_cached_outlook_is_exact(tmp_path):
    outlook = Outlook(np.random.default_rng(0).normal(size=7), -0.1 / 3, 1 / 7, 0.55)
    OutlookCache(tmp_path, {"model": "a"}).add({"k": outlook, "none": None})
    found = OutlookCache(tmp_path, {"model": "a"})
    assert found["none"] is None
    np.testing.assert_array_equal(found["k"].medians, outlook.medians)
    assert (found["k"].low, found["k"].high) == (outlook.low, outlook.high)
    assert "k" not in OutlookCache(tmp_path, {"model": "b"})


def test_a_cache_that_cannot_be_used_is_said_once_and_fails_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = OutlookCache(tmp_path / "file" / "cache", {"model": "a"})
    for key in ("a", "b"):
        cache.add({key: None})
    assert ("a" in cache, "b" in cache) == (True, True)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "are not cached" in said
    assert "begins anew" in said


def test_instruments_that_start_later_join_once_they_have_enough_bars(service):
    bars = made(3, 140)
    bars["S2"] = bars["S2"].slice(60)
    result = backtest(service, Market.of(bars), PLAN)
    ranked = result.rank_ic.n
    assert ranked >= len(result.dates) - 2
    assert result.books["equal weight"].shares[0].max() == 0.0
    assert (result.books["equal weight"].shares[-1] > 0).all()


def test_days_before_the_cut_off_and_few_instruments_are_warned_of(service):
    result = backtest(service, Market.of(made(3, 90)), PLAN)
    third = result.dates[3].date()
    written = " ".join(warnings_of(result, third))
    assert f"3 of {len(result.dates)} rebalances lie before {third}" in written
    assert "3 instruments" in written
    assert "not known" in warnings_of(result, None)[0]
    assert not any("learned" in text for text in warnings_of(result, date.min))


@pytest.mark.parametrize(("n", "is_enough"), [(59, False), (60, True)])
def test_few_rebalances_show_no_figures_of_years(service, n, is_enough):
    result = backtest(service, Market.of(made(3, 90)), PLAN)
    dates = pd.date_range("2024-01-01", periods=n, freq="D", tz="UTC")
    result = replace(result, dates=dates)
    said = summary_text(result, date.min)
    for figure in ("return a year", "Sharpe ratio  ", "deflated Sharpe"):
        assert (figure in said) == is_enough
    assert "total return" in said
    assert (f"With {n} rebalances, fewer than 60" in said) != is_enough
    assert facts(result, date.min)["performance"]["strategy"]["sharpe"] is not None


def test_the_run_stays_between_its_days(service):
    market = Market.of(made(3, 140))
    plan = replace(PLAN, start=date(2024, 3, 20), end=date(2024, 4, 30))
    result = backtest(service, market, plan)
    assert result.dates[0] == pd.Timestamp("2024-03-20", tz="UTC")
    assert result.curves.index[-1] == pd.Timestamp("2024-04-30", tz="UTC")
    with pytest.raises(InvalidRequest, match="nothing to decide"):
        backtest(service, market, replace(PLAN, start=date(2025, 1, 1)))
    with pytest.raises(InvalidRequest, match="no bars up to 2020"):
        backtest(service, market, replace(PLAN, end=date(2020, 1, 1)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"signal": "luck"}, "no signal 'luck'"),
        ({"every": 0}, "every must be"),
        ({"n_trials": 2}, "n_trials"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change, said):
    with pytest.raises(InvalidRequest, match=said):
        replace(PLAN, **change)


def test_the_command_prints_a_table_and_writes_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "bars"
    folder.mkdir()
    for name, candles in made(4, 90).items():
        candles.frame.to_csv(folder / f"{name}.csv")
    made(1, 90)["S0"].frame.reset_index().to_parquet(folder / "S9.parquet")
    (folder / "broken.csv").write_text("a,b\n1,2\n")
    files = {name: tmp_path / f"{name}.out" for name in ("json", "curves", "trades")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    command = ["backtest", "--data", str(folder), "--model", "ewma", "--top-k", "2", "--paths", "8"]
    assert cli.main([*command, *options]) == 0
    out, err = capsys.readouterr()
    assert "broken.csv is left out" in err
    assert "5 instruments" in out
    assert "break-even cost" in out
    written = json.loads(files["json"].read_text())
    assert written["instruments"] == ["S0", "S1", "S2", "S3", "S9"]
    assert written["plan"]["costs"] == {"buy": 0.001, "sell": 0.0015}
    curves = pd.read_csv(files["curves"])
    assert curves.columns.tolist() == ["time", "strategy", "equal weight", "momentum"]
    assert curves["strategy"].iloc[-1] == written["equity"]["strategy"][-1]
    assert len(pd.read_csv(files["trades"])) == len(written["trades"]) > 0
    assert list((tmp_path / "cache" / "kronos-fan" / "backtests").iterdir())


def test_the_command_begins_with_the_daily_samples(capsys):
    days = ["--start", "2012-06-01", "--end", "2012-07-15"]
    assert cli.main(["backtest", "--model", "bootstrap", "--no-cache", "--paths", "8", *days]) == 0
    out = capsys.readouterr().out
    assert "2 instruments" in out
    assert "no evidence" in out
