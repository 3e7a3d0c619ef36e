"""The models on the page: one card each, with facts, actions and progress."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import streamlit as st

from kronos import models
from kronos.errors import CheckpointUnavailable, KronosError
from kronos.models import hub
from kronos.self_test import SelfTest
from kronos.serving.model_cache import LoadedModel
from kronos.serving.service import running_service
from pages.ui.fan.readouts import Readout
from pages.ui.frame.access import may_administer, not_offered
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.text import size_text
from pages.ui.jobs import caches
from pages.ui.jobs.progress import POLL_SECONDS, progress_share
from pages.ui.models import jobs as models_jobs
from pages.ui.models import text as models_text
from pages.ui.models.jobs import Action

FACT_PIXELS = 132
"""Six fit into a wide page, two into a narrow one."""
ICONS: dict[Action, str] = {
    "download": ":material/download:",
    "test": ":material/labs:",
    "verify": ":material/verified:",
    "delete": ":material/delete:",
}
HELP: dict[Action, str] = {
    "download": "Downloads model and tokenizer from the hub and verifies their digests.",
    "test": "Loads the model, runs test forecasts and checks the results. Takes a few seconds.",
    "verify": "Hashes every file and compares it with the pinned digest.",
    "delete": "Asks for confirmation first.",
}


def show_machine() -> None:
    """Device and memory, for administrators. Starts nothing."""
    if not may_administer():
        st.info(not_offered(models_jobs.OFFERS), icon=":material/lock:")
        return
    st.header("This machine", anchor=False)
    with st.container(horizontal=True, gap="small", key="machine"):
        for fact in models_text.machine_facts(_loaded()):
            _show(fact)
    service = running_service()
    if service is not None and (replicas := service.replicas()):
        st.header("Cluster", anchor=False)
        st.dataframe(models_text.replicas_table(replicas), hide_index=True)


def show_models() -> None:
    """Every model."""
    busy = {entry.name for entry in caches.models() if models_jobs.active(entry.name)}
    caches.models.clear()  # work that ended just now, of whatever session, changed the list
    loaded = {model.name: model for model in _loaded()}
    for entry in caches.models():
        with st.container(border=True, key=f"card {entry.name}"):
            _show_model(entry, loaded.get(entry.name), is_busy=entry.name in busy)


def show_origin() -> None:
    """The origin of the models and their folder."""
    with st.expander("Source and storage", icon=":material/info:"):
        source = storage = ""
        if may_administer():
            storage = (
                " Downloads are in the cache of the Hugging Face hub, "
                f"{plain(hub.cache_folder())}, which other programs may share."
            )
            try:
                source = f"Downloads come from {plain(hub.endpoint())}."
            except CheckpointUnavailable as error:
                show_error(error)
        st.markdown(
            "The bundled model ships with the application. The others are the published Kronos "
            "checkpoints and Chronos-2, a general model of time series, each at one pinned "
            f"revision. {source} The application verifies the SHA-256 of every file before it "
            f"reads the file, and never reads pickled weights.{storage}"
        )


def _loaded() -> Sequence[LoadedModel]:
    running = running_service()
    return () if running is None else running.models


def _show_model(entry: models.Entry, loaded: LoadedModel | None, *, is_busy: bool) -> None:
    words, icon, colour = models_text.state_of(entry)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(plain(entry.title), anchor=False, width="content")
        st.badge(words, icon=icon, color=colour)
    check = models.checked(entry.name)
    with st.container(horizontal=True, gap="small"):
        for fact in models_text.model_facts(entry, check, loaded):
            if fact.label != models_text.MEMORY or may_administer():
                _show(fact)
    outcomes = models_jobs.outcomes(entry.name)
    for problem in models_text.problems(entry, check, outcomes):
        show_error(problem)
    _show_refusal(entry)
    if not may_administer():
        return
    if is_busy:
        _show_progress(entry.name)
    else:
        _show_actions(entry, loaded)
    freed = outcomes.get("delete")
    if freed is not None and freed.state == "done" and entry.state == "downloadable":
        st.caption(f"Deleted: {size_text(freed.result)} freed.")
    tested = outcomes.get("test")
    if tested is not None and tested.state == "done":
        _show_test(tested.result)


def _show(fact: Readout) -> None:
    with st.container(width=FACT_PIXELS, gap=None):
        st.caption(plain(fact.label))
        st.markdown(f"**{plain(fact.value)}**")
        if fact.remark:
            st.caption(plain(fact.remark))


def _show_actions(entry: models.Entry, loaded: LoadedModel | None) -> None:
    with st.container(horizontal=True, gap="small"):
        for action in models_text.actions_of(entry):
            st.button(
                models_text.action_label(action, entry),
                key=f"{action} {entry.name}",
                icon=ICONS[action],
                help=HELP[action],
                on_click=_ask_first if action == "delete" else _start,
                args=(entry.name,) if action == "delete" else (action, entry.name),
            )
        if entry.base and entry.is_here:
            st.download_button(
                "Adapter for peft (ZIP)",
                partial(adapter_zip, entry.name),
                key=f"peft {entry.name}",
                file_name=f"{entry.name}.zip",
                mime="application/zip",
                on_click="ignore",
                icon=":material/download:",
                help="adapter_config.json and adapter_model.safetensors, which "
                "peft.PeftModel.from_pretrained loads onto the base.",
            )
    if st.session_state.get("delete asked") == entry.name:
        st.warning(plain(models_text.delete_question(entry, loaded)), icon=":material/delete:")
        with st.container(horizontal=True, gap="small"):
            st.button(
                f"Delete {entry.title}",
                key="confirm delete",
                type="primary",
                on_click=_start,
                args=("delete", entry.name),
            )
            st.button("Keep", key="keep", on_click=_ask_first, args=(None,))


def adapter_zip(name: str) -> bytes:
    """The two files of an adapter in peft's format."""
    from kronos.models.peft import export_peft

    packed = io.BytesIO()
    with TemporaryDirectory() as scratch, ZipFile(packed, "w") as archive:
        for file in sorted(export_peft(name, scratch).iterdir()):
            archive.write(file, f"{name}/{file.name}")
    return packed.getvalue()


