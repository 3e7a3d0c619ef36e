"""The tools and their server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any
from uuid import uuid4

import pandas as pd
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from kronos import models
from kronos.agents.answers import Comparison, Fan, Scored, fan_of, scored_of
from kronos.agents.links import compare_link, forecast_link
from kronos.api.feeds import FeedBars, Feeds
from kronos.api.orders import CandlesIn, ForecastOrder, Ordered, known_models, read_order
from kronos.calibration import calibrate, load_state
from kronos.errors import InvalidRequest, KronosError
from kronos.events import load_events, regions_of
from kronos.forecast import Forecast
from kronos.serving.requests import WarmUpRequest
from kronos.serving.service import ForecastService

__all__ = ["create_server", "warm_up"]

LOOK_EVERY = 0.02
MAX_ROWS = 40
"""Rows of a list in one answer."""
_INSTRUCTIONS = """\
Forecasts of candles as a fan of sampled futures, from the Kronos foundation model. Every figure
is a property of many paths, with its sampling error: it is no advice. Name an instrument by source
and symbol (yahoo: AAPL, BTC-USD, ^GSPC, EURUSD=X; an exchange: binance with BTC/USDT; samples:
BTCUSD, ETHUSD, EURUSD, GOOG), give candles, or the path of a file. Show people the link: it opens
the same view. The model `bundled` is always there."""

Source = Annotated[str | None, Field(description="yahoo, samples, or an exchange such as binance.")]
Symbol = Annotated[str | None, Field(description="As the source spells it.")]
Interval = Annotated[str, Field(description="Width of a bar: 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w.")]
File = Annotated[str | None, Field(description="Path of a file of candles on this machine.")]
Origin = Annotated[
    str | None,
    Field(description="Forecast as if the last bar were the one at or before this time."),
]
Horizon = Annotated[int, Field(ge=1, le=480, description="Bars to forecast.")]
Paths = Annotated[int, Field(ge=2, le=2000, description="Sampled futures.")]


def warm_up(service: Callable[[], ForecastService]) -> None:
    """Load the bundled model in the background, while the first question is on its way."""

    def load() -> None:
        request = WarmUpRequest("bundled", service().facts("bundled").revision)
        service().submit(request, owner="agents", supersede=False)

    threading.Thread(target=load, name="warm-up", daemon=True).start()


def create_server(
    service: Callable[[], ForecastService],
    feeds: Feeds,
    *,
    app_url: str,
    reads_files: bool,
) -> MCPServer:
    """The server with its tools.

    Args:
        service: Gives the service that forecasts.
        feeds: Where bars, events and leading markets come from.
        app_url: Address of the application, for links.
        reads_files: Whether tools may read files of this machine: only for its own user.
    """
    server = MCPServer("kronos-fan", title="Kronos Fan", instructions=_INSTRUCTIONS)
    desk = _Desk(service, feeds, app_url.rstrip("/"), reads_files=reads_files)

    @server.tool()
    async def forecast(
        context: Context, symbol: Symbol = None, source: Source = None, interval: Interval = "1d",
        file: File = None, candles: CandlesIn | None = None, model: str = "bundled",
        horizon: Horizon = 24, paths: Paths = 100, temperature: float = 1.0, top_p: float = 1.0,
        top_k: int = 0, seed: int = 0, lookback: int | None = None, origin: Origin = None,
        calibrated: bool = False,
    ) -> Fan:  # fmt: skip
        """Forecast an instrument: quantiles, P(up), range, expected move, value at risk.

        `calibrated` corrects the fan by the model's record where there is one."""
        asked = await desk.order(
            file, source=source, symbol=symbol, interval=interval, candles=candles, model=model,
            horizon=horizon, paths=paths, temperature=temperature, top_p=top_p, top_k=top_k,
            seed=seed, lookback=lookback, origin=origin,
        )  # fmt: skip
        made = await desk.run(asked, context)
        return desk.fan(asked, desk.calibrated(asked, made) if calibrated else made)

    @server.tool()
    async def compare(
        context: Context, models: Annotated[list[str], Field(min_length=2, max_length=4)],
        symbol: Symbol = None, source: Source = None, interval: Interval = "1d", file: File = None,
        candles: CandlesIn | None = None, horizon: Horizon = 24, paths: Paths = 100, seed: int = 0,
        origin: Origin = None,
    ) -> Comparison:  # fmt: skip
        """Forecast with two to four models or baselines on the same bars, origin and seed."""
        fans, asked = [], None
        for model in models:
            asked = await desk.order(
                file, source=source, symbol=symbol, interval=interval, candles=candles, model=model,
                horizon=horizon, paths=paths, seed=seed, origin=origin,
            )  # fmt: skip
            fans.append(desk.fan(asked, await desk.run(asked, context)))
        return Comparison(fans=fans, link=None if asked is None else desk.comparison(asked, models))

    @server.tool()
    async def score(
        context: Context, origin: Annotated[str, Field(description="A time in the past.")],
        symbol: Symbol = None, source: Source = None, interval: Interval = "1d", file: File = None,
        candles: CandlesIn | None = None, model: str = "bundled", horizon: Horizon = 24,
        paths: Paths = 100, seed: int = 0,
    ) -> Scored:  # fmt: skip
        """Forecast from an origin in the past, and score it by the bars that came after."""
        asked = await desk.order(
            file, source=source, symbol=symbol, interval=interval, candles=candles, model=model,
            horizon=horizon, paths=paths, seed=seed, origin=origin,
        )  # fmt: skip
        made = await desk.run(asked, context)
        found = scored_of(made, asked.ordered.candles, desk.fan(asked, made))
        if found is None:
            raise ToolError(
                f"No bar after the origin {made.origin} is known, so that nothing can be scored. "
                "Choose an earlier origin."
            )
        return found

    @server.tool()
    async def track_record(
        model: str | None = None, interval: str | None = None
    ) -> list[dict[str, Any]]:
        """Mean scores of the forecasts that were stored, by model, interval, and whether they were
        stored ahead of the outcome."""
        return await desk.read(_record, model, interval)

    @server.tool(name="models")
    async def listing() -> list[dict[str, str]]:
        """The models on this machine, and the baselines to hold them against."""
        titles = await desk.read(known_models)
        return [
            {"name": name, "title": title, "kind": str(models.kind_of(name))}
            for name, title in titles.items()
        ]

    @server.tool()
    async def events(
        symbol: Symbol = None, source: Source = None, interval: Interval = "1d",
        days_back: Annotated[int, Field(ge=0, le=365)] = 7,
        days_ahead: Annotated[int, Field(ge=0, le=365)] = 30,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Scheduled releases, rate decisions and earnings that concern an instrument, or all."""
        bars = None if symbol is None else await desk.bars(source or "yahoo", symbol, interval)
        return await desk.read(_events, bars, days_back, days_ahead)

    return server


class _Asked:
    """An order that a tool made, and how its bars are named in a link."""

    def __init__(self, order: ForecastOrder, ordered: Ordered, page: dict[str, str] | None) -> None:
        self.order, self.ordered, self.page = order, ordered, page

    @property
    def known(self) -> Any:
        """The bars up to the origin."""
        return self.ordered.candles.at_origin(self.ordered.request.origin, n_actuals=0).history


class _Desk:
    """What the tools share."""

    def __init__(
        self, service: Callable[[], ForecastService], feeds: Feeds, app_url: str, *,
        reads_files: bool,
    ) -> None:  # fmt: skip
        self._service, self._feeds, self._app_url = service, feeds, app_url
        self._reads_files = reads_files

    async def order(
        self, file: str | None, *, source: str | None, symbol: str | None, **options: Any
    ) -> _Asked:
        """Read an order, in a thread.

        Raises:
            ToolError: Something of it cannot be used; the text says what to do.
        """

        def work() -> _Asked:
            place, named, page = source, symbol, None
            feeds: Feeds = self._feeds
            if file is not None:
                if not self._reads_files:
                    raise InvalidRequest("This server reads no files: send the candles instead.")
                if symbol is not None or options.get("candles") is not None:
                    raise InvalidRequest("Give file, candles, or symbol: one of them.")
                feeds = _OfFile(self._feeds, file)
                place, named = "file", file[-64:]
            elif symbol is not None:
                place = source or "yahoo"
                page = self._feeds.page(place, symbol, options["interval"])
            order = ForecastOrder(source=place, symbol=named, **options)
            return _Asked(order, read_order(order, self._service(), feeds), page)

        return await self.read(work)

    async def bars(self, source: str, symbol: str, interval: str) -> FeedBars:
        return await self.read(self._feeds.bars, source, symbol, interval)

    async def read(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call in a thread, and say errors as agents read them."""
        try:
            return await run_in_threadpool(call, *args)
        except KronosError as error:
            raise ToolError(str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(each) for each in first["loc"])
            raise ToolError(f"{where}: {first['msg']}".lstrip(": ")) from error

    async def run(self, asked: _Asked, context: Context) -> Forecast:
        """Have it answered; report progress, and leave it when the caller gives it up."""
        service, request = self._service(), asked.ordered.request
        owner, last = f"agent {uuid4().hex}", -1
        await self.read(lambda: service.submit(request, owner=owner, supersede=False))
        try:
            while True:
                status = await self.read(lambda: service.status(request.digest, owner=owner))
                if status is None:
                    raise ToolError("The server dropped this forecast. Ask for it again.")
                if status.error is not None:
                    raise ToolError(str(status.error))
                if status.state == "cancelled":
                    raise ToolError("The forecast was cancelled.")
                if status.is_final:
                    made: Forecast = status.result
                    return made
                if status.done != last and status.total:
                    last = status.done
                    await context.report_progress(status.done, status.total, status.stage)
                await asyncio.sleep(LOOK_EVERY)
        finally:
            service.leave(request.digest, owner=owner)

    def calibrated(self, asked: _Asked, forecast: Forecast) -> Forecast:
        try:
            return calibrate(forecast, asked.ordered.candles, load_state())
        except InvalidRequest as error:
            raise ToolError(f"{error} Ask again with calibrated=false.") from error

    def fan(self, asked: _Asked, forecast: Forecast) -> Fan:
        titles = known_models()
        link = forecast_link(
            self._app_url, asked.page, asked.known, asked.order.sampling,
            model=titles[asked.order.model], horizon=asked.order.horizon,
            lookback=asked.order.lookback,
        )  # fmt: skip
        return fan_of(forecast, asked.ordered.candles, notes=asked.ordered.notes, link=link)

    def comparison(self, asked: _Asked, names: list[str]) -> str | None:
        titles = known_models()
        return compare_link(
            self._app_url, asked.page, asked.known, asked.order.sampling,
            models=[titles[name] for name in names], horizon=asked.order.horizon,
        )  # fmt: skip


class _OfFile:
    """Feeds whose bars are those of one file."""

    def __init__(self, feeds: Feeds, path: str) -> None:
        self._feeds, self._path = feeds, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._feeds, name)

    def bars(self, source: str, symbol: str, interval: str) -> FeedBars:
        return self._feeds.file(self._path)


