"""Pages and commands beside the Forecast page with a damaged store: words, and what to do."""

import pytest

from kronos import cli
from pages.ui.jobs import scoring
from pages.ui.track_record.record import record
from tests.pages.app_driver import new_session, run_until, words
from tests.store.made import make_candles

WAY_OUT = "kronos store restore BACKUP"
CANDLES = make_candles()


@pytest.fixture(params=["text", "end"])
def damaged(request, tmp_path, monkeypatch, damaged_store):
    """A store of scored forecasts, damaged in one of several ways."""
    path = tmp_path / "store.sqlite3"
    data = bytearray(damaged_store.read_bytes())
    if request.param == "text":
        data = data.replace(b"BTCUSD", b"BT\xff\xfeSD")
    elif request.param == "header":
        data[16:100] = b"\xff" * 84
    elif request.param == "end":
        del data[len(data) // 2 :]
    else:
        data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)
    monkeypatch.setenv("KRONOS_STORE", str(path))
    record().refresh()
    yield path
    record().refresh()


@pytest.fixture(scope="module")
def damaged_store(tmp_path_factory):
    """The sound store that copies of it are damaged from."""
    from kronos.store.scoring import score_candles
    from kronos.store.store import Store
    from tests.store.made import make_forecast

    path = tmp_path_factory.mktemp("store") / "store.sqlite3"
    with Store(str(path)) as store:
        for origin in (60, 70, 80):
            store.save(make_forecast(CANDLES, origin), CANDLES, source="samples")
        score_candles(store, CANDLES)
    return path


def test_the_track_record_says_what_is_damaged_and_what_to_do(damaged):
    app = new_session("track_record").run()
    app = run_until(app, lambda app: bool(app.error))
    assert not app.exception
    assert "damaged" in words(app) or "something else" in words(app)
    assert WAY_OUT in words(app) or "name another" in words(app)


def test_scoring_in_the_background_ends_in_words(damaged):
    found = scoring.run_once()
    if not found.problem:  # nothing is due, so that no damaged value was read
        assert damaged.stat().st_size > 50_000
        return
    assert "damaged" in found.problem or "something else" in found.problem


@pytest.mark.parametrize(
    "arguments",
    [
        ["store"], ["store", "export"], ["store", "backup", "b.sqlite3"], ["score"],
        ["calibrate", "--about", "x"], ["ensemble", "train"],
    ],
    ids=lambda words: "-".join(words[:2]),
)  # fmt: skip
def test_commands_end_in_one_line_that_says_what_to_do(
    damaged, arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    code = cli.main(arguments)
    said = capsys.readouterr().err.strip().splitlines()
    if code == 0:  # it reads no value that is damaged
        assert arguments in (["store"], ["score"])
        return
    assert code == 2
    assert said[-1].startswith("kronos: ")
    assert "damaged" in said[-1] or "something else" in said[-1]
    assert str(damaged) in said[-1]
