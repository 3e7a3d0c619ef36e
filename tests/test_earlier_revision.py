"""What revision c548ed4 left on a machine is read as before.

tests/revisions/c548ed4 holds a user's folders and the files that commands and pages wrote; its
README says how they were made. Each test gets a copy of the folders and reads them as a user would.
"""

from __future__ import annotations

import ast
import contextlib
import datetime as dt
import hashlib
import io
import json
import re
import shutil
import sqlite3
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kronos
import kronos.store
from data_sources.cache.cache import CachedBars
from data_sources.registry import register_source
from data_sources.samples import SAMPLES, load_sample
from data_sources.source import Instrument
from kronos import models
from kronos.calibration import load_state
from kronos.cli import main
from kronos.ensemble.weights import load_weights
from kronos.errors import SourceDown
from kronos.events import load_events
from kronos.export import load_forecast
from kronos.finetune.history import champions, read
from kronos.forecasters.baselines import baseline
from kronos.models import adapters, checkpoints
from kronos.store import open_store
from kronos.store.record import read_record
from kronos.store.schema import REVISION
from pages.ui.jobs import caches, saving
from pages.ui.track_record.record import record
from tests.pages.app_driver import new_session, press, run_until, words

LEFT = Path(__file__).parent / "revisions" / "c548ed4"
BASELINES = "6d6ad9aac2acdfa5"
BUNDLED = "0d13194dd9e1d17e"
TOLD = "5f9c06f1c3f729ad"
FIRST, SECOND = "44f98ec49af61e0a", "cdb17948843c1760"
RUN = "k-jp4tyWULb3hwZhgZ_Lcw"
COUNTS = {
    "ml_predictions": 10,
    "prediction_paths": 8,
    "signal_evaluations": 34,
    "path_evaluations": 11,
}
BY_HAND = "996828a8b51a89656a3af9ec7b7e95cbeb75887fe13951195a3c4f414ed919e7"
BY_PAGE = "c871399b8139540a0ae85411d775cfa88f9dc4c12291cad1ed40246ad7a4ef70"
DIGITS = 1e-4
"""How far the paths of a network may differ between processors, relative to a price."""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A machine on which that revision was used: its folders of data and cache."""
    for name, variable in (("data", "XDG_DATA_HOME"), ("cache", "XDG_CACHE_HOME")):
        shutil.copytree(LEFT / name, tmp_path / name)
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.delenv("KRONOS_STORE", raising=False)
    # Forecasts are compared with those of then: the bundled checkpoint is that of then too.
    edition = checkpoints.edition_folder("bundled-0d13194d")
    monkeypatch.setattr(checkpoints, "asset_path", lambda *_: edition)
    monkeypatch.setattr(adapters, "EDITIONS", {})
    plan = tmp_path / "data/kronos-fan/runs" / RUN / "plan.json"
    plan.write_text(plan.read_text().replace('"RUN', f'"{plan.parent}'))
    look_again()
    yield tmp_path
    look_again()


def look_again() -> None:
    """The pages remember for seconds what is on the machine."""
    for remembered in (
        caches.models, caches.event_readers, caches.calibration, caches.ensemble,
    ):  # fmt: skip
        remembered.clear()
    record().refresh()


@pytest.fixture
def samples(root, monkeypatch) -> Path:
    """The folder of the bundled samples; commands that were given are relative to the checkout."""
    monkeypatch.chdir(root)
    return Path("assets/samples")


def agree(found: object, expected: object, rtol: float, where: str = "") -> None:
    """Two JSON documents say the same: keys in their order, texts exactly, numbers nearly."""
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for name in expected:
            agree(found[name], expected[name], rtol, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            agree(one, other, rtol, f"{where}[{i}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=rtol), where
    else:
        assert found == expected, where


def frames_agree(found: str, name: str, rtol: float = 1e-9) -> None:
    """CSV text says the same as a file of that revision."""
    expected = pd.read_csv(LEFT / "out" / name)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(found)), expected, rtol=rtol, atol=0.0)


# The store of forecasts.


def test_the_store_has_every_row(capsys):
    assert open_store().counts() == COUNTS
    assert main(["store", "export"]) == 0
    assert capsys.readouterr().out == (LEFT / "out/steps.csv").read_text()
    assert main(["store", "export", "--format", "json"]) == 0
    digest = hashlib.sha256(capsys.readouterr().out.encode()).hexdigest()
    assert digest == "dae3defa42826b6859c7f89e63408befb7f02928b3dff451b6ea317c61893cb7"


def test_a_prediction_is_what_was_saved():
    store = open_store()
    found = store.get(BY_HAND[:12])
    assert found.id == BY_HAND
    assert (found.instrument, found.source, found.interval) == ("GOOG", "samples", "1d")
    assert (found.zone, found.calendar) == ("America/New_York", "XNYS")
    assert found.origin == pd.Timestamp("2012-06-01 04:00", tz="UTC")
    assert found.timestamps[-1] == pd.Timestamp("2012-06-06 04:00", tz="UTC")
    assert (found.model_name, found.model_version) == ("ewma", BASELINES)
    assert (found.last_close, found.volatility) == (570.98, 0.015891401951992876)
    assert found.parameters == {
        "T": 1.0, "top_p": 1.0, "top_k": 0, "sample_count": 10, "n_context": 64, "anchored": False,
    }  # fmt: skip
    assert (found.seed, found.software_version) == (6, "0.1.0")
    assert found.event_context == {"cpi": [1, 0.5], "told": "by hand"}
    assert found.quantiles.shape == (3, 15)
    assert found.quantiles[2, 7] == 565.6344447037483
    assert found.probability_up.tolist() == [0.5, 0.3, 0.4]
    paths = store.paths(found)
    assert list(paths) == ["open", "high", "low", "close", "volume", "amount"]
    assert paths["close"].shape == (10, 3)
    assert np.median(paths["close"][:, 2]) == pytest.approx(565.6344447037483)


def test_outcomes_and_their_corrections_are_there():
    store = open_store()
    steps = store.evaluations([BY_HAND]).set_index("step")
    assert steps["revision"].tolist() == [1, 0, 0]
    assert steps["outcome"].tolist() == ["corrected", "observed", "observed"]
    assert steps["actual"].tolist() == [579.59, 570.41, 580.57]
    assert steps.loc[1, "crps"] == 0.011482568314952701
    waiting = next(store.predictions(instrument="EURUSD"))
    assert store.evaluations([waiting.id]).empty
    assert store.paths(waiting)["close"].shape == (10, 2)
    (walked,) = store.predictions(source="files", model="bundled")
    assert (walked.model_version, store.paths(walked)) == (BUNDLED, {})
    assert len(store.evaluations([walked.id])) == 2


def test_the_scores_are_those_of_then(capsys):
    assert main(["score", "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out)).set_index(["model", "interval"])
    assert len(table) == 7
    assert table["predictions"].sum() == 9
    row = table.xs("1d", level="interval").filter(like="ewma", axis=0).iloc[0]
    assert (row["predictions"], row["steps"], row["missing"]) == (3, 8, 0)
    assert row["crps"] == pytest.approx(0.3701, abs=5e-5)
    assert row["interval_score"] == pytest.approx(0.3741, abs=5e-5)


def test_the_database_is_brought_up_to_date(home):
    path = home / "data/kronos-fan/forecasts.sqlite3"
    assert schema_of(path) == "0001"
    assert open_store().counts() == COUNTS
    assert schema_of(path) == REVISION
    # Scores that came later are unknown, and rows still never change.
    rows = read_record(open_store(), models.cut_off)
    assert len(rows) == 32
    assert rows[["log_score", "qlike"]].isna().all(axis=None)
    with contextlib.closing(sqlite3.connect(path)) as database:
        for table in ("signal_evaluations", "path_evaluations"):
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                database.execute(f"DELETE FROM {table}")


def schema_of(path: Path) -> str:
    """Revision of a database's tables, as Alembic notes it."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        (version,) = database.execute("SELECT version_num FROM kronos_store_version").fetchone()
    return version