@st.fragment(run_every=POLL_SECONDS)
def _show_progress(name: str) -> None:
    """Progress of the work on a model, with Cancel. Reruns the page after its end."""
    current = models_jobs.active(name)
    if current is None:
        st.rerun()
    action, status = current
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(progress_share(status), models_text.job_text(action, status))
        st.button(
            "Cancel",
            key=f"cancel {name}",
            icon=":material/close:",
            width="content",
            on_click=_cancel,
            args=(action, name),
            disabled=action == "delete" and status.state == "running",
        )


def _show_test(tested: SelfTest) -> None:
    """Verdict and steps; open if a step failed."""
    icon = ":material/check_circle:" if tested.is_passed else ":material/error:"
    title = models_text.verdict_text(tested)
    with st.expander(plain(title), icon=icon, expanded=not tested.is_passed):
        for step in tested.steps:
            st.markdown(f"**{step.outcome.capitalize()}.** {plain(models_text.step_line(step))}")


def _start(action: Action, name: str) -> None:
    st.session_state.pop("delete asked", None)
    st.session_state.pop("refused", None)
    try:
        models_jobs.start(action, name)
    except KronosError as error:
        st.session_state["refused"] = (name, error)


def _cancel(action: Action, name: str) -> None:
    try:
        has_ended = models_jobs.cancel(action, name)
    except KronosError as error:
        st.session_state["refused"] = (name, error)
        return
    if not has_ended:
        st.toast("The download continues, because a forecast needs it.", icon=":material/download:")


def _ask_first(name: str | None) -> None:
    st.session_state["delete asked"] = name


def _show_refusal(entry: models.Entry) -> None:
    name, error = st.session_state.get("refused", ("", None))
    if name == entry.name:
        show_error(error)
