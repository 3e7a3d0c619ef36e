"""Routes of what a server knows: models, scores, calibration, events."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from kronos import models
from kronos.api.orders import known_models, read_moment
from kronos.calibration import load_state
from kronos.errors import InvalidRequest
from kronos.events import KINDS, REGIONS, load_events
from kronos.serving.service import ForecastService
from kronos.store import open_store
from kronos.store.record import summarise

__all__ = ["catalogue_routes"]

MAX_EVENTS = 5_000


def catalogue_routes(service: Callable[[], ForecastService]) -> APIRouter:
    """The routes that change nothing."""
    routes = APIRouter(prefix="/v1")

    @routes.get("/models", tags=["models"], summary="Models and baselines")
    async def listing() -> list[dict[str, Any]]:
        return await run_in_threadpool(_models)

    @routes.get("/models/{name}", tags=["models"], summary="What a model reads")
    async def facts(name: str) -> dict[str, Any]:
        if name not in await run_in_threadpool(known_models):
            raise InvalidRequest(f"There is no model {name[:64]!r} here: see GET /v1/models.")
        return asdict(await run_in_threadpool(service().facts, name))

    @routes.get("/scores", tags=["record"], summary="Scores of the stored forecasts")
    async def scores() -> Response:
        """One row a model, interval, and whether the forecast was stored ahead of the outcome."""
        return Response(await run_in_threadpool(_scores), media_type="application/json")

    @routes.get("/calibration", tags=["record"], summary="What was learned from the record")
    async def calibration() -> list[dict[str, Any]]:
        """One row a stream of a model: outcomes, the last of them, share of the drift kept."""
        return await run_in_threadpool(_calibration)

    @routes.get("/events", tags=["events"], summary="The calendar of events")
    async def events(
        first: Annotated[str | None, Query(alias="from", max_length=32)] = None,
        last: Annotated[str | None, Query(alias="to", max_length=32)] = None,
        kind: Annotated[str | None, Query(max_length=32)] = None,
        region: Annotated[str | None, Query(max_length=8)] = None,
        symbol: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """Default: 30 days back and ahead. Times of scheduled events are those announced."""
        found = await run_in_threadpool(_events, first, last, kind, region, symbol)
        return Response(found, media_type="application/json")

    return routes


def _models() -> list[dict[str, Any]]:
    titles = known_models()
    entries = {entry.name: entry for entry in models.available()}
    rows = []
    for name, title in titles.items():
        entry = entries.get(name)
        row: dict[str, Any] = {"name": name, "title": title, "kind": models.kind_of(name)}
        if entry is not None:
            row |= {
                "revision": entry.revision, "parameters": entry.n_parameters,
                "context": entry.max_context, "licence": entry.licence,
            }  # fmt: skip
        rows.append(row)
    return rows


def _scores() -> str:
    return str(summarise(open_store()).to_json(orient="records", date_format="iso"))


def _calibration() -> list[dict[str, Any]]:
    state = load_state()
    return [
        stream._asdict()
        | {
            "outcomes": learned.n_outcomes,
            "latest": learned.latest.isoformat(),
            "drift_kept": None if learned.drift is None else learned.drift_share,
        }
        for stream, learned in state.streams.items()
    ]


def _events(
    first: str | None, last: str | None, kind: str | None, region: str | None, symbol: str | None
) -> str:
    for name, found, allowed in (("kind", kind, KINDS), ("region", region, REGIONS)):
        if found is not None and found not in allowed:
            raise InvalidRequest(f"{name} is one of {', '.join(allowed)}; found {found!r}.")
    now, around = pd.Timestamp.now("UTC"), pd.Timedelta(days=30)
    begin = now - around if first is None else _day(first, "from")
    end = now + around if last is None else _day(last, "to") + pd.Timedelta(days=1)
    found_events = [
        event
        for event in load_events()
        if begin <= event.time < end
        and kind in (None, event.kind)
        and region in (None, event.region)
        and (symbol is None or event.symbol.upper() == symbol.upper())
    ]
    if len(found_events) > MAX_EVENTS:
        raise InvalidRequest(
            f"{len(found_events):,} events lie there, and an answer has {MAX_EVENTS:,} at most. "
            "Ask for fewer days, or one kind or region."
        )
    return json.dumps([_row(asdict(event)) for event in found_events])


def _row(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, pd.Timestamp) else value
        for name, value in facts.items()
    }


def _day(text: str, name: str) -> pd.Timestamp:
    moment = read_moment(text)
    if moment is None:
        raise InvalidRequest(f"{name} must be a day such as 2024-01-31, found {text!r}.")
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
