"""The application: routes, errors, OpenAPI, and what runs with it.

`create_api` is a whole application for `kronos serve`; the server of the pages mounts the routes of
the same object beside its own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from kronos.api.catalogue import catalogue_routes
from kronos.api.engine import engine_routes
from kronos.api.feeds import Feeds
from kronos.api.forecasts import Desk, forecast_routes
from kronos.api.gate import Gate
from kronos.api.keys import Keys
from kronos.api.metrics import Metrics
from kronos.api.orders import ForecastOrder
from kronos.api.problems import MEDIA_TYPE, problem, problem_of
from kronos.api.spool import Spool
from kronos.errors import KronosError
from kronos.serving.requests import WarmUpRequest
from kronos.serving.service import ForecastService

__all__ = ["PREFIXES", "create_api"]

logger = logging.getLogger(__name__)

PREFIXES = ("/v1/", "/metrics")
"""Paths of the API; nothing else of a server is one."""
_VERSION = version("kronos-fan")
_DESCRIPTION = """\
Forecasts of candles as a fan of sampled paths, with everything that made them.

Order a forecast by POST /v1/forecasts, follow it, and take its result as quantiles or as every
path, in JSON, CSV, Parquet, Arrow, PNG or SVG. Equal orders have equal ids and results. Errors are
problem details (RFC 9457). Requests from another machine need a key: `kronos keys add NAME`.

Forecasts are samples of a statistical model, not advice."""


def create_api(
    service: Callable[[], ForecastService],
    feeds: Feeds,
    *,
    keys: Keys | None = None,
    spool: Spool | None = None,
) -> FastAPI:
    """The API as an application.

    Args:
        service: Gives the service that answers.
        feeds: Where bars, events and leading markets come from.
        keys: Keys of other machines; default: those of the user.
        spool: Keeps acknowledged orders; default: that of the user.
    """
    desk = Desk(service, feeds, spool or Spool())
    metrics = Metrics(service, lambda: desk.n_hits, feeds.faults)
    readiness = _Readiness()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(desk.finish_saving)
        yield
        desk.close()

    api = FastAPI(
        title="Kronos Fan", version=_VERSION, description=_DESCRIPTION,
        openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None, lifespan=lifespan,
    )  # fmt: skip
    api.state.desk = desk
    api.include_router(forecast_routes(desk))
    api.include_router(catalogue_routes(service))
    api.include_router(engine_routes(service))

    @api.get("/v1/health", tags=["server"], summary="Whether the server answers")
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": _VERSION}

    @api.get("/v1/ready", tags=["server"], summary="Whether it can forecast")
    async def ready() -> Response:
        """503 until the bundled model is loaded and answers."""
        what = readiness.look(service())
        return Response(
            json.dumps(what), 200 if what["ready"] else 503, media_type="application/json"
        )

    @api.get("/metrics", tags=["server"], summary="Figures for Prometheus")
    async def figures() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    _answer_errors(api)
    _describe_orders(api)
    api.add_middleware(Gate, keys=keys or Keys(), metrics=metrics, prefixes=PREFIXES)
    return api


_READY = "api readiness"


class _Readiness:
    """Whether the bundled model answers."""

    def __init__(self) -> None:
        self._answered: ForecastService | None = None

    def look(self, service: ForecastService) -> dict[str, Any]:
        """Ask the model where nobody has; a service that answered once stays ready."""
        request = WarmUpRequest("bundled")
        status = service.status(request.digest, owner=_READY)
        if status is None and self._answered is service:  # many other results came since
            return {"ready": True, "state": "done", "problem": None}
        if status is None or status.state in ("failed", "cancelled"):
            problems = None if status is None or status.error is None else str(status.error)
            service.submit(request, owner=_READY, supersede=False)
            return {"ready": False, "state": "loading", "problem": problems}
        if status.state == "done":
            self._answered = service
        return {"ready": status.state == "done", "state": status.state, "problem": None}


def _answer_errors(api: FastAPI) -> None:
    """Every error as a problem."""

    def answer(what: dict[str, Any]) -> Response:
        headers = {}
        if what.get("retry_after") is not None:
            headers["Retry-After"] = f"{what['retry_after']:.0f}"
        return Response(json.dumps(what), what["status"], headers, MEDIA_TYPE)

    @api.exception_handler(KronosError)
    async def known(_: Request, error: Exception) -> Response:
        assert isinstance(error, KronosError)
        return answer(problem_of(error))

    @api.exception_handler(ValidationError)
    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, ValidationError | RequestValidationError)
        rows = [
            {"where": ".".join(str(each) for each in row["loc"])[:200], "what": row["msg"]}
            for row in error.errors()[:20]
        ]
        detail = "; ".join(f"{row['where']}: {row['what']}" for row in rows[:3])
        return answer(problem(422, "Invalid request", detail, errors=rows))

    @api.exception_handler(HTTPException)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = f"{request.method} {request.url.path[:200]}: see GET /v1/openapi.json."
        return answer(problem(error.status_code, str(error.detail), detail))

    @api.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        logger.warning("A request failed.", exc_info=error)
        return answer(problem(500, "Internal error", "The server's log says why."))


def _describe_orders(api: FastAPI) -> None:
    """Enter the schema of an order, which is read by hand, into the OpenAPI document."""
    describe = api.openapi

    def described() -> dict[str, Any]:
        document = describe()
        reference = "#/components/schemas/{model}"
        schema = ForecastOrder.model_json_schema(ref_template=reference)
        schemas = document["components"]["schemas"]
        schemas |= schema.pop("$defs", {})
        schemas["ForecastOrder"] = schema
        return document

    api.openapi = described  # type: ignore[method-assign]
