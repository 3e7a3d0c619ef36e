"""Whether an adapter learns events: what the command simulates, draws and counts."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmarks.bootstrap import bootstrap
from benchmarks.events.__main__ import main
from benchmarks.events.arms import Fan, Sampling, draw_origins
from benchmarks.events.planted import PlantedPlan, planted_corpus, planted_events, spreads
from benchmarks.events.scores import ARMS, compare, score_windows, verdict
from benchmarks.events.told import TOLD, ToldPlan, measure, measure_placebo, told_table
from kronos.context import CLOSE
from kronos.events import CHANNELS
from kronos.training.corpus import CorpusEvents
from tests.source_tree import ROOT

SAMPLING = Sampling(context=24, horizon=8, paths=16)


@pytest.fixture(scope="module")
def planted():
    plan = PlantedPlan(n_series=3, n_bars=900, interval="1d", weeks=(2, 4))
    events = planted_events(plan)
    corpus = planted_corpus(plan)
    return plan, corpus, CorpusEvents(corpus, events)


@pytest.fixture(scope="module")
def drawn(planted):
    _, corpus, events = planted
    test_from = pd.Timestamp(int(corpus.times[300]), tz="UTC")
    pair = draw_origins(corpus, events, test_from, SAMPLING, most=40)
    return corpus, events, test_from, pair


def test_planted_bars_move_the_multiple_where_the_channels_flag_them(planted):
    plan, corpus, events = planted
    for series in corpus.series:
        at = np.arange(series.start + 1, series.stop)
        flagged = events.any_between(at, at + 1)
        returns = np.log(corpus.values[at, CLOSE] / corpus.values[at - 1, CLOSE])
        ratio = returns[flagged].std() / returns[~flagged].std()
        assert ratio == pytest.approx(plan.multiplier, rel=0.2)


def test_planted_bars_are_candles(planted):
    opens, high, low, close, volume, _ = planted[1].values.T
    assert (high >= np.maximum(opens, close)).all()
    assert (low <= np.minimum(opens, close)).all()
    assert min(low.min(), volume.min()) > 0


def test_event_windows_have_an_event_ahead_and_quiet_windows_none(drawn):
    _, events, _, (with_event, quiet) = drawn
    assert len(with_event) == len(quiet) == 40
    half, whole = SAMPLING.horizon // 2, SAMPLING.horizon
    at = np.array([origin.at for origin in with_event])
    assert events.any_between(at, at + half).all()
    at = np.array([origin.at for origin in quiet])
    assert not events.any_between(at, at + whole).any()


def test_windows_are_scored_in_the_test_and_stay_in_their_series(drawn):
    corpus, _, test_from, pair = drawn
    for origin in [*pair[0], *pair[1]]:
        assert corpus.times[origin.at] >= test_from.value
        assert origin.at - SAMPLING.context >= origin.series.start
        assert origin.at + SAMPLING.horizon <= origin.series.stop
    assert [o.series for o in pair[0]] == [o.series for o in pair[1]]


def scored(drawn, **widths: float) -> pd.DataFrame:
    """Scores of arms whose paths are normal walks, wider or narrower than the outcomes'."""
    corpus, _, _, pair = drawn
    rng = np.random.default_rng(0)
    tables = []
    for origins, has_event in zip(pair, (True, False), strict=True):
        shape = (len(origins), SAMPLING.paths, SAMPLING.horizon)
        walks = rng.normal(0.0, 0.01, shape).cumsum(axis=-1)
        flagged = np.arange(SAMPLING.horizon) == 2
        sampled = {
            arm: [Fan(walk * widths[arm], flagged * has_event) for walk in walks] for arm in ARMS
        }
        tables.append(score_windows(corpus, origins, sampled, SAMPLING, has_event=has_event))
    return pd.concat(tables, ignore_index=True)


def test_equal_arms_are_equal_in_every_draw(drawn):
    figures = compare(scored(drawn, base=1.0, without_events=1.0, with_events=1.0))
    for name, figure in figures.items():
        if name.endswith(("_to_base", "_to_without")):
            assert (figure.value, figure.low, figure.high) == (1.0, 1.0, 1.0)
    assert not verdict(figures)[0]


def test_widths_show_as_spread_and_coverage(drawn):
    figures = compare(scored(drawn, base=1.0, without_events=1.0, with_events=3.0))
    assert figures["event_coverage_with_events"].value > figures["event_coverage_base"].value
    assert figures["event_spread_ratio_with_events"].value == pytest.approx(
        figures["event_spread_ratio_base"].value
    )


def test_intervals_come_from_blocks_and_not_from_rows():
    values = np.repeat([1.0, 2.0, 4.0, 3.0], 50)
    table = pd.DataFrame({"x": values, "n": 1.0, "block": np.repeat(list("abcd"), 50)})
    figure = bootstrap(table, {"mean": lambda sums: sums["x"] / sums["n"]})["mean"]
    assert figure.value == 2.5
    assert figure.high - figure.low > 1.4


