"""FRED, the economic database of the Federal Reserve Bank of St. Louis, by its web API.

Requests need the user's own key (https://fred.stlouisfed.org/docs/api/api_key.html). The key
goes into the request and nowhere else: no message and no log shows it.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pandas as pd
from requests import Session
from requests.exceptions import RequestException, Timeout

from data_sources.connection import BoundedAdapter
from data_sources.http import (
    MOST_BYTES,
    Retry,
    parse_json,
    raise_for_page,
    raise_for_status,
    unreachable,
)
from kronos.errors import InvalidRequest, SourceNonsense, UnknownSymbol

__all__ = ["KEY_VARIABLE", "Fred", "fred_key"]

TITLE = "FRED"
KEY_VARIABLE = "FRED_API_KEY"
_ENDPOINT_VARIABLE = "FRED_ENDPOINT"
_ENDPOINT = "https://api.stlouisfed.org"
_KEY = re.compile(r"[0-9a-z]{32}")
_KEY_IN_ADDRESS = re.compile(r"(api_key=)[^&\s\"']+")
# From the first to the last day of FRED's real-time periods: every value ever published.
_ALL_TIME = {"realtime_start": "1776-07-04", "realtime_end": "9999-12-31"}
_MOST_ROWS = 100_000
_ADVICE = "It may have changed its format: update the application."


def fred_key() -> str:
    """The user's key, from the environment.

    Raises:
        InvalidRequest: There is none, or it does not look like one.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise InvalidRequest(
            f"FRED needs a key of your own, and {KEY_VARIABLE} is not set. Keys are free: request "
            "one at https://fred.stlouisfed.org/docs/api/api_key.html and set the variable."
        )
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"{KEY_VARIABLE} must hold 32 lower-case letters and digits, found {len(key)} "
            "characters. Copy the key again from your account at FRED."
        )
    return key