def test_it_is_a_backup_that_can_be_restored(tmp_path):
    old = str(LEFT / "data/kronos-fan/forecasts.sqlite3")
    new = str(tmp_path / "new.sqlite3")
    # A copy, as reading a file in SQLite may leave others beside it.
    shutil.copy(old, tmp_path / "old.sqlite3")
    assert main(["store", "--store", new, "restore", str(tmp_path / "old.sqlite3")]) == 0
    assert open_store(new).counts() == COUNTS


# A request is kept once, whichever revision it was made with.


@pytest.mark.parametrize(
    ("asked", "prediction"),
    [
        ("BTCUSD_30m.csv --origin 2019-09-20T12:00 --horizon 4 --seed 1", "3b3d5bdeb00c2fd5"),
        ("GOOG_1d.csv --origin 2012-06-01 --horizon 3 --seed 2 --model ewma", "d128a8fcfbf88a46"),
        (
            "ETHUSD_1h.csv --origin 2019-09-20T12:00 --horizon 4 --seed 4 --model ensemble",
            "35c1e8ee8af35536",
        ),
    ],
    ids=["bundled", "ewma", "ensemble"],
)
def test_a_forecast_by_command_is_there_already(asked, prediction, samples, capsys):
    name, *options = asked.split()
    given = [str(samples / name), *options, "--paths", "10", "--lookback", "64", "--save"]
    assert main(["forecast", *given]) == 0
    assert prediction in capsys.readouterr().err
    assert open_store().counts() == COUNTS


