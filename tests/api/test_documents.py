"""The OpenAPI document says what the server does: its examples work, its routes are there."""

from __future__ import annotations

import json
import time

from kronos.api.orders import ForecastOrder
from kronos.serving.jobs import Limits
from kronos.serving.service import LocalService


def test_the_examples_of_the_document_are_forecast(api):
    document = api.get("/v1/openapi.json").json()
    examples = document["components"]["schemas"]["ForecastOrder"]["examples"]
    assert examples
    for example in examples:
        done = api.post("/v1/forecasts?wait=30", json=example)
        assert done.status_code == 200
        found = api.get(done.json()["links"]["result"]).json()
        assert len(found["timestamps"]) == example["horizon"]


def test_every_reference_of_the_document_leads_somewhere(api):
    document = api.get("/v1/openapi.json").json()
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    wanted = {piece.split('"')[0] for piece in text.split("#/components/schemas/")[1:]}
    assert wanted <= set(schemas)
    assert {"ForecastOrder", "ForecastState", "CandlesIn", "EventIn"} <= set(schemas)
    assert set(schemas["ForecastOrder"]["properties"]) == set(ForecastOrder.model_fields)


def test_every_route_without_parameters_answers(api):
    document = api.get("/v1/openapi.json").json()
    paths = [path for path, item in document["paths"].items() if "get" in item and "{" not in path]
    assert len(paths) >= 7
    for path in paths:
        assert api.get(path).status_code in (200, 503 if path == "/v1/ready" else 200), path


def test_a_server_is_ready_once_the_bundled_model_answers(api, service):
    for _ in range(3):
        ready = api.get("/v1/ready")
        if ready.status_code == 200:
            break
        service.result(_warm_up(), owner="api readiness", timeout=60)
    assert ready.json()["ready"] is True


def test_a_server_that_was_ready_stays_so_beside_other_work(serve):
    engine = LocalService(limits=Limits(max_results=1))
    api = serve(engine=engine)
    while api.get("/v1/ready").status_code != 200:
        time.sleep(0.05)
    for seed in range(3):
        bars = {"source": "samples", "symbol": "GOOG", "model": "ewma", "horizon": 2, "seed": seed}
        assert api.post("/v1/forecasts?wait=30", json=bars).status_code == 200
    assert api.get("/v1/ready").status_code == 200
    engine.close()


def _warm_up():
    from kronos.serving.requests import WarmUpRequest

    return WarmUpRequest("bundled").digest
