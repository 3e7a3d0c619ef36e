"""Errors as problem details (RFC 9457, application/problem+json)."""

from __future__ import annotations

import re
from typing import Any

from kronos import errors
from kronos.errors import KronosError

__all__ = ["MEDIA_TYPE", "problem", "problem_of", "type_of"]

MEDIA_TYPE = "application/problem+json"
_STATUS: dict[type[KronosError], int] = {
    errors.InvalidCandles: 422,
    errors.InvalidRequest: 422,
    errors.InvalidEvents: 422,
    errors.UnknownSymbol: 404,
    errors.IntervalUnavailable: 422,
    errors.RateLimited: 503,
    errors.SourceError: 502,
    errors.StoreError: 503,
    errors.CheckpointUnavailable: 409,
    errors.RevisionMismatch: 409,
    errors.CheckpointError: 500,
    errors.ForecastCancelled: 410,
    errors.DeadlineExceeded: 504,
    errors.NotFinished: 503,
    errors.OutOfMemory: 507,
    errors.MissingExtra: 501,
    errors.ServiceUnreachable: 502,
    errors.NotOffered: 403,
    errors.Busy: 503,
}
"""HTTP status of an error: of the first class in its ancestry that is listed."""
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def type_of(error: type[BaseException]) -> str:
    """The `type` of a class of errors, such as urn:kronos:invalid-request."""
    return f"urn:kronos:{_WORD.sub('-', error.__name__).lower()}"


def problem(status: int, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """A problem that is no `KronosError`, such as a route that does not exist."""
    return {"type": "about:blank", "title": title, "status": status, "detail": detail} | more


def problem_of(error: KronosError) -> dict[str, Any]:
    """The problem of an error; `retry_after` in seconds where trying again makes sense.

    Args:
        error: The error; its message says what was wrong, what was found, and what to do.
    """
    kind = type(error)
    status = next((_STATUS[each] for each in kind.__mro__ if each in _STATUS), 500)
    title = _WORD.sub(" ", kind.__name__).capitalize()
    found = {"type": type_of(kind), "title": title, "status": status, "detail": str(error)}
    if isinstance(error, errors.RateLimited) and error.retry_after is not None:
        found["retry_after"] = error.retry_after
    if isinstance(error, errors.Busy):
        found |= {"position": error.position, "retry_after": 1}
    return found