def test_a_forecast_into_a_holiday_that_the_calendar_lacked_is_another_one(samples, capsys):
    given = [str(samples / "EURUSD_1h.csv"), "--horizon", "2", "--seed", "3"]
    assert main(["forecast", *given, "--paths", "10", "--lookback", "64", "--save"]) == 0
    times = [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert times[0] == "2018-01-01T22:00:00+00:00"  # currencies do not trade on 1 January
    begins = {each.timestamps[0] for each in open_store().predictions(instrument="EURUSD")}
    assert begins == {pd.Timestamp("2017-12-31T22:00", tz="UTC"), pd.Timestamp(times[0])}


def test_a_forecast_saved_by_hand_is_there_already():
    google = load_sample("GOOG_1d")
    known = google.at_origin(pd.Timestamp("2012-06-01", tz=google.zone)).history
    forecast = baseline("ewma").forecast(
        known.frame,
        x_timestamp=known.local_index,
        y_timestamp=known.future(3).tz_convert(known.zone),
        sample_count=10,
        seed=6,
        lookback=64,
    )
    context = {"cpi": [1, 0.5], "told": "by hand"}
    saved = kronos.store.save(forecast, google, source="samples", event_context=context)
    assert (saved.id, saved.is_new) == (BY_HAND, False)
    other = kronos.store.save(forecast, google, source="samples")
    assert other.is_new
    assert open_store().counts()["ml_predictions"] == COUNTS["ml_predictions"] + 1


def test_a_forecast_with_events_by_the_page_is_there_already():
    app = new_session(
        "forecast", data=SAMPLES["GOOG_1d"].title, model="told", origin="2013-02-15", horizon=6,
        paths=10, lookback=64, seed=5,
    ).run()  # fmt: skip
    run_until(app, lambda app: "shown" in app.session_state)
    run_until(press(app, "run"), lambda app: "Saved in the record" in words(app))
    saving.save_queue().wait()
    assert saving.save_queue().problem == ""
    assert open_store().counts() == COUNTS
    context = open_store().get(BY_PAGE).event_context
    assert context == {"events_sha256": load_forecast(LEFT / "out/told.safetensors").events_hash}


def test_a_walk_finds_its_windows_done(samples, tmp_path, capsys):
    (tmp_path / "walk").mkdir()
    shutil.copy(samples / "IBM_1d.csv", tmp_path / "walk/IBM.csv")
    options = (
        "--models bundled ewma --origins 1 --since 2013-01-15 --horizon 2 --lookback 64 --paths 8 "
        "--seed 7"
    )
    assert main(["walk-forward", str(tmp_path / "walk"), *options.split()]) == 0
    found = re.search(r"(\d+) windows stored .*?(\d+) were stored", capsys.readouterr().err)
    assert found is not None
    assert found.groups() == ("0", "2")
    assert open_store().counts() == COUNTS


def test_outcomes_that_are_known_are_recorded_once(samples):
    files = [str(samples / name) for name in ("BTCUSD_30m.csv", "ETHUSD_1h.csv")]
    assert main(["score", *files, "-o", "-"]) == 0
    assert open_store().counts() == COUNTS


# Forecasts as files.


def test_a_forecast_file_is_the_forecast():
    told = load_forecast(LEFT / "out/told.safetensors")
    assert told.paths.shape == (10, 6, 6)
    assert (told.model_name, told.model_revision, told.n_context) == ("told", TOLD, 64)
    assert told.origin == pd.Timestamp("2013-02-15", tz="America/New_York")
    assert str(told.timestamps.tz) == "America/New_York"
    assert told.events_hash.startswith("e389deeba53a32f0")
    assert told.context_hash.startswith("d65144afbc342e69")
    assert (told.parameters.seed, told.parameters.sample_count) == (5, 10)
    stored = open_store().paths(open_store().get(BY_PAGE))
    assert np.array_equal(told.column("close"), stored["close"])
    calibrated = load_forecast(LEFT / "out/calibrated.safetensors")
    assert calibrated.calibration_hash == load_state().digest
    assert (calibrated.model_name, calibrated.horizon) == ("bundled", 3)


def test_the_same_command_writes_the_same_csv(samples, tmp_path, capsys):
    options = "--model ewma --origin 2012-06-01 --horizon 3 --seed 2 --paths 10 --lookback 64 -q"
    paths = tmp_path / "paths.csv"
    given = [str(samples / "GOOG_1d.csv"), *options.split(), "--paths-out", str(paths)]
    assert main(["forecast", *given]) == 0
    frames_agree(capsys.readouterr().out, "goog.csv")
    frames_agree(paths.read_text(), "goog_paths.csv")


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("calibrated.json", "BTCUSD_30m.csv --seed 1 --calibrated"),
        ("ensemble.json", "ETHUSD_1h.csv --seed 4 --model ensemble"),
    ],
)
def test_the_same_command_writes_the_same_json(name, asked, samples, capsys):
    file, *options = asked.split()
    both = "--origin 2019-09-20T12:00 --horizon 4 --paths 10 --lookback 64 -q --format json"
    assert main(["forecast", str(samples / file), *options, *both.split()]) == 0
    agree(
        json.loads(capsys.readouterr().out), json.loads((LEFT / "out" / name).read_text()), DIGITS
    )