class _WithoutKeys(logging.Filter):
    """Removes keys from the addresses that the HTTP client logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "api_key=" in text:
            record.msg, record.args = _KEY_IN_ADDRESS.sub(r"\1KEY", text), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutKeys())


class Fred:
    """The parts of the API that a calendar of releases needs.

    Args:
        key: The user's key.
        endpoint: Base address; default: FRED_ENDPOINT, or the public API.
        seconds: How long one attempt at a request may take.
        sleep: Sleeps so many seconds.
        most_bytes: Most bytes of an answer.
    """

    def __init__(
        self,
        key: str,
        *,
        endpoint: str | None = None,
        seconds: float = 15.0,
        sleep: Callable[[float], None] = time.sleep,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._key = key
        address = endpoint or os.environ.get(_ENDPOINT_VARIABLE, "").strip() or _ENDPOINT
        self._address = address.rstrip("/")
        self._seconds = seconds
        self._retry = Retry(TITLE, seconds=3 * seconds, sleep=sleep)
        self._client = Session()
        adapter = BoundedAdapter(TITLE, most_bytes=most_bytes)
        self._client.mount("http://", adapter)
        self._client.mount("https://", adapter)

    def release_dates(
        self, release: int, since: pd.Timestamp, *, seconds: float = math.inf
    ) -> list[str]:
        """Dates of a release, past and scheduled, ascending, as YYYY-MM-DD.

        FRED lists further dates too, on which only seasonal factors were revised.

        Args:
            release: Number of the release.
            since: First date wanted.
            seconds: How long it may take where that is less than usual.

        Raises:
            SourceError: FRED could not give them.
        """
        rows = self._rows(
            "release/dates",
            "release_dates",
            seconds,
            release_id=str(release),
            realtime_start=f"{since:%Y-%m-%d}",
            realtime_end=_ALL_TIME["realtime_end"],
            include_release_dates_with_no_data="true",
            sort_order="asc",
            limit="10000",
        )
        return [_date(row, "date") for row in rows]

    def vintages(
        self, series: str, since: pd.Timestamp, *, seconds: float = math.inf
    ) -> pd.DataFrame:
        """Every value that was ever published for a series.

        Args:
            series: Its name at FRED.
            since: First observation wanted.
            seconds: How long it may take where that is less than usual.

        Returns:
            One row a value: `date` (of the observation), `first` and `last` (days on which the
            value stood), all naive, and `value` float64 (NaN where FRED has a gap).

        Raises:
            SourceError: FRED could not give them.
        """
        rows = self._rows(
            "series/observations",
            "observations",
            seconds,
            series_id=series,
            observation_start=f"{since:%Y-%m-%d}",
            output_type="1",
            limit=str(_MOST_ROWS),
            **_ALL_TIME,
        )
        table = pd.DataFrame(
            {
                "date": [_date(row, "date") for row in rows],
                "first": [_date(row, "realtime_start") for row in rows],
                "last": [min(_date(row, "realtime_end"), "2261-12-31") for row in rows],
                "value": [_value(row) for row in rows],
            }
        )
        for name in ("date", "first", "last"):
            table[name] = pd.to_datetime(table[name], format="%Y-%m-%d").astype("datetime64[ns]")
        return table.sort_values(["date", "first"], ignore_index=True)

    def latest(self, series: str, since: pd.Timestamp, *, seconds: float = math.inf) -> pd.Series:
        """Current values of a series: float64 by naive date, gaps left out.

        Args:
            series: Its name at FRED.
            since: First observation wanted.
            seconds: How long it may take where that is less than usual.

        Raises:
            SourceError: FRED could not give them.
        """
        rows = self._rows(
            "series/observations",
            "observations",
            seconds,
            series_id=series,
            observation_start=f"{since:%Y-%m-%d}",
            limit=str(_MOST_ROWS),
        )
        index = pd.to_datetime([_date(row, "date") for row in rows], format="%Y-%m-%d")
        return pd.Series([_value(row) for row in rows], index, dtype=float).dropna()

    def _rows(self, path: str, member: str, seconds: float, **query: str) -> list[dict[str, Any]]:
        document = self._retry.run(lambda left: self._request(path, query, left), seconds=seconds)
        rows, count = document.get(member), document.get("count")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise SourceNonsense(f"{TITLE} answered {path} without {member}. {_ADVICE}")
        if len(rows) > _MOST_ROWS:
            raise SourceNonsense(f"{TITLE} gave {len(rows):,} rows for {path}. {_ADVICE}")
        if isinstance(count, int) and count > len(rows):
            raise SourceNonsense(
                f"{TITLE} has {count:,} rows for {path} and gave {len(rows):,}: more than one "
                "answer holds. Ask for a later start."
            )
        return rows

    def _request(self, path: str, query: Mapping[str, str], seconds: float) -> dict[str, Any]:
        limit = min(self._seconds, seconds)
        try:
            response = self._client.get(
                f"{self._address}/fred/{path}",
                params={**query, "file_type": "json", "api_key": self._key},
                timeout=max(limit, 0.001),
                allow_redirects=False,
            )
        except Timeout as exc:
            raise unreachable(TITLE, f"it did not answer within {limit:.0f} s") from self._cause(
                exc
            )
        except (RequestException, UnicodeError) as exc:
            # Requests wraps the reason several times; it stands at the end.
            said = self._without_key(str(exc)).rsplit(": ", 1)[-1].rstrip("\"')")[:200]
            raise unreachable(TITLE, said) from self._cause(exc)
        text = response.content.decode(errors="replace")
        raise_for_status(TITLE, response.status_code, response.headers, text)
        raise_for_page(TITLE, response.headers.get("Content-Type", ""), text)
        try:
            document = parse_json(TITLE, text)
        except ValueError as exc:
            raise SourceNonsense(f"{TITLE} answered {path} with no JSON. {_ADVICE}") from exc
        if not isinstance(document, dict):
            raise SourceNonsense(f"{TITLE} answered {path} in another form. {_ADVICE}")
        if response.status_code != 200:
            raise self._refusal(path, response.status_code, document)
        return document

    def _refusal(self, path: str, status: int, document: Mapping[str, Any]) -> Exception:
        """The error for FRED's own error document."""
        said = self._without_key(str(document.get("error_message", "")))[:300].rstrip(".")
        if "api_key" in said:
            return InvalidRequest(
                f"{TITLE} refuses the key (HTTP {status}: {said}). Check {KEY_VARIABLE} against "
                "your account at FRED."
            )
        if "does not exist" in said:
            return UnknownSymbol(f"{TITLE} does not have that ({path}: {said}).")
        return SourceNonsense(f"{TITLE} refuses {path} (HTTP {status}: {said}). {_ADVICE}")

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "KEY")

    def _cause(self, exc: Exception) -> Exception | None:
        """The cause of an error, unless its text shows the key."""
        return None if self._key in str(exc) else exc


def _date(row: Mapping[str, Any], name: str) -> str:
    text = row.get(name)
    if not isinstance(text, str) or not _is_date(text):
        raise SourceNonsense(f"{TITLE} gave {str(text)[:40]!r} for {name}, not a date. {_ADVICE}")
    return text


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return text >= "1776-07-04"


def _value(row: Mapping[str, Any]) -> float:
    text = str(row.get("value"))
    if text in {".", ""}:
        return float("nan")
    try:
        value = float(text) if len(text) <= 40 else math.inf
    except ValueError as exc:
        raise SourceNonsense(f"{TITLE} gave the value {text[:40]!r}, no number. {_ADVICE}") from exc
    if not math.isfinite(value):
        raise SourceNonsense(f"{TITLE} gave the value {text[:40]!r}, no number. {_ADVICE}")
    return value
