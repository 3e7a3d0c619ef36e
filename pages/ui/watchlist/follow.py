"""Follow on the watchlist: each line is forecast again when a bar of its own closes.

The lines of a run are followed once for all sessions that show it, and only while one does: a
session's page polls. Alerts are of the session.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import streamlit as st

from kronos.follow import Alert, AlertRule, AlertState, Fault, Follower, Known, Line
from kronos.serving.service import ForecastService
from pages.ui.fan.alerts import choose_rules, show_alerts
from pages.ui.frame.access import without_paths
from pages.ui.frame.text import counted
from pages.ui.inputs.instruments import SAMPLES, OpenSource, followed_bars
from pages.ui.jobs.services import Service
from pages.ui.watchlist.work import Row, WatchRun, summarise

POLL_SECONDS = 2.0
N_THREADS = 8
"""Lines of all watchlists that are fetched and forecast again at a time."""
_SEEN = "watch_alerts_seen"


@Service
def followers() -> _Threads:
    """The threads that follow the lines of all watchlists."""
    return _Threads()


class _Threads(ThreadPoolExecutor):
    def __init__(self) -> None:
        super().__init__(N_THREADS, thread_name_prefix="follow watchlists")

    def close(self) -> None:
        """End the threads once their work has ended."""
        self.shutdown(wait=False, cancel_futures=True)


class WatchFollower:
    """Follows the lines of a run. Any thread may call.

    Args:
        run: A run that has ended; its rows are renewed.
        open_source: Gives a source by name.
        forecasts: Makes the forecasts.
        executor: Runs the looks.
        clock: Time of this machine, aware.
    """

    def __init__(
        self,
        run: WatchRun,
        open_source: OpenSource,
        forecasts: ForecastService,
        executor: ThreadPoolExecutor,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
    ) -> None:
        self._run = run
        self._open_source = open_source
        self._lock = threading.Lock()
        self._follower = Follower(forecasts, executor, clock=clock)
        entries = run.request.entries
        self._follower.follow(self._line(i) for i, entry in enumerate(entries) if not entry.is_file)

    @property
    def is_working(self) -> bool:
        """Whether a line is being fetched or forecast."""
        with self._lock:
            return self._follower.is_working

    @property
    def n_lines(self) -> int:
        """Lines that are followed."""
        with self._lock:
            return len(self._follower.lines)

    def next_close(self) -> pd.Timestamp | None:
        """When the next bar of any line closes, UTC."""
        with self._lock:
            closes = [self._follower.closes(line.name) for line in self._follower.lines]
        return min((each for each in closes if each is not None), default=None)

    def poll(self) -> None:
        """Start what is due, and renew the rows of what is ready."""
        with self._lock:
            events = self._follower.poll()
        for event in events:
            i = int(event.line.name)
            row = self._run.rows[i]
            if isinstance(event, Fault):
                state = row.state if row.summary is not None else "failed"
                self._run.renew(i, replace(row, state=state, problem=without_paths(event.words)))
                continue
            summary = summarise(event.bars, event.forecast)  # type: ignore[arg-type]
            self._run.renew(
                i,
                Row(
                    row.symbol, "done", summary, figures=event.figures, before=row.figures,
                    closes=event.closes,
                ),
            )  # fmt: skip

    def _line(self, i: int) -> Line:
        run, entry = self._run, self._run.request.entries[i]
        row = run.rows[i]
        known = None
        if row.summary is not None and row.figures is not None and row.closes is not None:
            known = Known(row.summary.newest, row.closes, row.figures)

        def fetch() -> Any:
            return followed_bars(run.request.source, self._open_source, entry)

        return Line(str(i), fetch, run.forecast_request, known=known)


@dataclass(slots=True)
class _Seen:
    """What this session has checked of a run."""

    run: str
    rules: tuple[AlertRule, ...]
    origins: dict[int, pd.Timestamp] = field(default_factory=dict)
    states: dict[int, AlertState] = field(default_factory=dict)


def choose_follow() -> tuple[AlertRule, ...] | None:
    """The switch and the alerts; None where nothing is followed."""
    follows = st.toggle(
        "Follow",
        key="list_follow",
        bind="query-params",
        help="When a bar of a line closes, fetch it and forecast the line again. Each line has its "
        "own clock.",
    )
    return choose_rules("list_alerts", has_paths=False) if follows else None


def can_follow(run: WatchRun) -> bool:
    """Whether later bars of a line can come: samples and files have none."""
    has_symbols = any(not entry.is_file for entry in run.request.entries)
    return run.is_final and run.error is None and run.request.source != SAMPLES and has_symbols


def show_follow(follower: WatchFollower, run: WatchRun, rules: tuple[AlertRule, ...]) -> None:
    """One line: when the next bar closes, and how many lines are followed; alerts as toasts."""
    closes = follower.next_close()
    text = f":material/sync: Following {counted(follower.n_lines, 'line')}"
    if closes is not None:
        text += f" · next bar closes at {closes:%H:%M} UTC"
        if closes - pd.Timestamp.now("UTC") > pd.Timedelta(hours=20):
            text += f" on {closes:%d %b}"
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(text, width="content")
        if rules:
            show_alerts("watch_notifier", new_alerts(run, rules))


def new_alerts(run: WatchRun, rules: tuple[AlertRule, ...]) -> list[tuple[str, Alert]]:
    """Alerts of forecasts that this session has not checked yet, with their symbols."""
    seen: _Seen | None = st.session_state.get(_SEEN)
    if seen is None or (seen.run, seen.rules) != (run.key, rules):
        seen = st.session_state[_SEEN] = _Seen(run.key, rules)
    found = []
    for i, row in enumerate(run.rows):
        if row.figures is None or seen.origins.get(i) == row.figures.origin:
            continue
        state = seen.states.setdefault(i, AlertState(rules))
        found += [(row.symbol, each) for each in state.check(row.figures, row.before)]
        seen.origins[i] = row.figures.origin
    return found