@pytest.mark.parametrize("name", ["told", "ensemble", "calibrated", "fetch"])
def test_python_that_a_page_showed_finds_what_it_imports(name):
    for node in ast.walk(ast.parse((LEFT / f"out/{name}.txt").read_text())):
        if isinstance(node, ast.ImportFrom):
            assert all(hasattr(import_module(node.module), each.name) for each in node.names)


def test_python_that_a_page_showed_makes_the_same_forecast(capsys):
    names: dict[str, object] = {}
    exec((LEFT / "out/told.txt").read_text(), names)
    assert "These are not" not in capsys.readouterr().out
    expected = load_forecast(LEFT / "out/told.safetensors")
    np.testing.assert_allclose(names["forecast"].paths, expected.paths, rtol=DIGITS)


# Adapters, fine-tuning, weights and calibrations.


def test_an_adapter_is_loaded_by_its_name():
    assert list(adapters.installed()) == ["rolled-crypto", "told"]
    facts = adapters.read_facts(adapters.adapter_path("told"))
    assert (facts.base, facts.rank, facts.alpha, facts.steps) == ("bundled", 1, 16, 4)
    assert (facts.n_parameters, facts.has_events) == (7104, True)
    assert facts.code == "0.1.0 c548ed4f3ccb"
    assert facts.cut_off == "2025-12-21T00:00:00+00:00"
    assert models.cut_off("told", TOLD) == dt.date(2026, 1, 9)
    told = models.load("told", device="cpu")
    assert (told.name, told.revision, told.reads_events) == ("told", TOLD, True)
    plain = models.load("bundled", device="cpu")
    assert (plain.revision, plain.reads_events) == (BUNDLED, False)
    listed = {entry.name: entry.revision for entry in models.available()}
    assert (listed["told"], listed["rolled-crypto"]) == (TOLD, SECOND)


