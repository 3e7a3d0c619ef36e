"""`kronos walk-forward`: files in, forecasts and scores in the store."""

import pandas as pd
import pytest

from data_sources.samples import load_sample
from kronos.cli import main
from kronos.cli.bars import read_series
from kronos.cli.terminal import ProgressLine, duration
from kronos.errors import InvalidCandles
from kronos.forecasters.baselines import BASELINES
from kronos.store.store import Store


def write_bars(folder, name, n_bars=300):
    bars = load_sample("ETHUSD_1h").slice(0, n_bars).frame.tz_localize(None).reset_index()
    bars.to_csv(folder / f"{name}.csv", index=False)


def test_a_second_walk_over_a_folder_finds_its_windows_stored(tmp_path, capsys):
    write_bars(tmp_path, "ETHUSD")
    (tmp_path / "broken.csv").write_text("time\n1\n")
    store = tmp_path / "store.sqlite3"
    command = [
        "walk-forward", str(tmp_path), "--models", "baselines", "ewma", "--origins", "3",
        "--horizon", "4", "--paths", "8", "--store", str(store),
    ]  # fmt: skip
    assert main(command) == 0
    err = capsys.readouterr().err
    n_windows = 3 * len(BASELINES)  # ewma, named twice, is walked once
    assert f"{n_windows} windows stored" in err
    assert "broken.csv is left out" in err
    with Store(str(store)) as opened:
        assert opened.counts()["signal_evaluations"] == n_windows * 4
        assert opened.series() == [("files", "ETHUSD", "1h")]
    assert main(command) == 0
    assert "0 windows stored" in capsys.readouterr().err
    assert main(["score", "--store", str(store)]) == 0
    assert "afterwards" in capsys.readouterr().out


def test_series_of_a_folder(tmp_path):
    write_bars(tmp_path, "ETHUSD")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    series, broken = list(read_series(tmp_path))
    sample = load_sample("ETHUSD_1h").slice(0, 300).frame
    pd.testing.assert_frame_equal(series.candles.frame, sample, check_freq=False)
    assert (series.candles.symbol, series.candles.interval) == ("ETHUSD", "1h")
    assert isinstance(broken, InvalidCandles)
    assert "notes.csv is left out" in str(broken)
    (tmp_path / "list.csv").write_text("file,ticker\nETHUSD.csv,ETHEUR\n")
    assert next(read_series(tmp_path, manifest=tmp_path / "list.csv")).candles.symbol == "ETHEUR"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--models", "of nobody"], "no model"),
        (["--since", "yesterday week"], "not a date"),
        (["--history", "5000"], "None of the 1 series"),
        (["--paths", "20000"], "sample_count must be"),
    ],
)
def test_mistakes_are_explained_in_a_line(tmp_path, capsys, options, expected):
    write_bars(tmp_path, "ETHUSD")
    store = str(tmp_path / "store.sqlite3")
    assert main(["walk-forward", str(tmp_path), *options, "--store", store]) == 2
    assert expected in capsys.readouterr().err


def test_the_progress_line_shows_the_time_left(monkeypatch):
    class Terminal:
        def __init__(self):
            self.text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    clock = iter([0.0, 10.0, 10.0, 10.0, 10.0])
    monkeypatch.setattr("kronos.cli.terminal.time.monotonic", lambda: next(clock))
    terminal = Terminal()
    line = ProgressLine("windows", tells_time=True, stream=terminal)
    line(100, 1300)
    line(300, 1300)
    assert "windows: 300 of 1,300, 50 s left" in terminal.text
    lengths = [duration(seconds) for seconds in (59, 60, 3599, 3900)]
    assert lengths == ["59 s", "1 min", "1 h 00 min", "1 h 05 min"]
