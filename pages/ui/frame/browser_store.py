"""Named things that stay in the visitor's browser, in its local storage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

__all__ = ["MAX_STORED", "BrowserStore", "Stored", "read_answer"]

MAX_STORED = 500_000
"""Characters of the browser's storage that are read."""
_LONGEST_PROBLEM = 60

# The browser applies a change to what it has stored at that moment, so that two of its windows do
# not undo one another. Its answer is checked like all input from outside.
_SCRIPT = """
function stored(key) {
  try { return JSON.parse(localStorage.getItem(key) || "{}") || {}; } catch { return {}; }
}

export default function ({ data, setStateValue }) {
  const answer = { done: data.number, lists: "{}", problem: "" };
  try {
    const found = stored(data.place);
    if (data.change) {
      for (const [name, value] of Object.entries(data.change)) {
        if (value === null) delete found[name];
        else found[name] = value;
      }
      localStorage.setItem(data.place, JSON.stringify(found));
    }
    answer.lists = JSON.stringify(found);
  } catch (error) {
    answer.problem = String(error.name);
  }
  const text = JSON.stringify(answer);
  if (text !== data.known) setStateValue("answer", text);
}
"""

_storage = st.components.v2.component("browser_store", js=_SCRIPT)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the browser holds, not yet checked by the one who stored it.

    Attributes:
        values: By name, in order of the names.
        problem: Why it stores nothing, in the words of the browser; empty if it does.
        is_known: Whether the browser has answered yet.
        done: The number of its last change; -1 before an answer.
        is_pending: Whether a change was sent that the browser has not confirmed yet.
    """

    values: dict[str, Any]
    problem: str = ""
    is_known: bool = True
    done: int = -1
    is_pending: bool = False


class BrowserStore:
    """A place in the browser's storage.

    Args:
        key: Of its component; what the session keeps of it begins with this.
        place: Of the browser's storage.
    """

    def __init__(self, key: str, place: str) -> None:
        self._key, self._place, self._order = key, place, f"{key}_order"

    def read(self) -> Stored:
        """What the browser holds; passes on the change of `put` or `delete`."""
        known = str(st.session_state.get(self._key, {}).get("answer") or "")
        order = st.session_state.get(self._order)
        number = 0 if order is None else order["number"]
        answer = _storage(
            key=self._key,
            data={
                "place": self._place,
                "known": known,
                "number": number,
                "change": order and order.get("change"),
            },
            on_answer_change=lambda: None,
        )
        stored = read_answer(answer.get("answer"))
        if order is None:
            return stored
        if stored.done >= number:
            order["change"] = None
        return replace(stored, is_pending=order["change"] is not None)

    def change(self, values: Mapping[str, Any]) -> None:
        """Store values under their names, in the place of earlier ones; None deletes."""
        number = st.session_state.get(self._order, {}).get("number", 0) + 1
        st.session_state[self._order] = {"number": number, "change": dict(values)}


def read_answer(text: object) -> Stored:
    """The answer of the browser, checked."""
    if not isinstance(text, str) or len(text) > MAX_STORED:
        return Stored({}, is_known=False)
    try:
        answer = json.loads(text)
        values, done = json.loads(answer["lists"]), int(answer["done"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Stored({}, is_known=False)
    found = dict(sorted(values.items())) if isinstance(values, dict) else {}
    return Stored(found, str(answer.get("problem", ""))[:_LONGEST_PROBLEM], done=done)
