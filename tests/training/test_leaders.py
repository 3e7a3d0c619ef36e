"""Leading markets of a corpus: the files that its manifest names."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kronos.errors import InvalidRequest
from kronos.events import CHANNELS, Event
from kronos.nn.checkpoint import save_checkpoint
from kronos.nn.tokenizer import KronosTokenizer
from kronos.training import recipes, run
from kronos.training.corpus import CorpusEvents, Holdout, load_corpus
from kronos.training.leaders import load_leaders
from kronos.training.loop import LoopConfig
from kronos.training.windows import WindowPlan


def write_bars(path, first: str, n: int, freq: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    opened = np.append(close[:1], close[:-1])
    table = {
        "timestamp": pd.date_range(first, periods=n, freq=freq, tz="UTC"),
        "open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close),
        "close": close, "volume": 1.0, "amount": close,
    }  # fmt: skip
    pd.DataFrame(table).to_parquet(path)


@pytest.fixture
def folder(tmp_path):
    write_bars(tmp_path / "COIN.parquet", "2024-03-04", 300, "h", 1)
    write_bars(tmp_path / "a.parquet", "2024-03-01", 200, "h", 2)
    write_bars(tmp_path / "b.parquet", "2024-03-07", 200, "h", 3)  # begins before the end of a
    return tmp_path


def manifest(folder, **leaders: str):
    files = ("COIN.parquet", "a.parquet", "b.parquet")
    table = pd.DataFrame(
        {
            "file": files,
            "interval": "1h",
            "ticker": ["ETHUSDT", "X", "X"],
            "leader": [leaders.get(file.partition(".")[0], "") for file in files],
        }
    )
    table.to_csv(folder / "m.csv", index=False)
    return folder / "m.csv"


def test_files_of_a_leader_follow_each_other(folder):
    found = load_leaders(folder, manifest(folder, a="btc", b="btc"))
    assert (found.btc.calendar, found.btc.interval) == ("24/7", "1h")
    a, b = (pd.read_parquet(folder / f"{name}.parquet") for name in "ab")
    later = b[b["timestamp"] > a["timestamp"].iloc[-1]]
    assert 0 < len(later) < len(b)
    closes = np.append(a["close"], later["close"])
    np.testing.assert_array_equal(found.btc.frame["close"], closes)
    assert found.spy is found.dxy is found.vix is None


def test_windows_of_the_corpus_read_them(folder):
    path = manifest(folder, a="btc", b="btc")
    corpus = load_corpus(folder, manifest=path, on_calendars=True)
    series = next(each for each in corpus.series if each.name == "COIN.parquet")
    rows = np.arange(series.start, series.start + 120)
    placed = CorpusEvents(corpus, [], load_leaders(folder, path))
    channel = placed.channels(series, rows, 100)[:, CHANNELS.index("btc_log_return_1h")]
    leader = load_leaders(folder, path).btc.frame["close"]
    times = pd.DatetimeIndex(corpus.times[rows[:100]], tz="UTC")
    # What closed with the bar, and nothing over the horizon.
    expected = np.log(leader / leader.shift(1)).reindex(times)
    np.testing.assert_allclose(channel[:100], expected, rtol=1e-5)
    assert not channel[100:].any()


def test_a_corpus_without_leaders_has_none(folder):
    assert load_leaders(folder, manifest(folder)) is None
    assert load_leaders(folder, None) is None


def test_an_unknown_leader_is_refused(folder):
    with pytest.raises(InvalidRequest, match=r"'gold' for a\.parquet; leaders are btc, spy, dxy"):
        load_leaders(folder, manifest(folder, a="gold"))


def test_a_leader_of_another_width_is_refused(folder):
    write_bars(folder / "a.parquet", "2024-01-01", 100, "15min", 2)
    path = manifest(folder, a="btc")
    path.write_text(path.read_text().replace("a.parquet,1h", "a.parquet,15m"))
    with pytest.raises(InvalidRequest, match="The leader btc must have bars of 1h, found 15m"):
        load_leaders(folder, path)


def test_a_run_that_reads_events_reads_them(folder, tmp_path, monkeypatch):
    path = manifest(folder, a="btc", b="btc")
    given = []
    channels = run.CorpusEvents

    def placed(corpus, events, leaders):
        given.append(leaders)
        return channels(corpus, events, leaders)

    monkeypatch.setattr(run, "CorpusEvents", placed)
    event = Event("cpi", pd.Timestamp("2024-03-12 12:30", tz="UTC"), "US")
    config = replace(
        recipes.BUNDLED_MODEL, d_model=16, n_layers=1, n_heads=2, ff_dim=16,
        n_event_channels=20, event_alignment="ahead",
    )  # fmt: skip
    tokenizer = KronosTokenizer(**replace(recipes.BUNDLED_TOKENIZER, d_model=16).to_dict())
    save_checkpoint(tokenizer, tmp_path / "tokenizer")
    run.train_model(
        run.DataConfig(folder, path, Holdout(0.0), events=(event,)),
        WindowPlan(contexts=(32,), future=8, bars_per_batch=80),
        LoopConfig(steps=1, lr=1e-3),
        recipes.model_objective("returns", is_published=False),
        tmp_path / "out",
        tokenizer=tmp_path / "tokenizer",
        config=config,
        device="cpu",
    )
    assert [each.btc is not None for each in given] == [True]
