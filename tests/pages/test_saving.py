"""Forecasts after a press of Run are saved, beside the page; those of uploads are not."""

import threading

import pandas as pd
import pytest

from kronos.errors import InvalidRequest, StoreDamaged, StoreUnavailable
from kronos.store import open_store
from pages.ui.inputs.candles import UPLOAD
from pages.ui.jobs import saving, scoring
from pages.ui.jobs.saving import SaveQueue, Unsaved, save_queue
from pages.ui.jobs.scoring import Scored, next_wait, run_once
from tests.pages.app_driver import new_session, press, run_until, words
from tests.store.made import make_candles, make_forecast

CANDLES = make_candles()


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", str(tmp_path / "store.sqlite3"))


def n_kept():
    save_queue().wait()
    return open_store().counts()["ml_predictions"]


def opened():
    """The Forecast page with the forecast that it shows unasked."""
    app = new_session(horizon=4, paths=20).run()
    return run_until(app, lambda app: "shown" in app.session_state)


def test_what_is_shown_unasked_is_not_kept_and_what_run_asked_for_is():
    app = opened()
    assert "Saved in the record" not in words(app)
    app.number_input(key="seed").set_value(7).run()
    app = run_until(press(app, "run"), lambda app: "Saved in the record" in words(app))
    assert n_kept() == 1
    (prediction,) = open_store().predictions()
    assert (prediction.source, prediction.seed, prediction.model_name) == ("samples", 7, "bundled")
    app.run()
    assert n_kept() == 1


