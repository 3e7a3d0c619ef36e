"""Synthetic candles: valid, on the calendar, read back by the application, and compared fairly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_sources.csv.reader import read_csv
from data_sources.samples import load_sample
from kronos import cli
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.export import candles_csv
from kronos.forecast import COLUMNS
from kronos.serving.service import LocalService, forecaster_facts
from kronos.synthetic import SyntheticPlan, realism, series_request, synthetic_series
from tests.portfolio.universe import made

GOLDEN = str(Path(__file__).parents[1] / "golden")


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with closing(LocalService(device="cpu")) as started:
        yield started


def generate(service: LocalService, source: Candles, plan: SyntheticPlan) -> list[Candles]:
    request = series_request(source, plan, service.facts(plan.model))
    return synthetic_series(source, service.run(request))


def test_series_continue_past_the_models_window_on_the_right_calendar(service):
    source = load_sample("GOOG_1d").slice(-200)
    plan = SyntheticPlan(GOLDEN, n_bars=70, n_series=3, lookback=500)
    with pytest.raises(InvalidRequest, match="n_bars"):
        SyntheticPlan(n_bars=0)
    series = generate(service, source, plan)
    assert len(series) == 3
    expected = source.future(70)
    for each in series:
        assert (each.frame.index == expected).all()
        assert each.local_index.day_of_week.max() < 5
        assert (each.calendar, each.zone, each.interval) == ("XNYS", "America/New_York", "1d")
    closes = np.stack([each.frame["close"] for each in series])
    assert len(np.unique(closes[:, -1])) == 3


def test_a_window_slides_past_the_most_the_model_reads(service):
    source = load_sample("BTCUSD_30m").slice(-508)
    (series,) = generate(service, source, SyntheticPlan(GOLDEN, n_bars=12, lookback=508))
    assert len(series) == 12
    # 508 read and 12 drawn are more than the 512 that are read at once.
    assert (series.frame.index == source.future(12)).all()


def test_the_same_seed_gives_the_same_series(service):
    source = load_sample("ETHUSD_1h").slice(-100)
    first, again, other = (
        generate(service, source, SyntheticPlan(GOLDEN, n_bars=20, seed=seed))[0].frame
        for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


@pytest.mark.parametrize("key", ["GOOG_1d", "BTCUSD_30m", "EURUSD_1h"])
def test_the_applications_own_reader_reads_what_is_written(service, key):
    source = load_sample(key).slice(-150)
    # Longer than a week, by which a reader tells crypto from what rests on weekends.
    plan = SyntheticPlan("bootstrap", n_bars=400, top_p=1.0)
    (series,) = generate(service, source, plan)
    reading = read_csv(candles_csv(series).encode(), "made.csv")
    assert reading.report.rows_read == reading.report.rows_kept == 400
    back = reading.candles
    assert (back.interval, back.calendar) == (series.interval, series.calendar)
    pd.testing.assert_index_equal(back.frame.index, series.frame.index, check_names=False)
    np.testing.assert_allclose(back.frame.to_numpy(), series.frame.to_numpy(), rtol=1e-12)


def calm_and_wild(n: int, seed: int, *, clusters: bool) -> Candles:
    """Bars whose volatility has long spells, or changes from bar to bar."""
    rng = np.random.default_rng(seed)
    spells = np.repeat(rng.choice([0.004, 0.03], n // 40 + 1), 40)[:n]
    spread = spells if clusters else rng.permutation(spells)
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1.0, n) * spread))
    volume = 1000.0 * spread / 0.01 * rng.lognormal(0.0, 0.2, n)
    table = np.stack([closes, closes, closes, closes, volume, volume * closes], axis=1)
    index = pd.date_range("2020-01-01", periods=n, freq="h", tz="UTC", name="timestamp")
    frame = pd.DataFrame(table, index, list(COLUMNS))
    return Candles(frame, "1h", "UTC", "24/7", "X", "made of numbers")


def test_bars_of_the_source_look_like_the_source():
    source = calm_and_wild(4000, 0, clusters=True)
    report = realism(source, [source.slice(k, k + 1000) for k in (0, 1000, 2000)])
    assert report.n_inside >= report.n_measures - 3
    assert report.measures["volume and |return|"].source > 0.3


def test_a_series_without_memory_or_of_other_size_lies_outside():
    source = calm_and_wild(4000, 0, clusters=True)
    report = realism(source, [calm_and_wild(2000, s, clusters=False) for s in (1, 2)])
    assert sum(each.is_inside for each in report.memory) <= 2
    assert all(each.source > 0.15 for each in report.memory[:10])
    short = source.slice(0, 1000)
    frame = short.frame.copy()
    frame[list(COLUMNS[:4])] **= 3.0
    wide = Candles(frame, "1h", "UTC", "24/7", "X", "made of numbers")
    report = realism(short, [wide])
    assert report.measures["standard deviation"].synthetic == pytest.approx(3.0)
    assert not report.measures["standard deviation"].is_inside
    assert not report.measures["KS distance"].is_inside


def test_without_volume_nothing_is_said_of_it():
    bars = made(1, 200, has_volume=False)["S0"]
    assert "volume and |return|" not in realism(bars, [bars]).measures


def test_too_few_bars_are_refused(service):
    bars = made(1, 200)["S0"]
    with pytest.raises(InvalidRequest, match="at least 60 bars"):
        realism(bars, [bars.slice(0, 30)])
    with pytest.raises(InvalidRequest, match="at least 32 bars"):
        series_request(bars.slice(0, 10), SyntheticPlan(), forecaster_facts("bundled"))


def test_the_command_writes_series_and_report(tmp_path, capsys):
    file, out, report = tmp_path / "S0.csv", tmp_path / "made", tmp_path / "report.json"
    made(1, 200)["S0"].frame.to_csv(file)
    command = ["synthesize", str(file), "--model", "fhs", "--bars", "80", "--symbol", "A/B"]
    options = ["--series", "2", "-o", str(out), "--report", str(report)]
    assert cli.main([*command, *options]) == 0
    assert [path.name for path in sorted(out.iterdir())] == [
        "A-B-synthetic-1.csv",
        "A-B-synthetic-2.csv",
    ]
    assert "95% band" in capsys.readouterr().err
    facts = json.loads(report.read_text())
    assert facts["model"] == "fhs"
    assert {"name", "source", "synthetic", "low", "high", "is_inside"} <= set(facts["measures"][0])
    assert cli.main([*command, "--quiet"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert len(printed.out.splitlines()) == 81
    assert cli.main([*command, "--series", "2"]) == 2
