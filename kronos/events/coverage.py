"""What the calendar of events covers for an instrument, and until when, in one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from kronos.events.event import Event
from kronos.events.regions import REGIONS

__all__ = ["Coverage", "coverage", "coverage_text"]

_OF_US = {"fomc": "FOMC", "cpi": "CPI", "nfp": "payrolls", "gdp": "GDP", "pce": "PCE"}
_BANKS = {
    "EU": "ECB", "GB": "Bank of England", "JP": "Bank of Japan", "CA": "Bank of Canada",
    "AU": "Reserve Bank of Australia", "NZ": "Reserve Bank of New Zealand",
    "CH": "Swiss National Bank",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Coverage:
    """The days for which the events of one kind and subject are known.

    Attributes:
        name: Of the kind and its subject, such as CPI or ECB.
        first: First known one; None for none.
        last: Last day that is covered; None for none.
    """

    name: str
    first: pd.Timestamp | None
    last: pd.Timestamp | None


def coverage(
    events: Iterable[Event],
    regions: Sequence[str],
    *,
    fetched: Mapping[str, pd.Timestamp | None],
    ticker: str = "",
) -> list[Coverage]:
    """What is known of the events that matter to an instrument.

    Args:
        events: All events.
        regions: Its regions; releases of the United States count for every instrument.
        fetched: By region, the last day of releases that was fetched; None for none.
        ticker: Its ticker, where it has earnings; "" for none.
    """
    banks = [region for region in dict.fromkeys(regions) if region != "US"]
    names = {(kind, "US"): name for kind, name in _OF_US.items()} | {
        ("rate_decision", region): _BANKS.get(region, f"{REGIONS[region].title} rate decisions")
        for region in banks
    }
    spans: dict[tuple[str, str], list[pd.Timestamp]] = {}
    for event in events:
        if event.kind == "earnings":
            is_own = bool(ticker) and event.symbol.strip().upper() == ticker.strip().upper()
            key = ("earnings", "") if is_own else None
        else:
            key = (event.kind, event.region)
        if key in names or key == ("earnings", ""):
            assert key is not None
            spans.setdefault(key, []).append(event.time)
    found = []
    for key, name in names.items():
        times = spans.get(key, [])
        until = fetched.get(key[1]) if times else None
        ends = [*([max(times)] if times else []), *([until] if until is not None else [])]
        found.append(Coverage(name, min(times, default=None), max(ends, default=None)))
    if ticker:
        times = spans.get(("earnings", ""), [])
        name = f"{ticker} earnings"
        found.append(Coverage(name, min(times, default=None), max(times, default=None)))
    return found


def coverage_text(covered: Sequence[Coverage], origin: pd.Timestamp, end: pd.Timestamp) -> str:
    """One line on what the calendar covers around a forecast.

    Args:
        covered: What is known.
        origin: The last known bar.
        end: End of the chart.
    """
    clauses: dict[str, list[str]] = {}
    known = []
    for each in covered:
        if each.first is None or each.last is None:
            clauses.setdefault(": none", []).append(each.name)
        elif each.last.normalize() < end.normalize():
            clauses.setdefault(f": none after {each.last:%B %Y}", []).append(each.name)
        elif each.first > origin:
            clauses.setdefault(f": none before {each.first:%B %Y}", []).append(each.name)
        else:
            known.append(each)
    sentences = []
    if known:
        until = min(each.last for each in known if each.last is not None)
        sentences.append(f"{', '.join(each.name for each in known)} until {until:%B %Y}")
    sentences += [f"{', '.join(names)}{text}" for text, names in clauses.items()]
    return f"Event calendar: {'. '.join(sentences)}." if sentences else ""
