"""Links to pages: values of a link that a page cannot show, and links between pages."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping
from typing import Literal, NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.frame.messages import plain
from pages.ui.frame.parameters import (
    PARAMETERS,
    RENAMED,
    Parameter,
    find,
    is_readable,
    todays_name,
)

_LINKED, _LOST, _UNKNOWN = "link_asked", "link_lost", "link_unknown"
_SHARED = (
    "data", "source", "exchange", "interval", "raw", "symbol_box", "symbol_source", "horizon",
    "lookback", "paths", "seed", "origin", "origin_time",
)  # fmt: skip
_OF_PAGE = {
    "forecast": ("model", "T", "top_p", "top_k", "follow", "alerts"),
    "compare": ("models", *(name + slot for slot in "abcd" for name in ("", "T", "p"))),
}
"""By page, the keys in the session of the controls of its forecasts."""
_LONGEST, _MOST_NAMED = 40, 5
_VISITED, _TO_OPEN = "addresses_visited", "addresses_to_open"
_LATE = ("stop", "target", "risk_budget")
"""Numbers from 0 whose controls appear with a forecast, and cannot be bound to the address."""
_COMPARED = ("number", "day", "time", "flag", "choice")
"""Kinds of parameters whose text is that of the value of their control."""
_WITHOUT_CONTROL = object()


def read_link() -> None:
    """Store the values of the address of a visit, and leave those out that no control can read.

    To be called in every run, before any control.
    """
    _read_history()
    _rename_options()
    _join_level()
    if _LINKED not in st.session_state:
        linked = st.query_params.to_dict()
        st.session_state[_LINKED] = linked
        st.session_state[_UNKNOWN] = [name for name in linked if find(name) is None]
        lost = [name for name in _LATE if name in linked and not is_level(linked[name])]
        if lost:
            st.session_state[_LOST] = {name: (linked.pop(name), _WITHOUT_CONTROL) for name in lost}
        if linked.get("symbol", "").strip() and "data" not in linked:
            _complete("symbol")
    unreadable = [
        name
        for name in st.query_params
        if not all(is_readable(name, text) for text in st.query_params.get_all(name))
    ]
    context = get_script_run_ctx()
    if unreadable and context is not None:
        # A control takes its first value from a copy of the address, also in later runs: when the
        # page changes, and when the browser goes back.
        with context.session_state.query_params() as address:
            for name in unreadable:
                address.remove_param(name)
            address.set_initial_query_params_from_current()


def _read_history() -> None:
    """Begin again with the address where the browser went back or forward to it.

    At a change of the page, Streamlit drops the parameters that the page before has, too, and
    the controls would keep what they said there.
    """
    context = get_script_run_ctx()
    if context is None or not context.is_history_navigation:
        return
    forget_link()
    _forget_controls()
    with context.session_state.query_params() as address:
        address.populate_from_query_string(context.query_string)
        address.set_initial_query_params_from_current()
        address._send_query_param_msg()  # the browser has been told to drop some
    st.session_state.pop(_LINKED, None)


def _forget_controls() -> None:
    """Let every control of a link begin with what the address says."""
    for name in list(st.session_state):
        if find(str(name)) is not None or name in _SHARED:
            del st.session_state[name]


def _rename_options() -> None:
    """Give options that a link calls otherwise the name of today."""
    context = get_script_run_ctx()
    renamed = {}
    for name in RENAMED:
        texts = st.query_params.get_all(name)
        now = [todays_name(name, text) for text in texts]
        if now != texts:
            renamed[name] = now
    if renamed and context is not None:
        with context.session_state.query_params() as address:
            for name, now in renamed.items():
                address.set_with_no_forward_msg(name, now)
            address.set_initial_query_params_from_current()
            address._send_query_param_msg()  # a copy of the address has the names of today


def _join_level() -> None:
    """Give a level of an earlier link to the levels: it had a field of its own."""
    context = get_script_run_ctx()
    if "level" not in st.query_params or context is None:
        return
    level = st.query_params.pop("level")
    st.query_params["levels"] = f"{st.query_params.get('levels', '')} {level}".strip()
    with context.session_state.query_params() as address:
        address.set_initial_query_params_from_current()


def _complete(name: str) -> None:
    """Give the address of a first visit what one of its parameters needs."""
    needed = PARAMETERS[name].needs
    st.query_params.update(needed)
    st.session_state[_LINKED] |= needed
    context = get_script_run_ctx()
    if context is not None:
        with context.session_state.query_params() as address:
            address.set_initial_query_params_from_current()


def take_from_link(name: str) -> str | None:
    """The value of the link by that name, once: for a control that appears later."""
    text: str | None = st.session_state.get(_LINKED, {}).pop(name, None)
    return text


def linked_or_chosen(name: str, default: str) -> str:
    """The value of a bound control as text, before the control is drawn.

    Args:
        name: Key of the control.
        default: Its value where neither the session nor the address has one.
    """
    state = st.session_state
    value = state[name] if name in state else st.query_params.get(name)
    return default if value is None else str(value)


def show_link_losses() -> None:
    """Warn about options of the link that no page has, and values that no control could take.

    The warning of a value stands while the control differs from it, that of an option until Run.

    For the end of a page, when all its controls are there.
    """
    state = st.session_state
    # Every value of the link is compared once with the value of its control.
    for name, text in list(state.get(_LINKED, {}).items()):
        parameter = find(name)
        if parameter is not None and parameter.kind in _COMPARED and name in state:
            del state[_LINKED][name]
            if not _is_same(state[name], text):
                state.setdefault(_LOST, {})[name] = (text, state[name])
    still = {
        name: text
        for name, (text, given) in state.get(_LOST, {}).items()
        if given is _WITHOUT_CONTROL or (name in state and state[name] == given)
    }
    said = []
    if unknown := state.get(_UNKNOWN):
        named = ", ".join(_with_likeness(name) for name in unknown[:_MOST_NAMED])
        more = "" if len(unknown) <= _MOST_NAMED else f" and {len(unknown) - _MOST_NAMED} more"
        said.append(f"No page reads these options of the link: {plain(named)}{more}.")
    if still:
        lost = "; ".join(_loss(find(name), text) for name, text in still.items())
        said.append(
            f"These values of the link are not available here: {plain(lost)}. The page uses the "
            "values of its controls instead."
        )
    if said:
        st.warning(" ".join(said), icon=":material/link_off:")


def forget_link() -> None:
    """Ignore the link from now on, as the user chose other data."""
    st.session_state[_LINKED] = {}
    forget_losses()


def forget_losses() -> None:
    """Drop the warning: a press of Run accepts the values of the controls."""
    st.session_state.pop(_LOST, None)
    st.session_state.pop(_UNKNOWN, None)


def open_page(page: Literal["forecast", "compare"], query: dict[str, str]) -> NoReturn:
    """Open another page as a new session with these link parameters would."""
    forget_link()
    # Otherwise the last choice there stays for every parameter that the link does not name or
    # that equals the default of its control, which Streamlit ignores.
    for name in (*_SHARED, *_OF_PAGE[page]):
        st.session_state.pop(name, None)
    st.switch_page(f"pages/{page}.py", query_params=query)


def remember_address(page: str) -> None:
    """Keep the parameters of a page; before it is drawn, in case it is left soon, and after."""
    st.session_state.setdefault(_VISITED, {})[page] = st.query_params.to_dict()


def visited_addresses() -> dict[str, dict[str, str]]:
    """The parameters of every page of this visit, by the address of the page."""
    return dict(st.session_state.get(_VISITED, {}))


def open_addresses(pages: Mapping[str, dict[str, str]]) -> None:
    """Let every page of these begin with these parameters when it is shown next, as by its link."""
    state = st.session_state
    forget_link()
    _forget_controls()
    state[_VISITED] = dict(pages)
    state[_TO_OPEN] = dict(pages)
    _unbind(st.query_params.to_dict())


def _unbind(names: Iterable[str]) -> None:
    """Part parameters from controls: Streamlit refuses to change an address that has controls."""
    context = get_script_run_ctx()
    if context is not None:
        with context.session_state.query_params() as address:
            for name in names:
                if (bound := address.get_binding_for_param(name)) is not None:
                    address.unbind_widget(bound.widget_id)


def restore_address(page: str) -> None:
    """Give a page the parameters of `open_addresses`, once; to be called before any control."""
    query = st.session_state.get(_TO_OPEN, {}).pop(page, None)
    context = get_script_run_ctx()
    if query is None or context is None:
        return
    st.session_state.pop(_LINKED, None)
    # Controls of the page that is left, and of this one where it was open already.
    _unbind({**st.query_params.to_dict(), **query})
    st.query_params.from_dict(query)
    read_link()
    with context.session_state.query_params() as address:
        address.set_initial_query_params_from_current()


def is_level(text: str) -> bool:
    """Whether the text of a link is a price level."""
    try:
        return is_readable("stop", text) and float(text) >= 0.0
    except ValueError:
        return False


def _with_likeness(name: str) -> str:
    """A name that no page reads, with the one that was probably meant."""
    alike = difflib.get_close_matches(name.casefold(), PARAMETERS, n=1, cutoff=0.85)
    shown = name[:_LONGEST] or "(empty)"
    return f"{shown} ({alike[0]}?)" if alike else shown


def _loss(parameter: Parameter | None, text: str) -> str:
    title = "" if parameter is None else parameter.title
    return f"{title} {text[:_LONGEST] or '(empty)'}"


def _is_same(given: object, text: str) -> bool:
    """Whether a control has the value that an address names."""
    if given is None:
        return text == ""
    if isinstance(given, bool):
        return str(given).lower() == text.lower()
    if isinstance(given, dt.date):
        return given.isoformat() == text
    if isinstance(given, dt.time):
        return given.isoformat().startswith(text[:5]) and len(text) >= 5
    if isinstance(given, int | float):
        try:
            return float(text) == float(given)
        except ValueError:
            return False
    return isinstance(given, str) and given.casefold() == text.casefold()