def test_a_store_that_is_off_keeps_nothing_and_says_so(monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", "off")
    app = opened()
    app.number_input(key="seed").set_value(8).run()
    app = run_until(press(app, "run"), lambda app: "KRONOS_STORE is off" in words(app))
    save_queue().wait()
    assert not save_queue().problem


def test_an_upload_is_not_kept():
    app = opened()
    bars = CANDLES.frame.tz_localize(None).reset_index().to_csv(index=False)
    app.selectbox(key="data").select(UPLOAD).run()
    app.file_uploader(key="upload").upload("mine.csv", bars.encode(), "text/csv").run()
    app = run_until(press(app, "run"), lambda app: "uploaded files stay" in words(app))
    assert n_kept() == 0


UNSAVED = {"forecast": make_forecast(CANDLES), "candles": CANDLES, "source": "samples"}


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("The store is full."),
        StoreDamaged("The file is damaged."),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        OSError(28, "No space left on device"),
        MemoryError(),
        RecursionError("too deep"),
        AssertionError(),
        KeyError("id"),
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_store_raises_is_said_and_saved_once_the_store_is_back(error):
    down, saved = threading.Event(), []
    down.set()

    def save(unsaved):
        if down.is_set():
            raise error
        saved.append(unsaved.key)

    queue = SaveQueue(save, first_delay=0.01)
    for key in ("a", "b"):
        assert queue.put(Unsaved(**UNSAVED, key=key))
        assert queue.wait(30)
    reason = str(error) or type(error).__name__
    assert reason in queue.problem
    assert "2 forecasts wait" in queue.problem
    assert reason in queue.not_saved({"a"})
    down.clear()
    for _ in range(600):
        if queue.not_saved({"a", "b"}, patience=0.05) is None:
            break
        threading.Event().wait(0.05)
    assert sorted(saved) == ["a", "b"]
    assert queue.problem == ""


def test_one_that_cannot_be_saved_holds_up_no_other():
    def save(unsaved):
        if unsaved.key == "refused":
            raise InvalidRequest("Not of these candles.")
        if unsaved.key == "broken":
            raise TypeError("not JSON")

    queue = SaveQueue(save, first_delay=0.01)
    for key in ("refused", "broken", "sound"):
        queue.put(Unsaved(**UNSAVED, key=key))
    assert queue.wait(30)
    assert queue.not_saved({"refused"}) == "Not of these candles."
    assert "TypeError: not JSON" in queue.not_saved({"broken"})
    assert queue.not_saved({"sound"}) is None


def test_failed_saves_are_tried_ever_more_rarely(monkeypatch):
    monkeypatch.setattr(saving, "LONGEST_DELAY", 0.08)
    tried = []

    def save(unsaved):
        tried.append(queue._delay)
        if len(tried) < 6:
            raise StoreUnavailable("down")

    queue = SaveQueue(save, first_delay=0.01)
    queue.put(Unsaved(**UNSAVED, key="a"))
    for _ in range(600):
        if len(tried) == 6:
            break
        threading.Event().wait(0.05)
    assert tried == [0, 0.01, 0.02, 0.04, 0.08, 0.08]


def test_a_full_line_takes_no_more_says_so_and_never_delays_whoever_puts(monkeypatch):
    monkeypatch.setattr(saving, "ROOM", 2)
    free = threading.Event()
    queue = SaveQueue(lambda unsaved: free.wait(30))
    taken = [queue.put(Unsaved(**UNSAVED)) for _ in range(6)]
    assert (sum(taken), queue.n_lost) == (2, 4)
    assert "full at 2" in queue.problem
    assert queue.not_saved({""}) == queue.problem
    free.set()
    assert queue.wait(30)
    assert queue.problem == ""


def test_the_end_saves_what_waits_and_names_the_rest(caplog):
    is_down = [True]

    def save(unsaved):
        if is_down[0] or unsaved.key == "broken":
            raise StoreUnavailable("The store is full.")
        saved.append(unsaved.key)

    saved = []
    queue = SaveQueue(save, first_delay=1000.0)
    for key in ("a", "broken"):
        queue.put(Unsaved(**UNSAVED, key=key))
    assert queue.wait(30)
    is_down[0] = False
    queue.close()
    assert saved == ["a"]
    last = caplog.records[-1]
    assert (last.levelname, last.getMessage().count("BTCUSD 1h from 2026-03-03")) == ("ERROR", 1)
    assert "The store is full." in last.getMessage()
    assert not queue.put(Unsaved(**UNSAVED))


def test_the_page_says_what_is_not_saved_until_the_store_is_back(tmp_path):
    path = tmp_path / "store.sqlite3"
    app = opened()
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    app.number_input(key="seed").set_value(9).run()
    app = run_until(press(app, "run"), lambda app: "Not saved:" in words(app))
    assert "Saved in the record" not in words(app)
    assert str(path) in words(app)
    path.rename(tmp_path / "aside")
    for _ in range(100):
        if save_queue().problem == "":
            break
        threading.Event().wait(0.1)
    app = run_until(app.run(), lambda app: "Saved in the record" in words(app))
    assert n_kept() == 1
    assert (tmp_path / "aside").read_bytes().endswith(b"\xff" * 8192)


def due(hours):
    """A store with one forecast of the samples, as it is some hours after the origin."""
    store = open_store()
    forecast = make_forecast(CANDLES, 60, horizon=6)
    store.save(forecast, CANDLES, source="samples")
    return pd.Timestamp(CANDLES.frame.index[60]) + pd.Timedelta(hours=hours)


def test_the_job_asks_sources_for_what_is_due(monkeypatch):
    due(20)
    asked = []

    def fetch(one):
        asked.append((one.source, one.instrument, one.interval))
        return CANDLES

    monkeypatch.setattr(scoring, "fetch", fetch)
    found = run_once()
    assert asked == [("samples", "BTCUSD", "1h")]
    assert (found.n_series, found.n_steps, found.problem) == (1, 6, "")
    assert run_once().n_series == 0


def test_the_job_tells_what_failed(monkeypatch):
    due(20)

    def fetch(one):
        raise InvalidRequest("No bars there.")

    monkeypatch.setattr(scoring, "fetch", fetch)
    found = run_once()
    assert (found.n_failed, found.problem) == (1, "BTCUSD 1h: No bars there.")
    monkeypatch.setenv("KRONOS_STORE", "mysql://host/db")
    assert "SQLite or PostgreSQL" in run_once().problem
    monkeypatch.setenv("KRONOS_STORE", "off")
    assert run_once().problem == ""


def test_runs_that_come_to_nothing_grow_rarer():
    now = pd.Timestamp.now("UTC")
    failed = Scored(now, n_series=2, n_failed=2, problem="down")
    waits = [90.0]
    for _ in range(8):
        waits.append(next_wait(failed, waits[-1]))
    assert waits[1:4] == [3600.0, 7200.0, 14400.0]
    assert waits[-1] == 24 * 3600.0
    assert next_wait(Scored(now, n_series=2, n_failed=1, problem="one"), 7200.0) == 3600.0
    assert next_wait(Scored(now), 7200.0) == 3600.0


def test_the_button_starts_a_run_but_not_two_in_a_minute(monkeypatch):
    ended = threading.Semaphore(0)

    def run():
        ended.release()
        return Scored(pd.Timestamp.now("UTC"))

    monkeypatch.setattr(scoring, "run_once", run)
    scorer = scoring.Scorer(first_after=3600.0)
    assert scorer.score_now()
    assert ended.acquire(timeout=30)
    for _ in range(300):
        if scorer.last is not None:
            break
        threading.Event().wait(0.05)
    assert not scorer.score_now()
