"""From a store to a calibration: what may be learned from, the command, and the figures."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import calibration as benchmark
from kronos.calibration import CalibrationState
from kronos.calibration.record import read_outcomes, usable_record
from kronos.calibration.state import ANY
from kronos.cli import main
from kronos.forecast import SamplingParameters
from kronos.models import cut_off
from kronos.store.record import read_quantiles
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from tests.store.made import make_candles, make_forecast

CANDLES = make_candles(480, interval="1d", begin="2024-03-01")
HORIZON = 3


def narrow(position, *, model="ewma"):
    """A fan that is far too narrow."""
    forecast = make_forecast(CANDLES, position, horizon=HORIZON, seed=position, model=model)
    last = forecast.last_close
    forecast.paths[..., :4] = last * (forecast.paths[..., :4] / last) ** 0.4
    return forecast


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A store of 400 too narrow fans and a few that must not be learned from."""
    url = str(tmp_path_factory.mktemp("store") / "forecasts.sqlite3")
    with Store(url) as store:
        for position in range(60, 460):
            store.save(narrow(position), CANDLES, paths="none")
        cold = SamplingParameters(T=0.5, sample_count=20)
        store.save(replace(narrow(70), parameters=cold), CANDLES, paths="none")
        store.save(narrow(70, model="unheard-of"), CANDLES, paths="none")
        score_candles(store, CANDLES)
    return url


def test_only_what_was_out_of_sample_and_not_narrowed_is_learned_from(address):
    with Store(address) as store:
        record = usable_record(store, cut_off)
        outcomes = read_outcomes(store, cut_off)
    assert set(record["model"]) == {"ewma"}
    assert record["prediction_id"].nunique() == 400
    assert len(outcomes) == 400 * HORIZON
    assert (outcomes.issued < outcomes.resolved).all()
    # The first step's bar ends one bar after the forecast could be made.
    steps = (outcomes.resolved - outcomes.issued) / 8.64e13
    np.testing.assert_array_equal(np.unique(steps), [1, 2, 3])


def test_the_command_learns_keeps_and_shows(address, tmp_path, capsys):
    file = tmp_path / "calibration.json"
    arguments = ["calibrate", "--store", address, "-o", str(file), "--about", "made-up bars"]
    assert main([*arguments, "--fresh"]) == 0
    said = capsys.readouterr()
    assert "1,200 outcomes; saved in" in said.err
    assert "made-up bars" in said.out
    state = CalibrationState.load(file)
    assert {stream.asset_class for stream in state.streams} == {"crypto", ANY}
    for entry in state.streams.values():
        assert entry.offsets[0] < -0.2
        assert entry.offsets[-1] > 0.2
    assert " drift " in said.out.splitlines()[1]
    for entry in state.streams.values():
        assert f" {100 * entry.drift.slope:.0f}% " in said.out
    assert main(["calibrate", "--show", "-o", str(file)]) == 0
    assert capsys.readouterr().out == said.out


def test_an_empty_store_teaches_nothing_and_leaves_the_file(tmp_path, capsys):
    file = tmp_path / "calibration.json"
    store = str(tmp_path / "empty.sqlite3")
    assert main(["calibrate", "--fresh", "--store", store, "-o", str(file)]) == 0
    said = capsys.readouterr()
    assert "no outcomes to learn from" in said.err
    assert "There is no calibration yet." in said.out
    assert not file.exists()


def test_the_benchmark_finds_the_gain_of_correcting_narrow_fans(address, tmp_path, capsys):
    with Store(address) as store:
        record = usable_record(store, cut_off)
        scored = benchmark.score(record, read_quantiles(store, record))
    known = scored[scored["known"]]
    assert len(known) > 300
    assert known["raw_inside"].mean() < 0.55
    assert 0.65 < known["calibrated_inside"].mean() < 0.9
    assert known["calibrated_crps"].mean() < known["raw_crps"].mean()
    assert known["calibrated_crps"].mean() != known["offsets_crps"].mean()
    assert known["cone_crps"].mean() == pytest.approx(1 / np.sqrt(np.pi), rel=0.2)
    out = tmp_path / "table.md"
    assert benchmark.main(["--store", address, "--out", str(out)]) == 0
    assert capsys.readouterr().out == out.read_text()
    row = next(line for line in out.read_text().splitlines() if line.startswith("| 1d |"))
    assert f"{known['calibrated_inside'].mean():.3f}" in row