def test_champions_are_known_and_rolled_back(capsys):
    folder = adapters.rolling_folder("rolled-crypto")
    before = read(folder)
    assert [decision.what for decision in before] == ["promoted", "kept", "promoted"]
    assert champions(before) == [FIRST, SECOND]
    assert before[2].scores["challenger"]["crps"] == pytest.approx(0.4205, abs=5e-5)
    assert models.load("rolled-crypto", device="cpu").revision == SECOND
    assert main(["finetune", "history", "rolled-crypto"]) == 0
    assert [FIRST in line for line in capsys.readouterr().out.splitlines()] == [True, False, False]
    assert main(["finetune", "rollback", "rolled-crypto"]) == 0
    assert models.load("rolled-crypto", device="cpu").revision == FIRST
    assert champions(read(folder)) == [FIRST]


def test_a_stopped_training_goes_on_where_it_was(home):
    folder = home / "data/kronos-fan/runs" / RUN
    log = folder / "model-run/log.jsonl"
    app = new_session("training", run=RUN).run()
    assert not app.exception
    assert "Windows: 32 + 4 bars, 4 per step" in words(app)
    assert {"train_resume", "train_new"} <= {button.key for button in app.button}
    before = log.read_text()
    arguments = json.loads((folder / "plan.json").read_text())["arguments"]
    assert main(arguments) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert log.read_text().startswith(before[: before.rindex('{"split": "end"')])
    trained = [line["step"] for line in lines if line.get("split") == "train"]
    assert trained == [1, 2, 3, 4], "no step is done twice, and none is left out"
    assert (lines[-1]["reason"], lines[-1]["step"]) == ("finished", 4)
    facts = adapters.read_facts(folder / "adapter.safetensors")
    assert (facts.cut_off, facts.has_events) == ("2020-01-07T02:00:00+00:00", False)
    app = new_session("training", run=RUN).run()
    assert "CRPS of the base" in words(app)
    assert "1.1787" in words(app)


def test_learned_weights_are_used():
    weights = load_weights()
    assert weights.revision == "cc5a2215c3dddc81"
    assert (weights.members, weights.revisions) == (("bundled", "ewma"), (BUNDLED, BASELINES))
    assert not weights.is_equal
    assert weights.learned.n_apart == {"any": 228}
    assert weights.learned.cut_off == pd.Timestamp("2025-11-12", tz="UTC")
    assert weights.trial.n_outcomes == 942
    assert weights.trial.learned == pytest.approx(0.2646, abs=5e-5)


def test_a_learned_calibration_is_used():
    state = load_state()
    assert state.digest == "d6eb4542de9b61c946b75f915192c71bdb39fbc6845e2ee1745b04ab3f30f341"
    assert state.learned_from == "hourly bars that were made up"
    assert state.knows("bundled", BUNDLED)
    assert state.knows("ewma", BASELINES)
    (_, first), (_, second) = state.of_steps("ewma", BASELINES, "crypto", "1h", 2)
    assert (first.n_outcomes, second.n_outcomes) == (700, 700)


