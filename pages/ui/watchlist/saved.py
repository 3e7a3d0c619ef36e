"""Saved watchlists: kept by the visitor's own browser, so that no other visitor sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.ui.inputs.instruments import MAX_SYMBOL_LENGTH, MAX_SYMBOLS

MAX_SAVED = 50
MAX_NAME = 40
MAX_STORED = 500_000
"""Characters of the browser's storage that are read."""
_FIELDS = {"source": 60, "interval": 8, "symbols": MAX_SYMBOLS * (MAX_SYMBOL_LENGTH + 2)}

# The browser applies a change to what it has stored at that moment, so that two of its windows do
# not undo one another. What it answers is read like anything else that comes from outside.
_SCRIPT = """
const KEY = "kronos-fan.watchlists";

function stored() {
  try { return JSON.parse(localStorage.getItem(KEY) || "{}") || {}; } catch { return {}; }
}

export default function ({ data, setStateValue }) {
  const answer = { done: data.number, lists: "{}", problem: "" };
  try {
    const lists = stored();
    if (data.change) {
      if (data.change.list) lists[data.change.name] = data.change.list;
      else delete lists[data.change.name];
      localStorage.setItem(KEY, JSON.stringify(lists));
    }
    answer.lists = JSON.stringify(lists);
  } catch (error) {
    answer.problem = String(error.name);
  }
  const text = JSON.stringify(answer);
  if (text !== data.known) setStateValue("answer", text);
}
"""

_storage = st.components.v2.component("saved_watchlists", js=_SCRIPT)


@dataclass(frozen=True, slots=True)
class SavedList:
    """A list under a name.

    Attributes:
        source: Title of the source.
        interval: Width of the bars.
        symbols: The text of the list.
    """

    source: str
    interval: str
    symbols: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What the browser keeps.

    Attributes:
        lists: By name, in order of their names.
        problem: Why it keeps nothing, in the browser's words; empty where it does.
        is_known: Whether the browser has answered yet.
    """

    lists: dict[str, SavedList]
    problem: str = ""
    is_known: bool = True


def saved_lists() -> Saved:
    """What the browser keeps; hands it the change that `put` or `delete` ordered."""
    known = str(st.session_state.get("saved_watchlists", {}).get("answer") or "")
    order = st.session_state.get("saved_order")
    number = 0 if order is None else order["number"]
    answer = _storage(
        key="saved_watchlists",
        data={"known": known, "number": number, "change": order and order.get("change")},
        on_answer_change=lambda: None,
    )
    saved, done = read_answer(answer.get("answer"))
    if order is not None and done >= number:
        order["change"] = None
    return saved


def put(name: str, saved: SavedList) -> None:
    """Have the browser keep a list under a name, in place of one that has it."""
    fields = {"source": saved.source, "interval": saved.interval, "symbols": saved.symbols}
    _order({"name": name, "list": fields})


def delete(name: str) -> None:
    """Have the browser forget a list."""
    _order({"name": name, "list": None})


def read_answer(text: object) -> tuple[Saved, int]:
    """What the browser said, checked, and the number of the last change it made."""
    if not isinstance(text, str) or len(text) > MAX_STORED:
        return Saved({}, is_known=False), -1
    try:
        answer = json.loads(text)
        lists, done = json.loads(answer["lists"]), int(answer["done"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Saved({}, is_known=False), -1
    kept: dict[str, SavedList] = {}
    for name, fields in sorted(lists.items() if isinstance(lists, dict) else ()):
        if 0 < len(name) <= MAX_NAME and _is_list(fields) and len(kept) < MAX_SAVED:
            kept[name] = SavedList(**{field: fields[field] for field in _FIELDS})
    return Saved(kept, str(answer.get("problem", ""))[:60]), done


def _order(change: dict[str, Any]) -> None:
    number = st.session_state.get("saved_order", {}).get("number", 0) + 1
    st.session_state["saved_order"] = {"number": number, "change": change}


def _is_list(fields: object) -> bool:
    return isinstance(fields, dict) and all(
        isinstance(fields.get(field), str) and len(fields[field]) <= longest
        for field, longest in _FIELDS.items()
    )
