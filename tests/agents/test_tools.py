"""The tools as an agent uses them, through the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
import numpy as np
import pytest
from mcp import Client, StdioServerParameters

from benchmarks.gates.session import run_apart
from data_sources.samples import load_sample
from kronos.agents.server import create_server
from kronos.api.gate import guarded
from kronos.api.keys import Keys
from kronos.cli.feeds import OTHER_EXCHANGE
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.service import LocalService
from kronos.system import asset_path
from tests.api.conftest import SampleFeeds, columns
from tests.api.loopback import serving

GOOG = {"source": "samples", "symbol": "GOOG"}
SMALL = {"horizon": 3, "paths": 20, "seed": 7}


@pytest.fixture(scope="module")
def service():
    made = LocalService()
    yield made
    made.close()


@pytest.fixture
def call(service):
    """Calls one tool of a server of its own, in process."""

    def ask(name, reads_files=True, **arguments):
        server = create_server(
            lambda: service, SampleFeeds(), app_url="http://localhost:8501/",
            reads_files=reads_files,
        )  # fmt: skip

        async def talk():
            async with Client(server) as client:
                return await client.call_tool(name, arguments)

        return run_apart(talk())

    return ask


def answer(result):
    assert not result.is_error, result.content
    found = result.structured_content
    return found.get("result", found)


def words(result):
    assert result.is_error
    return result.content[0].text


def test_the_tools_say_what_they_are_for(service):
    server = create_server(lambda: service, SampleFeeds(), app_url="x", reads_files=True)

    async def talk():
        async with Client(server) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in run_apart(talk())}
    assert set(tools) == {"forecast", "compare", "score", "track_record", "models", "events"}
    assert all(tool.description and tool.output_schema for tool in tools.values())


def test_a_forecast_is_that_of_the_same_request(call, service):
    fan = answer(call("forecast", **GOOG, **SMALL, model="ewma"))
    candles, facts = load_sample("GOOG_1d"), service.facts("ewma")
    sampling = SamplingParameters(sample_count=20, seed=7)
    made = service.run(ForecastRequest.of_candles(candles, facts, horizon=3, sampling=sampling))
    found = [[step["p10"], step["p50"], step["p90"]] for step in fan["steps"]]
    np.testing.assert_allclose(np.array(found).T, made.quantile((0.1, 0.5, 0.9)), rtol=1e-5)
    assert fan["horizon"] == len(fan["steps"]) == 3
    assert fan["revision"] == facts.revision[:16]
    assert fan["last_close"] == candles.frame["close"].iloc[-1]
    assert fan["probability_up"]["value"] == pytest.approx(made.probability_up()[-1], abs=1e-3)
    assert len(json.dumps(fan)) < 2_000


def test_candles_and_files_have_no_link_and_the_same_figures(call):
    bars = columns(load_sample("GOOG_1d"), 600) | {"symbol": "GOOG", "zone": "America/New_York"}
    inline = answer(call("forecast", candles=bars, model="ewma", **SMALL))
    path = str(asset_path("samples", "GOOG_1d.csv"))
    of_file = answer(call("forecast", file=path, model="ewma", **SMALL))
    assert inline["link"] is None
    assert of_file["link"] is None
    assert inline["steps"] == of_file["steps"]
    assert "reads no files" in words(call("forecast", reads_files=False, file=path))


def test_a_link_opens_the_same_forecast(call, service):
    """The page makes the very request that the tool made."""
    from pages.ui.inputs.ticker import OTHERS
    from tests.pages.app_driver import new_session, run_until, shown

    fan = answer(call("forecast", **GOOG, **SMALL, temperature=0.9, origin="2013-01-15"))
    link = urlsplit(fan["link"])
    assert link.path == "/forecast"
    query = {name: values[0] for name, values in parse_qs(link.query).items()}
    app = new_session("forecast", **query).run()
    run_until(app, lambda app: bool(app.session_state.get("shown")))
    found = shown(app).settings
    assert (found.sampling.T, found.sampling.seed, found.horizon) == (0.9, 7, 3)
    made = shown(app).status().result
    last = made.quantile((0.1, 0.5, 0.9))[:, -1]
    step = fan["steps"][-1]
    np.testing.assert_allclose([step["p10"], step["p50"], step["p90"]], last, rtol=1e-5)
    assert OTHER_EXCHANGE == OTHERS


def test_models_are_compared_on_the_same_bars(call):
    found = answer(call("compare", models=["bundled", "ewma"], **GOOG, **SMALL))
    assert [fan["model"] for fan in found["fans"]] == ["bundled", "ewma"]
    assert len({fan["origin"] for fan in found["fans"]}) == 1
    query = parse_qs(urlsplit(found["link"]).query)
    assert (query["models"], query["a"], query["seed"]) == (["2"], ["Bundled"], ["7"])


def test_a_past_origin_is_scored_by_what_came(call):
    found = answer(call("score", origin="2012-06-01", **GOOG, horizon=10, paths=50, model="ewma"))
    assert found["bars_known"] == 10
    assert 0 <= found["inside80"] <= 1
    assert found["crps"] == pytest.approx(found["crps_of_cone"], rel=0.3)
    assert "earlier origin" in words(call("score", origin="2013-03-01", **GOOG, horizon=2))


def test_models_events_and_the_record_are_lists(call, tmp_path, monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", str(tmp_path / "store.sqlite3"))
    assert {"bundled", "ewma"} <= {row["name"] for row in answer(call("models"))}
    assert answer(call("track_record", model="bundled")) == []
    events = answer(call("events", days_back=365, days_ahead=365))
    assert 0 < len(events) <= 40
    assert all("time" in row and "kind" in row for row in events)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give candles, or source and symbol"),
        ({"source": "samples", "symbol": "NONE"}, "no NONE"),
        ({**GOOG, "model": "gpt"}, "no model 'gpt'"),
        ({**GOOG, "origin": "soon"}, "origin must be a time"),
        ({**GOOG, "top_p": 2.0}, "top_p"),
        ({**GOOG, "model": "ewma", "temperature": 0.5}, "T must be 1"),
        ({"file": "/nowhere.csv"}, "/nowhere.csv"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_so_that_an_agent_can_mend_it(call, arguments, said):
    assert said in words(call("forecast", **arguments))


def test_over_http_strangers_need_a_key(service, tmp_path):
    keys = Keys(tmp_path / "keys.json")
    tools = create_server(lambda: service, SampleFeeds(), app_url="x", reads_files=False)
    app = guarded(tools.streamable_http_app(), keys)
    with serving(app) as port:
        found = run_apart(_ask_models(f"http://localhost:{port}/mcp"))
        assert "bundled" in {row["name"] for row in answer(found)}
        refused = httpx2.post(
            f"http://localhost:{port}/mcp", headers={"X-Forwarded-For": "192.0.2.7"}, content="{}"
        )
    assert refused.status_code == 401


async def _ask_models(url):
    async with Client(url) as client:
        return await client.call_tool("models", {})


def test_a_process_answers_over_standard_input_and_output(tmp_path):
    """The command, in a process of its own, with the client of the SDK."""
    place = StdioServerParameters(
        command=sys.executable, args=["-m", "kronos", "mcp"],
        env={"HOME": str(tmp_path), "KRONOS_CALENDAR": "off", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip

    async def talk():
        async with Client(place) as client:
            return await client.call_tool("forecast", GOOG | SMALL)

    assert len(answer(run_apart(asyncio.wait_for(talk(), 120)))["steps"]) == 3