def test_the_recovered_ratio_is_that_of_the_paths():
    rng = np.random.default_rng(1)
    sigma = np.where(np.arange(20) == 9, 3.0, 1.0)
    fans = [
        Fan(rng.normal(0.0, sigma, (400, 20)).cumsum(axis=1), np.arange(20) == 9) for _ in range(20)
    ]
    found = spreads(fans, [str(i % 5) for i in range(20)])
    ratio = found["ratio"]
    assert ratio.value == pytest.approx(3.0, rel=0.05)
    assert ratio.low < ratio.value < ratio.high < 1.1 * ratio.low
    assert found["by_distance"]["1"] == pytest.approx(1.0, rel=0.05)
    assert found["event_bars"] == 20


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_short_run_on_planted_bars_widens_event_bars_and_no_others(tmp_path, capsys):
    assert main(["planted", "--quick", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["base"]["ratio"]["value"] == pytest.approx(1.0, abs=0.1)
    assert found["adapter"]["ratio"]["value"] > 1.25
    assert found["adapter"]["by_distance"]["-1"] == pytest.approx(1.0, abs=0.2)
    assert "planted" in capsys.readouterr().out


def test_planted_five_minute_bars_move_where_the_row_before_says_so():
    """No days-until is set, and the clock says nothing."""
    plan = PlantedPlan(n_series=2, n_bars=1500, interval="5m")
    corpus = planted_corpus(plan)
    series = corpus.series[0]
    bars = np.arange(series.start, series.stop)
    rows = CorpusEvents(corpus, planted_events(plan)).channels(series, bars, len(bars), "ahead")
    assert not rows[:, 10:14].any()
    follows = rows[:-1, CHANNELS.index("is_release_bar")] == 1.0
    returns = np.diff(np.log(corpus.values[bars, CLOSE]))
    ratio = returns[follows].std() / returns[~follows].std()
    assert ratio == pytest.approx(plan.multiplier, rel=0.25)
    assert 0.03 < follows.mean() < 0.1


class KnowsTheEffect:
    """In the place of a model: a random walk whose bars are as wide as the rows before them say."""

    facts = SimpleNamespace(event_alignments=("ahead",))

    def __init__(self, multiplier):
        self.multiplier = multiplier

    def sample(self, contexts, futures, sampling, *, events):
        rng, paths = np.random.default_rng(0), []
        for context, future, rows in zip(contexts, futures, events, strict=True):
            close = context.values[:, CLOSE]
            moves = np.diff(np.log(close))
            sigma = np.median(np.abs(moves)) / 0.6745
            flags = rows[len(close) - 1 : -1, CHANNELS.index("is_release_bar")]
            scale = sigma * np.where(flags > 0, self.multiplier, 1.0)
            walks = rng.normal(0.0, scale, (sampling.sample_count, len(future))).cumsum(axis=1)
            paths.append(np.repeat(close[-1] * np.exp(walks)[..., None], 6, axis=-1))
        return np.stack(paths), np.stack([context.values[-1] for context in contexts])


def test_a_true_calendar_helps_a_model_that_knows_the_effect_and_a_false_one_does_not():
    plan = PlantedPlan(n_series=3, n_bars=900, interval="1d", weeks=(2, 4), multiplier=3.0)
    corpus, events = planted_corpus(plan), planted_events(plan)
    begin = str(pd.Timestamp(int(corpus.times[200]), tz="UTC").date())
    told = ToldPlan(SAMPLING, later_from=begin, held_out_from=begin, placebos=4, placebo_windows=40)
    predictor = KnowsTheEffect(plan.multiplier)
    figures, table = measure(predictor, corpus, events, told, lambda _: None)
    assert {"event_n", "quiet_n"} <= set(table.columns)
    assert figures["bar_crps_with_events_to_base"].high < 0.97
    coverage = [figures[f"bar_coverage_{arm}"].value for arm in TOLD]
    assert coverage[0] < 0.6 < coverage[1]
    spread, happened = (
        figures[f"bar_spread_ratio_{arm}"].value for arm in ("with_events", "happened")
    )
    assert spread == pytest.approx(happened, rel=0.3)
    placebo = measure_placebo(predictor, corpus, events, told, lambda _: None)
    assert placebo["bar_crps_with_events_to_base"].low > 1.0
    text = told_table({"all windows": figures, "placebo": placebo})
    assert figures["bar_crps_with_events_to_base"].text() in text


def test_only_a_model_that_reads_events_is_measured(tmp_path, capsys):
    arguments = ["told", "--model", str(ROOT / "tests/golden"), "--corpus", str(tmp_path)]
    assert main([*arguments, "--index", str(tmp_path / "x"), "--out", str(tmp_path)]) == 1
    assert "reads no events" in capsys.readouterr().err
