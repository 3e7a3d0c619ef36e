"""The connection to Yahoo's earnings calendar."""

from __future__ import annotations

from typing import Any

from curl_cffi.requests import Response

from data_sources.http import refuse_status
from data_sources.judged_session import TITLE, JudgedSession
from kronos.errors import SourceDown, SourceNonsense

__all__ = ["TITLE", "EarningsSession"]


class EarningsSession(JudgedSession):
    """A session that takes pages of the earnings calendar from Yahoo, or raises what was wrong.

    Args:
        page_seconds: How long one page may take.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, *, page_seconds: float = 10.0, **options: Any) -> None:
        super().__init__("/calendar/earnings", page_seconds, **options)

    def judge(self, answer: Response) -> None:
        """See `JudgedSession.judge`."""
        refuse_status(TITLE, answer.status_code, answer.headers, answer.text)
        page = answer.text.lower()
        if "will be right back" in page[:4000]:
            raise SourceDown(f"{TITLE} shows a page that says it is down. Try again later.")
        if answer.status_code != 200 or "earnings" not in page or "consent.yahoo.com" in answer.url:
            raise SourceNonsense(
                f"{TITLE} answered (HTTP {answer.status_code}), but not with its earnings "
                "calendar. A captcha, a page that asks for consent or a proxy stands in between: "
                "open https://finance.yahoo.com/calendar/earnings in a browser from this network."
            )
