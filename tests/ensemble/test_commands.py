"""From a store to weights: the command, and the figures of the benchmark."""

from dataclasses import replace

import pytest

from benchmarks import ensemble as benchmark
from kronos.cli import main
from kronos.ensemble.record import read_members
from kronos.ensemble.weights import EnsembleWeights
from kronos.forecasters import baselines
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from tests.store.made import make_candles, make_forecast

MEMBERS = ("ewma", "garch")
CANDLES = make_candles(300, interval="1d", begin="2024-03-01")


def forecast(position, model):
    """One fan that is right, and one that is three times too wide."""
    made = make_forecast(CANDLES, position, horizon=2, seed=position, model=model)
    if model == "garch":
        made.paths[..., :4] = made.last_close * (made.paths[..., :4] / made.last_close) ** 3
    return replace(made, model_revision=baselines.revision())


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("store") / "forecasts.sqlite3")
    with Store(url) as store:
        for position in range(60, 290):
            for model in MEMBERS:
                store.save(forecast(position, model), CANDLES, paths="none")
        store.save(forecast(295, "ewma"), CANDLES, paths="none")  # of one member alone
        score_candles(store, CANDLES)
    return url


def test_rows_are_what_all_members_forecast(address):
    members = [(name, baselines.revision()) for name in MEMBERS]
    with Store(address) as store:
        table = read_members(store, members)
    assert len(table) == 230 * 2
    assert table.quantiles.shape == (460, 2, 15)
    first, second = table.losses().mean(axis=0)
    assert first < second


def test_weights_are_learned_saved_and_shown(address, tmp_path, capsys):
    folder = ["--folder", str(tmp_path / "weights")]
    assert main(["ensemble", "train", "--store", address, "--members", *MEMBERS, *folder]) == 0
    trained = capsys.readouterr().out
    assert "Learned: on" in trained
    assert "forecasts that do not overlap" in trained
    found = EnsembleWeights.load(tmp_path / "weights")
    assert found.trial.learned < found.trial.equal
    assert main(["ensemble", "show", *folder]) == 0
    assert capsys.readouterr().out == trained
    assert main(["ensemble", "weights", "--store", address, *folder]) == 0
    header, row = capsys.readouterr().out.splitlines()[1:3]
    means = dict(zip(header.split(), row.split(), strict=True))
    assert float(means["ewma"]) > 0.55
    assert means["asset_class"] == "crypto"


def test_a_mistake_is_explained(address, tmp_path, capsys):
    folder = ["--folder", str(tmp_path / "weights")]
    arguments = ["ensemble", "train", "--store", address, *folder]
    assert main([*arguments, "--members", "ewma"]) == 2
    assert "two different models" in capsys.readouterr().err
    assert main([*arguments, "--cut-off", "soon"]) == 2
    assert "--cut-off must be a time" in capsys.readouterr().err


def test_the_benchmark_ranks_everybody_on_later_forecasts(address, tmp_path, capsys):
    out = tmp_path / "table.md"
    arguments = ["--store", address, "--members", *MEMBERS, "--out", str(out)]
    assert benchmark.main(arguments) == 0
    assert capsys.readouterr().out == out.read_text()
    later = out.read_text().partition("### All forecasts")[0]
    order = [line.split("|")[1].strip() for line in later.splitlines() if line.startswith("| ")]
    assert set(order[2:]) == {*MEMBERS, "equal weights", "learned weights"}
    assert order[-1] == "garch"
    assert order.index("learned weights") < order.index("equal weights")