def test_events_of_the_user_are_on_the_calendar():
    own = {(event.kind, event.name): event for event in load_events() if event.source == "made"}
    assert own["news", "Hearing"].time == pd.Timestamp("2013-02-20 17:00", tz="UTC")
    assert own["earnings", ""].symbol == "GOOG"
    release = own["cpi", ""]
    assert (release.region, release.actual, release.consensus) == ("US", 0.2, 0.1)


# Caches.


class Silent:
    """A source that is down: what is answered comes out of the cache.

    Attributes:
        asked: The requests for bars, as keyword arguments.
    """

    title = "Silent"
    intervals = ("1h", "1d")

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[dict[str, object]] = []

    def suggest(self, text: str, limit: int = 10) -> list[Instrument]:
        return []

    def fetch(self, symbol: str, **options: object) -> object:
        self.asked.append({"symbol": symbol} | options)
        raise SourceDown("Nobody answers.")


def test_bars_are_in_the_cache():
    yahoo = Silent("yahoo")
    span = {"start": pd.Timestamp("2026-10-05", tz="UTC")}
    span["end"] = pd.Timestamp("2026-10-30", tz="UTC")
    found = CachedBars(yahoo).fetch("AAPL", interval="1d", **span)
    assert not yahoo.asked
    candles = found.candles
    assert (candles.symbol, candles.zone, candles.calendar) == ("AAPL", "America/New_York", "XNYS")
    assert (found.instrument.name, found.instrument.currency) == ("Apple Inc.", "USD")
    assert found.instrument.kind == "stock"
    expected = pd.read_csv(LEFT / "out/AAPL.csv").iloc[2:21]
    assert [f"{day:%Y-%m-%d}" for day in candles.local_index] == expected["timestamp"].tolist()
    columns = list(candles.frame.columns)
    assert np.array_equal(candles.frame.to_numpy(), expected[columns].to_numpy(dtype=float))
    raw = CachedBars(yahoo).fetch(
        "AAPL", interval="1d", adjusted=False, start=pd.Timestamp("2026-10-20", tz="UTC"),
        end=span["end"],
    )  # fmt: skip
    assert (len(raw.candles), raw.candles.frame["close"].iloc[0]) == (8, 150.362099)
    hours = CachedBars(Silent("binance")).fetch(
        "BTC/USDT", interval="1h", start=pd.Timestamp("2026-11-01", tz="UTC"),
        end=pd.Timestamp("2026-11-01 23:00", tz="UTC"),
    )  # fmt: skip
    assert (len(hours.candles), hours.candles.calendar) == (24, "24/7")
    assert hours.candles.frame["close"].iloc[-1] == 189.45727386
    assert not yahoo.asked


def test_a_backtest_gives_the_same_result(samples, home, tmp_path):
    """Its cached outlooks are computed anew: their keys say nothing of event rows."""
    (cached,) = (home / "cache/kronos-fan/backtests").iterdir()
    before = cached.read_bytes()
    options = "--model ewma --start 2013-01-15 --horizon 2 --paths 10 --seed 8"
    sizes = []
    for _ in range(2):
        out = tmp_path / "result.json"
        assert main(["backtest", *options.split(), "--json", str(out)]) == 0
        expected = json.loads((LEFT / "out/backtest.json").read_text())
        found = json.loads(out.read_text())
        caution, *found["warnings"] = found["warnings"]
        assert "7 rebalances, fewer than 60" in caution  # which that revision did not say
        agree(found, expected, 1e-9)
        assert cached.read_bytes().startswith(before), "nothing that lies there is lost"
        assert list(cached.parent.iterdir()) == [cached]
        sizes.append(len(cached.read_bytes()))
    assert len(before) < sizes[0] == sizes[1], "the second run finds its outlooks"


# Watchlists in a browser, and links.

LISTS = {
    "Shares": {"source": "yahoo", "interval": "1d", "symbols": "AAPL, MSFT"},
    "All I try": {"source": "samples", "interval": "", "symbols": "GOOG, IBM"},
    "Coins": {"source": "binance", "interval": "1h", "symbols": "BTC/USDT, ETH/USDT"},
}
"""What a browser keeps under the key of its storage."""


