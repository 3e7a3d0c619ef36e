"""The run that this session looks at. The link carries its id, which nobody can guess."""

from __future__ import annotations

import streamlit as st

from pages.ui.training.folder import TrainingRun, find_run

_CURRENT, _MINE, PARAMETER = "training_run", "training_mine", "run"


def current() -> TrainingRun | None:
    """The run of the link, else the one this session looked at last."""
    named = str(st.query_params.get(PARAMETER) or st.session_state.get(_CURRENT, ""))
    run = find_run(named)
    if run is None:
        st.session_state.pop(_CURRENT, None)
        return None
    look_at(run)
    return run


def is_lost() -> bool:
    """Whether the link names a run that is not there."""
    return PARAMETER in st.query_params and current() is None


def look_at(run: TrainingRun) -> None:
    """From now on this session looks at a run."""
    st.session_state[_CURRENT] = run.id
    if st.query_params.get(PARAMETER) != run.id:
        st.query_params[PARAMETER] = run.id
    mine: list[str] = st.session_state.setdefault(_MINE, [])
    if run.id not in mine:
        mine.append(run.id)


def look_away() -> None:
    """Back to choosing what to train; the run stays."""
    st.session_state.pop(_CURRENT, None)
    st.query_params.pop(PARAMETER, None)


def mine() -> list[TrainingRun]:
    """The runs that this session has looked at and that are still there, newest first."""
    found = (find_run(run_id) for run_id in st.session_state.get(_MINE, []))
    return sorted(filter(None, found), key=lambda run: run.created, reverse=True)
