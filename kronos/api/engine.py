"""Routes of a `ForecastService` for `kronos.Client`: every call of the interface, as bytes.

Owners of one key are kept apart from those of others. Nothing waits in a thread: a question for
an answer is looked at again until it is there or its time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from kronos import models
from kronos.api.gate import caller_of
from kronos.api.orders import MAX_DRAWS, known_models
from kronos.errors import CheckpointUnavailable, InvalidRequest, NotFinished
from kronos.request import EngineRequest, ForecastRequest, ModelFacts
from kronos.serving.jobs import JobStatus, Priority, cancelled, raisable, unknown
from kronos.serving.requests import BatchRequest, ManySamplesRequest, SampleRequest
from kronos.serving.service import ForecastService
from kronos.serving.wire import dump, load

__all__ = ["engine_routes"]

MEDIA_TYPE = "application/vnd.kronos.wire"
MOST_WAIT = 20.0
"""Seconds that a question for an answer may wait; a client asks again."""
LOOK_EVERY = 0.01
MOST_DRAWS = 16 * MAX_DRAWS
"""Bars that one request may draw: walks send 16 series together."""
Owner = Annotated[str, Query(max_length=200)]
Key = Annotated[str, Query(pattern=r"^[0-9a-f]{64}$")]


def engine_routes(service: Callable[[], ForecastService]) -> APIRouter:
    """The routes of /v1/engine."""
    routes = APIRouter(prefix="/v1/engine", include_in_schema=False)

    @routes.post("/submit")
    async def submit(
        request: Request, owner: Owner, priority: Annotated[int, Query(ge=0, le=2)] = 0,
        deadline: Annotated[float | None, Query(gt=0)] = None, supersede: bool = True,
        keep: bool = True,
    ) -> Response:  # fmt: skip
        body = await request.body()
        name = _name(request, owner)

        def work() -> JobStatus:
            asked = load(body)
            if not isinstance(asked, EngineRequest):
                raise InvalidRequest(f"A request is submitted, found a {type(asked).__name__}.")
            _require_known(asked.model)
            _require_room(asked)
            return service().submit(
                asked, owner=name, priority=Priority(priority), deadline=deadline,
                supersede=supersede, keep=keep,
            )  # fmt: skip

        return _answer(_brief(await run_in_threadpool(work)))

    @routes.get("/status")
    async def status(
        request: Request, key: Key, owner: Owner | None = None, brief: bool = False
    ) -> Response:
        """With the answer of a request that is done, unless the caller has it."""
        name = None if owner is None else _name(request, owner)
        found = await run_in_threadpool(service().status, key, owner=name)
        return _answer(_brief(found) if brief else found)

    @routes.get("/result")
    async def result(
        request: Request, key: Key, owner: Owner,
        timeout: Annotated[float, Query(ge=0, le=MOST_WAIT)] = MOST_WAIT,
    ) -> Response:  # fmt: skip
        name = _name(request, owner)
        end = asyncio.get_running_loop().time() + timeout
        while True:
            found = await run_in_threadpool(service().status, key, owner=name)
            if found is None:
                raise unknown(key)
            left = end - asyncio.get_running_loop().time()
            if found.is_final or left <= 0:
                break
            await asyncio.sleep(min(LOOK_EVERY, left))
        if found.error is not None:
            raise raisable(found.error)
        if found.state == "cancelled":
            raise cancelled()
        if not found.is_final:
            raise NotFinished("The forecast is still on its way; ask for its result again.")
        return _answer(found.result)

    @routes.post("/leave")
    async def leave(request: Request, key: Key, owner: Owner) -> Response:
        await run_in_threadpool(service().leave, key, owner=_name(request, owner))
        return _answer(None)

    @routes.post("/leave-all")
    async def leave_all(request: Request, owner: Owner) -> Response:
        return _answer(await run_in_threadpool(service().leave_all, owner=_name(request, owner)))

    @routes.get("/facts")
    async def facts(model: Annotated[str, Query(max_length=400)]) -> Response:
        def work() -> ModelFacts:
            _require_known(model)
            return service().facts(model)

        return _answer(await run_in_threadpool(work))

    @routes.get("/models")
    async def loaded() -> Response:
        return _answer(service().models)

    return routes


def _require_known(name: str) -> None:
    """Refuse what is no model of this server: no folder of it is one.

    Raises:
        InvalidRequest: There is no such name.
        CheckpointUnavailable: It is not here.
    """
    if models.resolve(name).name not in known_models():
        raise CheckpointUnavailable(
            f"There is no model {name[:80]!r} on this server; GET /v1/models lists those that are "
            "there. A published one is downloaded there with: kronos models download NAME."
        )


def _require_room(asked: EngineRequest) -> None:
    """Refuse a request whose paths would fill the server's memory.

    Raises:
        InvalidRequest: It draws too much.
    """
    parts = asked.requests if isinstance(asked, BatchRequest | ManySamplesRequest) else (asked,)
    n_draws = 0
    for part in parts:
        if isinstance(part, ForecastRequest):
            n_draws += part.sampling.sample_count * part.horizon
        elif isinstance(part, SampleRequest):
            n_draws += part.sampling.sample_count * sum(len(each) for each in part.futures)
    if n_draws > MOST_DRAWS:
        raise InvalidRequest(
            f"A request draws {MOST_DRAWS:,} bars at most (paths times horizon, of all its "
            f"series), found {n_draws:,}. Send fewer paths, or fewer series at a time."
        )


def _name(request: Request, owner: str) -> str:
    return f"{caller_of(request)}\0{owner}"


def _brief(status: JobStatus | None) -> JobStatus | None:
    """A status without what the work returned."""
    return status if status is None else replace(status, result=None)


def _answer(value: Any) -> Response:
    return Response(dump(value), media_type=MEDIA_TYPE)