def watchlist_of_a_browser():
    """The page after a browser has told it what it keeps."""
    app = new_session("watchlist", list_source="Samples", samples="GOOG")
    answer = {"done": 0, "lists": json.dumps(LISTS), "problem": ""}
    app.session_state["saved_watchlists"] = {"answer": json.dumps(answer)}
    return app.run()


def test_saved_watchlists_are_read_and_loaded():
    app = watchlist_of_a_browser()
    assert app.selectbox(key="saved_name").options == ["All I try", "Coins", "Shares"]
    app.selectbox(key="saved_name").set_value("Shares").run()
    press(app, "saved_load")
    assert app.selectbox(key="list_source").value == "yahoo"
    assert app.text_area(key="symbols").value == "AAPL, MSFT"
    assert app.selectbox(key="list_interval").value == "1d"
    app.selectbox(key="saved_name").set_value("All I try").run()
    press(app, "saved_load")
    assert app.selectbox(key="list_source").value == "samples"
    assert app.text_area(key="samples").value == "GOOG, IBM"
    assert not app.exception


def test_watchlists_are_saved_where_and_as_they_were():
    app = watchlist_of_a_browser()
    app.text_input(key="saved_new_name").set_value("Mine").run()
    press(app, "saved_save")
    (storage,) = app.get("bidi_component")
    asked = json.loads(storage.proto.json)
    assert asked["place"] == "kronos-fan.watchlists"
    fields = {"source": "samples", "interval": "", "symbols": "GOOG"}
    assert asked["change"] == {"Mine": fields}


LINKS = json.loads((LEFT / "links.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("asked", LINKS, ids=[link["page"] for link in LINKS])
def test_a_link_sets_every_control(asked):
    page = "" if asked["page"] == "home" else asked["page"]
    app = new_session(page, **asked["query"]).run()
    wanted = asked["controls"]
    run_until(app, lambda app: all(name in app.session_state for name in wanted))
    assert not app.exception
    found = {name: app.session_state[name] for name in wanted}
    days = {name: value.isoformat() for name, value in found.items() if hasattr(value, "isoformat")}
    assert found | days == wanted
    assert not [each.value for each in app.warning if "The link asks" in each.value]


def test_a_link_to_a_ticker_asks_for_its_bars():
    yahoo = Silent("yahoo")
    register_source("yahoo", lambda: yahoo)
    app = new_session(
        data="Ticker", source="Yahoo Finance", symbol="MSFT", interval="1h", raw="true",
        horizon=3, paths=20,
    ).run()  # fmt: skip
    run_until(app, lambda app: bool(app.error))
    assert (yahoo.asked[0]["symbol"], yahoo.asked[0]["interval"]) == ("MSFT", "1h")
    assert yahoo.asked[0]["adjusted"] is False
    assert app.query_params["symbol"] == "MSFT"


def test_the_models_page_lists_the_adapters():
    app = new_session("models").run()
    assert not app.exception
    keys = {button.key for button in app.button}
    assert {"delete told", "delete rolled-crypto", "verify told"} <= keys
    assert {TOLD[:12], SECOND[:12]} <= set(re.findall(r"[0-9a-f]{12}", words(app)))


def test_the_record_shows_the_stored_forecasts():
    app = new_session("track_record", record_sample="Both").run()
    run_until(app, lambda app: "record_model" in app.session_state)
    labels = app.selectbox(key="record_model").options
    assert set(labels) == {
        f"bundled {BUNDLED[:8]}", f"told {TOLD[:8]}", "ensemble cc5a2215", f"ewma {BASELINES[:8]}",
    }  # fmt: skip
    app.selectbox(key="record_model").set_value(f"ewma {BASELINES[:8]}").run()
    run_until(app, lambda app: any(each.value.startswith("ewma") for each in app.header))
    parts = app.dataframe[-1].value
    assert parts["Forecasts"].tolist() == ["1", "3", "3", "1", "4"]
    assert parts["80% coverage"].iloc[-1].startswith("83.3%")
