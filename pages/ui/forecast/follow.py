"""Follow: when a bar closes, it is fetched, the forecast is made again, and the page shows it.

Bars and forecast are made ready in a fragment, while the page stays as it is; then the page runs
once. Sessions that follow the same bars share one fetch. The fragment runs in the browser's clock:
while no browser shows the page, nothing is fetched.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import pandas as pd
import streamlit as st

from data_sources.source import Bars
from kronos.calendars.intervals import is_intraday
from kronos.candles import Candles
from kronos.errors import KronosError, RateLimited
from kronos.follow import Alert, AlertRule, AlertState, BarClock, Change, FanFigures
from kronos.forecast import Forecast
from kronos.serving.jobs import JobStatus, Priority
from pages.ui.fan.alerts import change_text, choose_rules, show_alerts
from pages.ui.frame.links import linked_or_chosen
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted, moment_text
from pages.ui.inputs import fetching
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import events_for
from pages.ui.inputs.fetching import Wanted
from pages.ui.inputs.ticker import LATEST, remembered_origin
from pages.ui.jobs.forecast_runs import FORECAST, ForecastRun
from pages.ui.jobs.progress import look_again_in
from pages.ui.jobs.settings import ForecastSettings, data_id

_FOLLOWING, _RENEWED = "following", "follow_renewed"
_WORKING_SECONDS, _LONGEST_SECONDS = 0.5, 10.0


@dataclass(slots=True)
class _Following:
    """What this session follows.

    Attributes:
        wanted: The bars, whenever they are fetched.
        clock: When the next bar closes.
        look: The fetch under way.
        n_looks: Fetches since the last bar.
        run: The forecast of the new bars.
        problem: Why there are no new bars.
        shown_as: What the figures are of: model, settings, raw or calibrated.
        figures: Of the forecast that the page shows.
        change: Against the one before.
        alerts: The rules.
    """

    wanted: Wanted
    clock: BarClock = field(default_factory=BarClock)
    look: Wanted | None = None
    n_looks: int = 0
    run: ForecastRun | None = None
    problem: str = ""
    shown_as: object = None
    figures: FanFigures | None = None
    change: Change | None = None
    alerts: AlertState = field(default_factory=AlertState)


def choose_follow(source: ChosenCandles) -> tuple[AlertRule, ...] | None:
    """The switch and the alerts, for bars of a live market; None where nothing is followed."""
    if source.bars is None:
        return None
    label = "Following" if linked_or_chosen("follow", "").lower() == "true" else "Follow"
    with st.popover(label, key="chip_follow"), st.container(width=300):
        follows = st.toggle(
            "Follow",
            key="follow",
            bind="query-params",
            help="When a bar closes, fetch it and make the forecast again.",
        )
        return choose_rules("alerts") if follows else None


def take_renewed() -> bool:
    """Whether this run shows bars that closed, whose forecast is ready; says so once."""
    return bool(st.session_state.pop(_RENEWED, False))


def show_follow(
    source: ChosenCandles,
    settings: ForecastSettings,
    rules: tuple[AlertRule, ...] | None,
    shown: Forecast | None,
) -> None:
    """When the next bar closes, and what the last one changed.

    Args:
        source: The bars.
        settings: Of the forecast.
        rules: From `choose_follow`.
        shown: The fan on the page.
    """
    wanted: Wanted | None = st.session_state.get(LATEST)
    if rules is None or source.bars is None or wanted is None:
        st.session_state.pop(_FOLLOWING, None)
        return
    if remembered_origin() is not None:
        st.caption(":material/sync_disabled: Follow needs the latest bar: clear the origin.")
        return
    following: _Following | None = st.session_state.get(_FOLLOWING)
    if following is None or not wanted.is_same(following.wanted):
        following = st.session_state[_FOLLOWING] = _Following(replace(wanted, look=""))
    if following.clock.n_new(source.candles):
        following.clock.take(source.candles, _now())
        following.n_looks, following.look, following.run = 0, None, None
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="following"):
        news = _compare(following, settings, rules, shown)
        st.fragment(_advance, run_every=_LONGEST_SECONDS)(source, settings)
        if following.change is not None and following.figures is not None:
            _show_change(source.candles, following.figures, following.change)
        if rules:
            show_alerts("notifier", [(source.candles.symbol, each) for each in news])


def _compare(
    following: _Following,
    settings: ForecastSettings,
    rules: tuple[AlertRule, ...],
    shown: Forecast | None,
) -> list[Alert]:
    """Take the figures of the forecast on the page; returns its alerts, once."""
    if shown is None:
        return []
    what = (
        shown.model_name, shown.model_revision, shown.horizon, shown.parameters,
        shown.calibration_hash is None, settings.lookback,
    )  # fmt: skip
    before = following.figures if what == following.shown_as else None
    is_other = what != following.shown_as or rules != following.alerts.rules
    if before is not None and shown.origin <= before.origin and not is_other:
        return []
    if is_other:
        following.shown_as, following.alerts = what, AlertState(rules)
    figures = FanFigures.of(shown)
    if before is None or shown.origin > before.origin:
        following.change = None if before is None else Change.between(before, figures)
        following.figures = figures
    else:
        before = None  # other rules for the forecast that is there already
    return following.alerts.check(figures, before, shown)


def _show_change(candles: Candles, figures: FanFigures, change: Change) -> None:
    close = f"Bar of {moment_text(figures.origin, candles)} closed at {figures.last_close:.6g}"
    st.caption(
        f":material/difference: {plain(f'{close}: {change_text(change, figures)}.')}",
        help="Against the forecast of the bar before it, each at its own last bar. P(up) with the "
        "standard error of its change.",
    )


def _advance(source: ChosenCandles, settings: ForecastSettings) -> None:
    """Fetch and forecast what is due; reruns the page once both are there."""
    following: _Following | None = st.session_state.get(_FOLLOWING)
    if following is None:
        return
    clock, now = following.clock, _now()
    if following.look is None and clock.is_due(now):
        look = f"{clock.closes} {following.n_looks}"
        following.look = replace(following.wanted, look=look, asked_at=int(time.time()))
    if following.look is not None:
        try:
            status = fetching.fetch(following.look)
            if status.is_final:
                _take(following, status, source, settings)
        except KronosError as error:
            _fail(following, error)
    waits = following.look is None and clock.due is not None
    seconds = (clock.due - now).total_seconds() if waits and clock.due is not None else 0.0
    look_again_in(min(max(seconds, _WORKING_SECONDS), _LONGEST_SECONDS))
    st.caption(plain_state(following.clock, source.candles, following.problem, now))


def _take(
    following: _Following, status: JobStatus, source: ChosenCandles, settings: ForecastSettings
) -> None:
    """Take what was fetched: wait on, or forecast from the new bars."""
    if status.error is not None or status.state == "cancelled":
        _fail(following, status.error)
        return
    bars: Bars = status.result
    n_new = following.clock.n_new(bars.candles)
    if not n_new:
        following.look, following.n_looks = None, following.n_looks + 1
        following.problem = bars.stale
        if bars.stale:
            following.clock.fail(_now())
        else:
            following.clock.look_again(bars.candles.interval, _now())
        return
    if following.run is None:
        following.run = _submit(bars, source, settings)
    made = following.run.status(owner=FORECAST.owner())
    if made is not None and not made.is_final:
        return
    st.session_state[LATEST] = following.look
    st.session_state[_RENEWED] = True
    following.problem = ""
    st.rerun()


def _submit(bars: Bars, source: ChosenCandles, settings: ForecastSettings) -> ForecastRun:
    """Start the forecast that the page will want of new bars."""
    candles = bars.candles
    new = replace(source, candles=candles, data_id=data_id(candles), bars=bars)
    renewed = replace(
        settings,
        data_id=new.data_id,
        origin=pd.Timestamp(candles.frame.index[-1]),
        events=events_for(new, settings.model),
    )
    run = ForecastRun.of(renewed, candles, "forecast", Priority.VISIT)
    run.submit(owner=FORECAST.owner(), supersede=False)
    return run


def _fail(following: _Following, error: Exception | None) -> None:
    after = error.retry_after if isinstance(error, RateLimited) else None
    following.clock.fail(_now(), retry_after=after)
    following.look, following.n_looks, following.run = None, following.n_looks + 1, None
    following.problem = "The fetch was cancelled." if error is None else str(error)


def plain_state(clock: BarClock, candles: Candles, problem: str, now: pd.Timestamp) -> str:
    """When the next bar closes, or why it has not come, as Markdown."""
    if clock.closes is None:
        return ":material/sync: Following"
    local = clock.closes.tz_convert(candles.zone)
    is_near = is_intraday(candles.interval) and clock.closes - now < pd.Timedelta(days=1)
    moment = f"{local:%H:%M}" if is_near else f"{local:%d %b %H:%M}"
    if problem:
        return f":material/sync_problem: {plain(problem)}"
    if clock.is_late(now):
        return f":material/sync_problem: No bar has come since {moment}; the market may be closed"
    if now >= clock.closes:
        return f":material/sync: The bar closed at {moment}; waiting for it"
    minutes = int((clock.closes - now) / pd.Timedelta(minutes=1))
    left = f", in {counted(minutes, 'minute')}" if 1 <= minutes < 120 else ""
    return f":material/sync: Next bar closes at {moment}{left}"


def _now() -> pd.Timestamp:
    return pd.Timestamp.now("UTC")
