"""The connection to Yahoo's charts, which are given without cookies and crumbs, too."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from curl_cffi.requests import Response

from data_sources.http import refuse_page, refuse_status, source_clock
from data_sources.judged_session import TITLE, JudgedSession
from kronos.errors import IntervalUnavailable, SourceBlocked, SourceNonsense, UnknownSymbol

__all__ = ["TITLE", "ChartSession"]


class ChartSession(JudgedSession):
    """A session that takes charts from Yahoo, or raises what was wrong with them.

    Args:
        chart_seconds: How long one chart may take.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, *, chart_seconds: float = 8.0, **options: Any) -> None:
        super().__init__("/v8/finance/chart/", chart_seconds, **options)

    @property
    def clock(self) -> pd.Timestamp | None:
        """Yahoo's own time, UTC, at this thread's last chart."""
        return getattr(self._call, "clock", None)

    def judge(self, answer: Response) -> None:
        """See `JudgedSession.judge`."""
        self._call.clock = source_clock(answer.headers) or self.clock
        # At the first refusal the client may get another cookie and ask once more.
        if answer.status_code != 401 or not self._is_first_refusal():
            _require_chart(answer)

    def _is_first_refusal(self) -> bool:
        self._call.n_unauthorized = getattr(self._call, "n_unauthorized", 0) + 1
        return bool(self._call.n_unauthorized == 1)


def _require_chart(answer: Response) -> None:
    status, body = answer.status_code, answer.text
    refuse_status(TITLE, status, answer.headers, body)
    refuse_page(TITLE, answer.headers.get("Content-Type", ""), body)
    try:
        document = json.loads(body)
        # Some errors come in the format of another part of Yahoo.
        chart = document["finance"] if "finance" in document else document["chart"]
        results, error = chart["result"], chart["error"]
    except (ValueError, LookupError, TypeError) as exc:
        raise SourceNonsense(
            f"{TITLE} answered (HTTP {status}), but not with a chart. It may have changed its "
            "format: update the application, or choose another source."
        ) from exc
    if error:
        raise _refusal(status, error)
    if not results:
        raise UnknownSymbol(f"{TITLE} has no bars of that symbol.")


def _refusal(status: int, error: Any) -> Exception:
    """What Yahoo's own error means."""
    said = str(error.get("description", "") if isinstance(error, dict) else error)[:300].rstrip(".")
    if status == 401:
        return SourceBlocked(
            f"{TITLE} wants a login from this address (HTTP 401: {said}). Try again later, or "
            "choose another source."
        )
    if status == 404 or "No data found" in said:
        return UnknownSymbol(
            f"{TITLE} has no such symbol ({said}). Search for the name of the instrument, or add "
            "the suffix of its exchange, such as .L for London."
        )
    if "Data doesn't exist" in said:
        return UnknownSymbol(f"{TITLE} has no bars there ({said}). Ask for another range.")
    return IntervalUnavailable(
        f"{TITLE} does not give these bars (HTTP {status}: {said}). Ask for a later start, or for "
        "wider bars."
    )
