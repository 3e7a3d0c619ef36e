"""The same request gives the same forecast, whichever entry point it comes through.

For the same candles, origin, model and sampling every entry point gives the model the same bars,
the same event rows and the same market facts, and gets the same paths bit for bit. The Forecast
page is the reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from streamlit.components.v2 import manifest_scanner

import data_sources.leaders
import pages.ui.inputs.leaders
from data_sources.leaders import LeaderBars
from data_sources.samples import SAMPLES, load_sample
from data_sources.yahoo.source import Yahoo
from kronos.candles import COLUMNS, Candles
from kronos.context import rows_sha256
from kronos.ensemble.weights import (
    POOLED,
    EnsembleWeights,
    Learned,
    Trial,
    equal,
    feature_names,
    user_folder,
)
from kronos.events import CHANNELS, event_channels, last_close, load_events, regions_of
from kronos.export import forecast_json
from kronos.forecast import Forecast
from kronos.models import BUNDLED, ENSEMBLE, adapters, load
from kronos.serving.service import service
from pages.ui.jobs import caches
from tests.entry_points import Case, Outcome, run
from tests.event_adapter import NAME as READER
from tests.event_adapter import WITHOUT_EVENTS, write_event_adapter
from tests.loopback_markets import LoopbackMarkets, yahoo_session

# The last but one of the bars to forecast is a day on which the FOMC decides.
GOOG = Case(load_sample("GOOG_1d"), 14, sample=SAMPLES["GOOG_1d"].title, symbol="GOOG")
MEMBERS = (READER, "ewma", "random-walk")
PAGE = "forecast page"

OutcomeOf = Callable[..., Outcome]
"""Gets the name of an entry point, a model and optionally a case."""


@pytest.fixture(scope="module")
def leading() -> Iterator[LoopbackMarkets]:
    """The leading markets at Yahoo some days after the last bar of the case."""
    now = GOOG.origin.normalize() + pd.Timedelta(days=4, hours=18)
    with LoopbackMarkets(now=now) as markets, pytest.MonkeyPatch.context() as patch:
        for listing in markets.yahoo.listings.values():
            listing.listed = "2011-01-03"
        source = Yahoo(yahoo_session(markets.url, chart_seconds=20.0), clock=markets.clock)
        found = LeaderBars(lambda name: source, clock=markets.clock)
        for module in (data_sources.leaders, pages.ui.inputs.leaders):
            patch.setattr(module, "leader_bars", lambda: found)
        patch.setenv("KRONOS_CALENDAR", "on")  # the days of the case are too long ago to be fetched
        found.refresh(last_close(GOOG.candles))
        assert not found.problem()
        yield markets


@pytest.fixture(scope="module")
def models(leading: LoopbackMarkets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A model that reads events, and an ensemble with it and learned weights, on this machine."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        write_event_adapter(adapters.adapters_folder(), WITHOUT_EVENTS)
        learned_weights().save(user_folder())
        forget_models()
        yield
    forget_models()


def forget_models() -> None:
    """Have the models of this machine looked up again."""
    for cache in (caches.models, caches.event_readers, caches.ensemble):
        cache.clear()
    service()._facts.clear()


@pytest.fixture(scope="module")
def outcome_of(models: None, tmp_path_factory: pytest.TempPathFactory) -> OutcomeOf:
    """What an entry point gives for a model and a case; each is run once."""
    known: dict[tuple[str, str, Case], Outcome] = {}

    def outcome(name: str, model: str, case: Case = GOOG) -> Outcome:
        key = (name, model, case)
        if key not in known:
            known[key] = run(name, case, model, tmp_path_factory.mktemp("entry-point"))
        return known[key]

    return outcome


def learned_weights() -> EnsembleWeights:
    """Weights that depend on the class of the instrument and on scheduled releases."""
    import lightgbm

    names = feature_names(MEMBERS)
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(600, len(names)))
    is_event = rng.integers(0, 2, 600)
    rows[:, names.index("event")] = is_event
    best = np.where(is_event, 0, rng.integers(1, 3, 600))
    options = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}
    trees = lightgbm.train(options, lightgbm.Dataset(rows, best), 10).model_to_string()
    base = equal(MEMBERS)
    learned = Learned(
        members=MEMBERS,
        revisions=base.revisions,
        constants={POOLED: [0.0, 0.0, 0.0], "equity": [0.5, 0.0, -0.5]},
        boosters={POOLED: trees, "equity": trees},
        n_apart={POOLED: 400, "equity": 400},
        recent={},
        cut_off=pd.Timestamp("2012-01-01", tz="UTC"),
    )
    won = Trial(n_outcomes=100, learned=0.9, equal=1.0, members={})
    return EnsembleWeights(MEMBERS, base.revisions, learned, won, "Learned for this test.")


def rows_of(case: Case, forecast: Forecast) -> np.ndarray:
    """(T + H, 20) event rows of the context of a forecast and of its horizon."""
    known = case.candles.slice(-forecast.n_context)
    index = pd.DatetimeIndex(known.frame.index).append(known.future(case.horizon))
    return event_channels(
        index, interval=known.interval, calendar=known.calendar, zone=known.zone,
        n_context=len(known), events=load_events(), symbol=known.symbol,
        regions=regions_of(known.calendar, known.symbol),
        leaders=data_sources.leaders.leader_bars().known(),
    )  # fmt: skip


def assert_same_times(found: Forecast, page: Forecast) -> None:
    assert found.origin == page.origin
    np.testing.assert_array_equal(
        found.timestamps.tz_convert("UTC"), page.timestamps.tz_convert("UTC")
    )


def assert_same_bars(found: Forecast, page: Forecast) -> None:
    assert (found.n_context, found.context_hash) == (page.n_context, page.context_hash)
    assert (found.parameters, found.model_revision) == (page.parameters, page.model_revision)


# The reference: what the Forecast page gives the model.


def test_the_page_gives_the_model_the_releases_of_the_window(outcome_of):
    forecast = outcome_of(PAGE, READER).forecast
    rows = rows_of(GOOG, forecast)
    meetings = np.flatnonzero(rows[:, CHANNELS.index("is_fomc")])
    assert (meetings < forecast.n_context).any()
    assert (meetings >= forecast.n_context).any()
    assert forecast.events_hash == rows_sha256(rows) != rows_sha256(np.zeros_like(rows))


def test_the_page_gives_the_model_the_leading_markets(outcome_of):
    forecast = outcome_of(PAGE, READER).forecast
    rows = rows_of(GOOG, forecast)[:, 14:18]
    assert (rows[: forecast.n_context] != 0).mean(axis=0).min() > 0.5
    last = GOOG.candles.local_index[-1].isoformat()
    assert forecast.leaders == dict.fromkeys(("btc", "spy", "dxy", "vix"), last)
    assert forecast.metadata()["leaders"] == forecast.leaders


@pytest.mark.parametrize("name", ["command", "watched symbol", "watched file", "walk", "backtest"])
def test_each_entry_point_says_which_leading_markets_were_read(outcome_of, name):
    assert outcome_of(name, READER).forecast.leaders == outcome_of(PAGE, READER).forecast.leaders
    ensemble = outcome_of(PAGE, ENSEMBLE).forecast
    assert ensemble.leaders == outcome_of(PAGE, READER).forecast.leaders
    assert outcome_of(name, BUNDLED).forecast.leaders == ensemble.leaders


def test_all_entry_points_share_one_fetch(outcome_of, leading):
    for name in (PAGE, *OTHERS):
        outcome_of(name, READER)
        outcome_of(name, BUNDLED)
    charts = [each for each in leading.requests if "period1=" in each]
    assert len(charts) == 4, charts


def test_the_releases_change_the_paths(outcome_of):
    forecast = outcome_of(PAGE, READER).forecast
    without = load(READER, device="cpu", dtype="fastest").forecast(
        GOOG.candles.frame,
        x_timestamp=GOOG.candles.local_index,
        y_timestamp=forecast.timestamps,
        sample_count=forecast.n_paths,
        seed=forecast.parameters.seed,
    )
    assert without.context_hash == forecast.context_hash
    assert not np.allclose(without.paths, forecast.paths, rtol=1e-3)


def test_the_page_weighs_the_members_by_class_and_releases(outcome_of):
    found = outcome_of(PAGE, ENSEMBLE).forecast.weights
    weights = np.array([found[member] for member in MEMBERS])
    meeting = GOOG.horizon - 2
    assert weights[0].argmax() == meeting
    assert weights[0, meeting] > 0.5
    others = np.delete(weights, meeting, axis=1)
    assert (others[1] > others[2] + 0.05).all(), "shares have constants of their own"


# Two models that read events: one whose rows hold the next bar, one whose rows hold their own.

OTHERS = ("command", "watched symbol", "watched file", "walk", "backtest")
BOTH = (BUNDLED, READER)


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("name", OTHERS)
def test_the_model_reads_the_same_bars(outcome_of, name, model):
    found, page = outcome_of(name, model).forecast, outcome_of(PAGE, model).forecast
    assert_same_bars(found, page)
    assert_same_times(found, page)


@pytest.mark.parametrize("name", OTHERS)
def test_the_model_reads_the_same_event_rows(outcome_of, name):
    found, page = outcome_of(name, READER).forecast, outcome_of(PAGE, READER).forecast
    assert found.events_hash is not None, f"{name}: the model gets no event rows."
    assert found.events_hash == page.events_hash


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("name", OTHERS)
def test_the_paths_are_the_same_bit_for_bit(outcome_of, name, model):
    found, page = outcome_of(name, model).forecast, outcome_of(PAGE, model).forecast
    np.testing.assert_array_equal(found.paths, page.paths)


@pytest.mark.parametrize("model", BOTH)
def test_the_file_of_the_command_says_what_the_page_says(outcome_of, model):
    command, page = outcome_of("command", model), outcome_of(PAGE, model).forecast
    file = json.loads((command.folder / "found.json").read_text())
    download = json.loads(forecast_json(GOOG.candles, page))
    assert download.get("events_sha256") == page.events_hash
    assert file.get("events_sha256") == download.get("events_sha256")
    # The one fact that differs: where the bars are from.
    assert {**file, "source": ""} == {**download, "source": ""}


@pytest.mark.parametrize("name", ["command", "watched symbol", "walk"])
def test_the_stored_row_names_the_event_rows(outcome_of, name):
    page = outcome_of(PAGE, READER)
    assert page.forecast.events_hash is not None
    assert page.event_context() == {"events_sha256": page.forecast.events_hash}
    assert outcome_of(name, READER).event_context() == page.event_context()


# An ensemble with that model as a member, and weights that depend on the market.


@pytest.mark.parametrize("name", [PAGE, "command", "walk", "backtest"])
def test_a_member_reads_the_same_event_rows_as_alone(outcome_of, name):
    ensemble, alone = outcome_of(name, ENSEMBLE).forecast, outcome_of(PAGE, READER).forecast
    member = next(each for each in ensemble.members if each.model_name == READER)
    assert_same_bars(member, alone)
    assert_same_times(member, alone)
    assert member.events_hash is not None, f"{name}: the member gets no event rows."
    assert member.events_hash == alone.events_hash


@pytest.mark.parametrize("name", [PAGE, "command", "walk", "backtest"])
def test_the_paths_of_a_member_are_those_of_the_model_alone(outcome_of, name):
    ensemble, alone = outcome_of(name, ENSEMBLE).forecast, outcome_of(PAGE, READER).forecast
    member = next(each for each in ensemble.members if each.model_name == READER)
    np.testing.assert_array_equal(member.paths, alone.paths)


@pytest.mark.parametrize("name", ["command", "walk", "backtest"])
def test_the_weights_know_the_market(outcome_of, name):
    found = outcome_of(name, ENSEMBLE).forecast.weights
    page = outcome_of(PAGE, ENSEMBLE).forecast.weights
    for member in MEMBERS:
        np.testing.assert_array_equal(found[member], page[member], err_msg=f"{name}, {member}")


@pytest.mark.parametrize("name", ["command", "walk", "backtest"])
def test_the_fan_of_the_ensemble_is_the_same_bit_for_bit(outcome_of, name):
    found, page = outcome_of(name, ENSEMBLE).forecast, outcome_of(PAGE, ENSEMBLE).forecast
    assert_same_bars(found, page)
    np.testing.assert_array_equal(found.paths, page.paths)


# A series whose future times depend on how much of its history counts.


def bars_with_a_new_hour(n_sessions: int = 44, n_longer: int = 8) -> Candles:
    """Bars of 5 minutes in New York; the last sessions begin an hour before the opening."""
    days = pd.bdate_range("2024-03-04", periods=n_sessions + 1, tz="America/New_York")
    days = days[days.strftime("%m-%d") != "03-29"]  # Good Friday
    stamps = []
    for i, day in enumerate(days):
        first = "08:30" if i >= len(days) - n_longer else "09:30"
        stamps.append(
            pd.date_range(f"{day:%Y-%m-%d} {first}", f"{day:%Y-%m-%d} 15:55", freq="5min")
        )
    index = pd.DatetimeIndex(np.concatenate(stamps)).tz_localize("America/New_York")
    rng = np.random.default_rng(2)
    closes = 180 * np.exp(np.cumsum(rng.normal(0, 0.0008, len(index)))).round(4)
    opens = np.concatenate([closes[:1], closes[:-1]])
    frame = pd.DataFrame(
        {
            "open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes),
            "close": closes, "volume": rng.integers(1000, 9000, len(index)).astype(float),
        },
        index=index.tz_convert("UTC").rename("timestamp"),
    )  # fmt: skip
    frame["amount"] = frame["volume"] * frame["close"]
    return Candles(frame[list(COLUMNS)], "5m", "America/New_York", "XNYS", "AAPL", "made")


NEW_HOUR = Case(bars_with_a_new_hour(), 6)


@pytest.mark.parametrize("name", ["command", "watched file", "walk", "backtest"])
def test_the_future_times_follow_from_the_whole_history(outcome_of, name):
    found = outcome_of(name, BUNDLED, NEW_HOUR).forecast
    page = outcome_of(PAGE, BUNDLED, NEW_HOUR).forecast
    assert_same_bars(found, page)
    assert_same_times(found, page)
