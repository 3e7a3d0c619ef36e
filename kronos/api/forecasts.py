"""Routes of forecasts: order one, follow it, take its result in any format, give it up."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from kronos.api.answers import FORMATS, MAX_WAIT, View, ViewQuery, answer
from kronos.api.feeds import Feeds
from kronos.api.gate import caller_of
from kronos.api.orders import ForecastOrder, Ordered, read_order
from kronos.api.problems import MEDIA_TYPE, problem, problem_of
from kronos.api.spool import Acknowledged, Spool
from kronos.errors import KronosError
from kronos.forecast import Forecast
from kronos.serving.jobs import JobStatus, Priority
from kronos.serving.service import ForecastService, LocalService
from kronos.store import open_store

__all__ = ["Desk", "ForecastState", "forecast_routes"]

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.02
"""Seconds between two looks at a forecast that somebody waits for."""
STREAM_EVERY = 0.1
"""Least seconds between two lines of a stream of progress."""
ORDER_BYTES = 64 << 20
"""Most bytes of orders that are kept in memory; a file has all of them."""
FORECAST_BYTES = 128 << 20
"""Most bytes of finished forecasts that are kept in memory."""
ANSWER_BYTES = 64 << 20
"""Most bytes of finished bodies that are kept in memory."""
_PRIORITIES = {"normal": Priority.VISIT, "batch": Priority.BATCH}

Value = TypeVar("Value")
Id = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="Id of the forecast.")]
Wait = Annotated[
    float, Query(ge=0.0, le=MAX_WAIT, description="Seconds to wait for the end before answering.")
]


class ForecastState(BaseModel):
    """Where a forecast stands."""

    id: str = Field(description="Equal orders have equal ids.")
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    position: int = Field(default=0, description="Place in line, 1 being next; 0 once it runs.")
    stage: str = ""
    done: int = Field(default=0, description="Steps of the stage that are done ...")
    total: int = Field(default=0, description="... of these; 0 while unknown.")
    seconds_left: float | None = None
    notes: list[str] = Field(default=[], description="Remarks on the bars.")
    problem: dict[str, Any] | None = None
    links: dict[str, str]


class _Recent(Generic[Value]):
    """The values used last, up to a number of bytes. Any thread may call."""

    def __init__(self, most: int, size: Callable[[Value], int]) -> None:
        self._most, self._size = most, size
        self._lock = threading.Lock()
        self._values: OrderedDict[Any, Value] = OrderedDict()
        self._n_bytes = 0

    def get(self, key: Any) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Any, value: Value) -> None:
        with self._lock:
            old = self._values.pop(key, None)
            self._n_bytes += self._size(value) - (0 if old is None else self._size(old))
            self._values[key] = value
            while self._n_bytes > self._most and self._values:
                _, dropped = self._values.popitem(last=False)
                self._n_bytes -= self._size(dropped)

    def drop(self, key: Any) -> None:
        with self._lock:
            old = self._values.pop(key, None)
            self._n_bytes -= 0 if old is None else self._size(old)


class Desk:
    """What the routes share: the service, the orders, and the results that are at hand.

    Attributes:
        n_hits: Orders and results that were answered without any work.
    """

    def __init__(self, service: Callable[[], ForecastService], feeds: Feeds, spool: Spool) -> None:
        """Args:
        service: Gives the service that answers.
        feeds: Where bars, events and leading markets come from.
        spool: Keeps the orders.
        """
        self._service, self._feeds, self._spool = service, feeds, spool
        self._orders: _Recent[Acknowledged] = _Recent(ORDER_BYTES, lambda each: each.n_bytes)
        self._bodies: _Recent[tuple[str, str, str]] = _Recent(4096, lambda each: 1)
        self._forecasts: _Recent[Forecast] = _Recent(FORECAST_BYTES, lambda f: f.paths.nbytes)
        self._answers: _Recent[bytes] = _Recent(ANSWER_BYTES, len)
        self._notes: _Recent[tuple[str, ...]] = _Recent(4096, lambda each: 1)
        self._savers = ThreadPoolExecutor(2, "kronos-api-save")
        self.n_hits = 0

    async def take(self, body: bytes, owner: str) -> ForecastState:
        """Accept an order.

        Raises:
            ValidationError: It is none.
            KronosError: Something of it cannot be used, or nothing more is accepted now.
        """
        digest = hashlib.sha256(body).digest()
        known = self._bodies.get(digest)
        if known is not None and self._forecasts.get(known[0]) is not None:
            order_id, model, revision = known
            if self._service().facts(model).revision == revision:
                self.n_hits += 1
                return self._state(order_id, None)
        order = ForecastOrder.model_validate_json(body)
        read = await run_in_threadpool(read_order, order, self._service(), self._feeds)
        made = await run_in_threadpool(self._keep, order, read)
        self._notes.put(made.id, read.notes)
        if order.candles is not None and order.events == "none":
            self._bodies.put(digest, (made.id, order.model, made.request.revision))
        await self._submit(made, owner, priority=_PRIORITIES[order.priority],
                           deadline=order.deadline)  # fmt: skip
        if order.save:
            self._savers.submit(self._save, made)
        return await self.state(made.id, owner) or self._state(made.id, None)

    async def state(self, order_id: str, owner: str, wait: float = 0.0) -> ForecastState | None:
        """Where a forecast stands; None where it was never ordered.

        One that this server has forgotten is begun again.
        """
        end = asyncio.get_running_loop().time() + wait
        while True:
            if self._forecasts.get(order_id) is not None:
                return self._state(order_id, None)
            made = await self._find(order_id)
            if made is None:
                return None
            status = await self._call(self._service().status, made.request.digest, owner=owner)
            if status is None:
                await self._submit(made, owner)
                status = await self._call(self._service().status, made.request.digest)
            if status is not None and status.state == "done":
                await self._collect(made, status)
            found = self._state(order_id, status)
            if found.state not in ("queued", "running"):
                return found
            if asyncio.get_running_loop().time() >= end:
                return found
            await asyncio.sleep(LOOK_EVERY)

    async def body(self, order_id: str, view: View) -> bytes | None:
        """The result of a forecast that is done; None for any other.

        Raises:
            KronosError: The view makes no sense for it.
        """
        key = (order_id, view)
        known = self._answers.get(key)
        if known is not None and not view.calibrated:  # what was learned may be newer
            self.n_hits += 1
            return known
        forecast = self._forecasts.get(order_id)
        made = await self._find(order_id)
        if forecast is None or made is None:
            return None
        found = await run_in_threadpool(answer, forecast, made.candles, view)
        self._answers.put(key, found)
        return found

    async def leave(self, order_id: str, owner: str) -> bool:
        """Give a forecast up; False where it was never ordered."""
        made = await self._find(order_id)
        if made is None:
            return False
        if self._forecasts.get(order_id) is not None:  # it has ended: others may want it
            return True
        service, key = self._service(), made.request.digest
        await self._call(service.leave, key, owner=owner)
        status = await self._call(service.status, key)
        if status is None or status.state == "cancelled" or status.watchers == 0:
            await run_in_threadpool(self._spool.remove, order_id)
            self._orders.drop(order_id)
        return True

    async def _find(self, order_id: str) -> Acknowledged | None:
        made = self._orders.get(order_id)
        if made is None:
            made = await run_in_threadpool(self._spool.get, order_id)
            if made is not None:
                self._orders.put(order_id, made)
        return made

    def _keep(self, order: ForecastOrder, read: Ordered) -> Acknowledged:
        made = Acknowledged(read.request, read.candles)
        self._spool.add(made, saves=order.save)
        self._orders.put(made.id, made)
        return made

    async def _submit(
        self, made: Acknowledged, owner: str, *, priority: Priority = Priority.VISIT,
        deadline: float | None = None,
    ) -> None:  # fmt: skip
        def submit() -> JobStatus:
            return self._service().submit(
                made.request, owner=owner, priority=priority, deadline=deadline, supersede=False
            )

        await self._call(submit)

    async def _collect(self, made: Acknowledged, status: JobStatus) -> None:
        forecast: Forecast = status.result
        self._forecasts.put(made.id, forecast)

    def finish_saving(self) -> None:
        """Save what an earlier server was to save and did not."""
        for order_id in self._spool.unsaved():
            made = self._spool.get(order_id)
            if made is not None:
                self._savers.submit(self._save, made)

    def close(self) -> None:
        """Save no more, and close the file of orders."""
        self._savers.shutdown(wait=False, cancel_futures=True)
        self._spool.close()

    def _save(self, made: Acknowledged) -> None:
        """Have an order answered and stored, in a thread of its own."""
        try:
            forecast = self._service().run(made.request, priority=Priority.BATCH, keep=True)
            open_store().save(forecast, made.candles)
            self._spool.saved(made.id)
        except KronosError as error:
            logger.warning("The forecast %s is not saved yet: %s", made.id[:16], error)

    async def _call(self, call: Callable[..., Value], *args: Any, **options: Any) -> Value:
        """Ask the service: in a thread, unless it is the engine of this process."""
        if isinstance(self._service(), LocalService):
            return call(*args, **options)
        return await run_in_threadpool(lambda: call(*args, **options))

    def _state(self, order_id: str, status: JobStatus | None) -> ForecastState:
        """The state of a job; of one that is done without a status."""
        own = f"/v1/forecasts/{order_id}"
        links = {"self": own, "progress": f"{own}/progress", "result": f"{own}/result"}
        notes = list(self._notes.get(order_id) or ())
        if status is None:
            return ForecastState(id=order_id, state="done", notes=notes, links=links)
        error = status.error
        found: dict[str, Any] | None = None
        if isinstance(error, KronosError):
            found = problem_of(error)
        elif error is not None:
            logger.warning("The forecast %s failed.", order_id[:16], exc_info=error)
            found = problem(
                500, "Internal error", "The forecast failed; the server's log says why."
            )
        return ForecastState(
            id=order_id, state=status.state, position=status.position, stage=status.stage,
            done=status.done, total=status.total, seconds_left=status.seconds_left, notes=notes,
            problem=found, links=links,
        )  # fmt: skip


def forecast_routes(desk: Desk) -> APIRouter:
    """The routes of /v1/forecasts."""
    routes = APIRouter(prefix="/v1/forecasts", tags=["forecasts"])
    problems: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {MEDIA_TYPE: {}}}
        for code, text in {
            404: "There is no such forecast.",
            422: "Something of the request cannot be used.",
            503: "Nothing more is accepted now.",
        }.items()
    }

    @routes.post(
        "", summary="Order a forecast", response_model=ForecastState, status_code=202,
        responses=problems | {200: {"model": ForecastState, "description": "It is done."}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/ForecastOrder"}}
                },
            }
        },
    )  # fmt: skip
    async def order(request: Request, wait: Wait = 0.0) -> Response:
        """Equal orders have the same id and share one computation. The forecast is given up when
        nobody asks for it for five minutes."""
        owner = caller_of(request)
        found = await desk.take(await request.body(), owner)
        if wait and found.state in ("queued", "running"):
            found = await desk.state(found.id, owner, wait) or found
        return _state_response(found)

    @routes.get(
        "/{order_id}", summary="State, place in line and progress", response_model=ForecastState,
        responses=problems,
    )  # fmt: skip
    async def state(request: Request, order_id: Id, wait: Wait = 0.0) -> Response:
        found = await desk.state(order_id, caller_of(request), wait)
        return _missing() if found is None else _state_response(found, accepted=200)

    @routes.get(
        "/{order_id}/progress", summary="Progress as server-sent events",
        responses=problems | {200: {"content": {"text/event-stream": {}}}},
        response_class=StreamingResponse,
    )  # fmt: skip
    async def progress(request: Request, order_id: Id) -> Response:
        """Events named `state`, each with a ForecastState; the last one is final."""
        owner = caller_of(request)
        if await desk.state(order_id, owner) is None:
            return _missing()
        return StreamingResponse(
            _stream(desk, order_id, owner), media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )  # fmt: skip

    @routes.get(
        "/{order_id}/result", summary="The result, in any format",
        responses=problems
        | {
            200: {"content": {media.partition(";")[0]: {} for media in FORMATS.values()}},
            202: {"model": ForecastState, "description": "It is not done yet."},
            410: {"description": "It was cancelled.", "content": {MEDIA_TYPE: {}}},
        },
        response_class=Response,
    )  # fmt: skip
    async def result(request: Request, order_id: Id, asked: ViewQuery) -> Response:
        view = asked.view
        body = await desk.body(order_id, view)
        if body is None:
            found = await desk.state(order_id, caller_of(request), asked.wait)
            if found is None:
                return _missing()
            if found.state != "done":
                return _state_response(found)
            body = await desk.body(order_id, view)
        return _missing() if body is None else Response(body, media_type=FORMATS[view.format])

    @routes.delete("/{order_id}", summary="Give a forecast up", status_code=204, responses=problems)
    async def leave(request: Request, order_id: Id) -> Response:
        """It ends once nobody else waits for it."""
        return Response(status_code=204) if await desk.leave(
            order_id, caller_of(request)
        ) else _missing()  # fmt: skip

    return routes


async def _stream(desk: Desk, order_id: str, owner: str) -> AsyncIterator[bytes]:
    last = None
    while True:
        found = await desk.state(order_id, owner)
        if found is None:
            return
        text = found.model_dump_json()
        if text != last:
            yield f"event: state\ndata: {text}\n\n".encode()
            last = text
        if found.state not in ("queued", "running"):
            return
        await asyncio.sleep(STREAM_EVERY)


def _state_response(found: ForecastState, accepted: int = 202) -> Response:
    headers = {"Location": found.links["self"]}
    if found.state in ("queued", "running"):
        headers["Retry-After"] = "1"
        return Response(found.model_dump_json(), accepted, headers, "application/json")
    if found.state == "done":
        return Response(found.model_dump_json(), 200, headers, "application/json")
    if accepted == 200:  # a question for the state is answered, whatever it is
        return Response(found.model_dump_json(), 200, headers, "application/json")
    what = found.problem or problem(410, "Cancelled", "This forecast was cancelled; order it anew.")
    return Response(json.dumps(what), what["status"], headers, MEDIA_TYPE)


def _missing() -> Response:
    what = problem(
        404, "No such forecast", "No forecast of this id is known here. Order it by POST."
    )
    return JSONResponse(what, 404, media_type=MEDIA_TYPE)
