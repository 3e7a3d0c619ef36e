"""Forecasts by HTTP: the same as in process, in every format, found again after a kill."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data_sources.samples import load_sample
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.jobs import Limits
from kronos.serving.service import LocalService
from kronos.store import open_store


def ordered(api, order, wait=30):
    done = api.post(f"/v1/forecasts?wait={wait}", json=order)
    assert done.status_code == 200, done.text
    return done.json()


def result(api, state, **view):
    return api.get(state["links"]["result"], params=view)


@pytest.mark.parametrize("model", ["bundled", "ewma"])
def test_every_path_is_that_of_the_same_request_in_process(api, service, order, model):
    """Bars inline, with the options of the page: bit for bit what a command makes of them."""
    candles = load_sample("GOOG_1d").slice(-60)
    sampling = {"temperature": 0.9, "top_p": 0.95, "top_k": 50} if model == "bundled" else {}
    state = ordered(api, order | sampling | {"model": model, "lookback": 40, "events": "none"})
    table = pa.ipc.open_stream(result(api, state, content="paths", format="arrow").content)
    paths = table.read_all().to_pandas().drop(columns=["path", "timestamp"]).to_numpy()
    request = ForecastRequest.of_candles(
        candles, service.facts(model), horizon=3, lookback=40,
        sampling=SamplingParameters(
            *((0.9, 0.95, 50) if sampling else (1.0, 1.0, 0)), sample_count=30, seed=7
        ),
    )  # fmt: skip
    np.testing.assert_array_equal(paths, service.run(request).paths.reshape(-1, 6))


def test_bars_of_a_source_and_an_origin_in_the_past(api):
    order = {"source": "samples", "symbol": "GOOG", "model": "ewma", "paths": 20, "horizon": 2}
    bars = load_sample("GOOG_1d").local_index
    state = ordered(api, order | {"origin": bars[-4].isoformat()})
    assert state["notes"] == ["A note."]
    found = result(api, state).json()
    assert found["symbol"] == "GOOG"
    assert found["timestamps"] == [at.isoformat() for at in bars[-3:-1]]
    closes = load_sample("GOOG_1d").frame["close"].iloc[-3:-1].tolist()
    assert found["actual_close"] == closes


def test_a_result_has_every_format_and_the_options_of_the_page(api, order):
    state = ordered(api, order)
    facts = result(
        api, state, quantiles="5,50,95", corridor=80, implied=60, low=700, high=900, stop=1
    ).json()
    assert list(facts["close_quantiles"]) == ["p5", "p50", "p95"]
    assert set(facts["bands"]) >= {"corridor80_low", "corridor80_high", "implied_p50"}
    assert {row["measure"] for row in facts["risk"]} >= {"Close between", "Value at risk 95%"}
    table = pd.read_csv(io.StringIO(result(api, state, format="csv").text))
    assert table["p50"].tolist() == pytest.approx(facts["close_quantiles"]["p50"])
    parquet = pd.read_parquet(io.BytesIO(result(api, state, format="parquet").content))
    assert parquet["p50"].tolist() == facts["close_quantiles"]["p50"]
    paths = result(api, state, content="paths").json()["paths"]["close"]
    assert np.median(np.array(paths), axis=0).tolist() == facts["close_quantiles"]["p50"]
    assert result(api, state, format="png").content.startswith(b"\x89PNG")
    assert result(api, state, format="svg").text.lstrip().startswith("<?xml")


def test_equal_orders_share_an_id_and_the_work(api, serve, order):
    first, second = ordered(api, order), ordered(api, order)
    assert first["id"] == second["id"]
    assert ordered(api, order | {"seed": 8})["id"] != first["id"]
    hits = "kronos_cache_hits_total"
    before = figure(api, hits)
    same = order | {"events": "none"}
    assert ordered(api, same)["id"] == ordered(api, same)["id"] == first["id"]
    assert figure(api, hits) == before + 1


def test_an_order_that_a_full_server_refuses_names_its_place_and_when_to_come_back(serve, order):
    engine = LocalService(limits=Limits(max_queued=2, max_visits=2))
    api = serve(engine=engine)
    slow = order | {"model": "bundled", "paths": 2_000, "horizon": 500}
    answers = []
    while not answers or answers[-1].status_code == 202:
        answers.append(api.post("/v1/forecasts", json=slow | {"seed": len(answers)}))
        assert len(answers) < 50
    refused = answers.pop()
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:kronos:busy"
    assert refused.json()["position"] == 3
    assert refused.headers["Retry-After"] == "1"
    for answer in answers:
        api.delete(answer.json()["links"]["self"])
    engine.close()


def test_a_killed_server_answers_what_it_had_acknowledged(serve, order):
    state = ordered(serve(), order)
    before = result(serve(), state, content="paths", format="arrow", wait=30).content
    engine = LocalService()
    again = serve(engine=engine)
    assert result(again, state, content="paths", format="arrow", wait=30).content == before
    engine.close()


def test_progress_is_a_stream_of_states_that_ends(api, order):
    state = api.post("/v1/forecasts", json=order).json()
    text = api.get(state["links"]["progress"]).text
    states = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert states[-1]["state"] == "done"
    assert all(each["id"] == state["id"] for each in states)
    assert text.count("event: state\n") == len(states)


def test_a_forecast_that_is_given_up_ends_and_is_forgotten(api, order):
    long = order | {"model": "bundled", "paths": 3000, "horizon": 200}
    state = api.post("/v1/forecasts", json=long)
    assert state.status_code == 202
    assert state.headers["Retry-After"] == "1"
    unfinished = result(api, state.json())
    assert unfinished.status_code == 202
    assert api.delete(state.headers["Location"]).status_code == 204
    assert api.get(state.headers["Location"]).status_code == 404
    assert api.delete(state.headers["Location"]).status_code == 404


def test_save_puts_the_forecast_into_the_store(api, order, tmp_path, monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", str(tmp_path / "store.sqlite3"))
    ordered(api, order | {"save": True})
    desk = api.app.state.desk
    desk._savers.shutdown(wait=True)
    (stored,) = open_store().predictions()
    assert stored.instrument == "GOOG"
    assert not desk._spool.unsaved()


def figure(api, name):
    lines = api.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def test_the_figures_of_the_server(api, order):
    steps, taken = figure(api, "kronos_steps_total"), figure(api, "kronos_taken_total")
    state = ordered(api, order | {"model": "bundled", "seed": 99})
    assert figure(api, "kronos_steps_total") == steps + 30 * 3
    assert figure(api, "kronos_taken_total") == taken + 1
    hits = figure(api, "kronos_cache_hits_total")
    for _ in range(3):
        result(api, state)
    assert figure(api, "kronos_cache_hits_total") == hits + 2
    text = api.get("/metrics").text
    assert 'kronos_fetch_faults_total{error="SourceDown"} 2.0' in text
    assert 'kronos_queue_depth{priority="visit"} 0.0' in text
    assert 'route="/v1/forecasts/{order_id}/result",status="200"} 3.0' in text


@pytest.mark.parametrize("model", ["bundled", "ewma"])
@pytest.mark.parametrize(
    ("column", "values"),
    [("close", [1e308] * 60), ("close", [1.0] * 59 + [1e50]), ("volume", [1e308] * 60)],
)
def test_bars_beyond_what_numbers_hold_are_refused_in_every_format(
    api, bars, model, column, values
):
    names = ("open", "high", "low", "close") if column == "close" else (column,)
    order = {
        "candles": bars | dict.fromkeys(names, values),
        "model": model,
        "horizon": 2,
        "paths": 5,
    }
    done = api.post("/v1/forecasts?wait=30", json=order)
    if done.status_code != 200:
        assert done.status_code == 422
        words = ("at most 1e+50", "wrong by many digits")
        assert any(each in done.json()["detail"] for each in words)
        return
    for view in ({}, {"content": "paths"}, {"calibrated": True}, {"risk": True}, {"format": "csv"}):
        answer = result(api, done.json(), **view)
        assert answer.status_code in (200, 422), view


@pytest.mark.parametrize(
    "view", [{"implied": 1e-320}, {"stop": "1e400"}, {"low": 1, "high": "inf"}]
)
def test_figures_that_make_no_sense_are_named(api, order, view):
    refused = result(api, ordered(api, order), **view)
    assert refused.status_code == 422
    assert refused.json()["detail"]