def _record(model: str | None, interval: str | None) -> list[dict[str, Any]]:
    # Databases are imported when they are asked: the first forecast does not wait for them.
    from kronos.store import open_store
    from kronos.store.record import summarise

    table = summarise(open_store())
    if model is not None:
        table = table[table["model"].str.startswith(model)]
    if interval is not None:
        table = table[table["interval"] == interval]
    rows = table.round(4).astype(object).where(table.notna(), None)
    return [
        {str(name): value for name, value in row.items()}
        for row in rows.head(MAX_ROWS).to_dict("records")
    ]


def _events(bars: FeedBars | None, back: int, ahead: int) -> list[dict[str, Any]]:
    now = pd.Timestamp.now("UTC")
    first, last = now - pd.Timedelta(days=back), now + pd.Timedelta(days=ahead)
    regions, symbol = None, ""
    if bars is not None:
        symbol = bars.candles.symbol
        regions = regions_of(bars.candles.calendar, symbol, bars.currency)
    found = [
        event
        for event in load_events()
        if first <= event.time <= last
        and (regions is None or event.region in regions or event.symbol == symbol)
    ]
    wanted = ("kind", "region", "symbol", "name", "actual", "consensus", "previous", "unit")
    return [
        {"time": event.time.isoformat()}
        | {name: value for name in wanted if (value := asdict(event)[name]) not in (None, "")}
        for event in found[:MAX_ROWS]
    ]
