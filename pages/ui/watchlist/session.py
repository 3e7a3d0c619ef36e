"""The run of this session: which one the page shows, and when it starts by itself."""

from __future__ import annotations

import threading
from functools import partial

import pandas as pd

from data_sources.registry import open_source
from kronos.errors import KronosError, NotOffered
from pages.ui.frame.access import may_administer
from pages.ui.inputs.events import current_events, own_events
from pages.ui.inputs.instruments import SAMPLES
from pages.ui.jobs import caches, queues
from pages.ui.jobs.registry import RunRegistry
from pages.ui.jobs.saving import save_forecast
from pages.ui.jobs.services import Service
from pages.ui.jobs.session_runs import LongRuns
from pages.ui.watchlist.controls import ChosenList
from pages.ui.watchlist.follow import WatchFollower, followers
from pages.ui.watchlist.work import WatchRequest, WatchRun

RUNS_AT_ONCE = 4
_making = threading.Lock()


@Service
def watchlists() -> RunRegistry[WatchRun]:
    """The runs of all sessions."""
    return RunRegistry("watchlists", n_at_once=RUNS_AT_ONCE)


WATCHLIST = LongRuns("watch", watchlists)
"""The run of this session."""


def respond(
    request: WatchRequest | None, chosen: ChosenList, *, pressed: bool
) -> KronosError | None:
    """Start the request, or find the run that was started before.

    A session without a run takes the newest run of an equal request, such as one that it left by
    closing its page. Without a press, only a first visit to samples starts a run: a link must not
    make this machine ask a vendor for two hundred series that no user chose.

    Returns:
        The reason why nothing could be started, if that is so.
    """
    if request is None:
        return None
    is_first = WATCHLIST.take_first_visit()
    is_idle = WATCHLIST.current() is None
    if not pressed and is_idle and not WATCHLIST.is_cancelled() and WATCHLIST.join(request.key):
        return None
    if pressed or (is_first and is_idle and _needs_no_network(request)):
        try:
            caches.require_here(request.model)
        except NotOffered as error:
            return error
        return WATCHLIST.start(_run(request, chosen))
    return None


def follower_of(run: WatchRun) -> WatchFollower:
    """The follower of a run, which all sessions that show it share."""
    with _making:
        if run.follower is None:
            run.follower = WatchFollower(
                run, open_source, queues.forecasts(), followers(), clock=_now
            )
        return run.follower


def _now() -> pd.Timestamp:
    return pd.Timestamp.now("UTC")


def _run(request: WatchRequest, chosen: ChosenList) -> WatchRun:
    return WatchRun(
        request,
        chosen.contents,
        open_source=open_source,
        forecasts=queues.forecasts(),
        downloads_model=caches.needs_download(request.model),
        save=save_forecast if may_administer() else None,
        events=partial(current_events, own_events()),
    )


def _needs_no_network(request: WatchRequest) -> bool:
    """Whether neither a vendor nor a hub takes part."""
    has_files = any(entry.is_file for entry in request.entries)
    return request.source == SAMPLES and not has_files and not caches.needs_download(request.model)
