"""The widgets of the Training page: which base, which bars, which settings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from data_sources.csv.formats import FILE_TYPES
from data_sources.csv.reader import CsvChoices
from data_sources.samples import SAMPLES, load_sample
from kronos import models
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.training.corpus import Corpus
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted
from pages.ui.frame.uploads import copies
from pages.ui.inputs.candles import choose_reading
from pages.ui.inputs.controls import LARGEST_SEED
from pages.ui.inputs.model_choices import model_state
from pages.ui.jobs import caches
from pages.ui.training.plan import (
    LEARNING_RATES,
    MAX_HORIZON,
    MAX_STEPS,
    MAX_WINDOWS,
    MIN_CONTEXT,
    Plan,
    Series,
    Settings,
    as_corpus,
    make_plan,
    require_fitting,
)

FILES, SAMPLE_DATA = "My own files", "Bundled samples"
MAX_FILES, MAX_FILE_MB, MAX_ALL_MB = 50, 10, 40
_READ = "training read"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The training data.

    Attributes:
        series: Those that could be read.
        corpus: The same series as training reads them.
        choices: How the files were read.
    """

    series: tuple[Series, ...]
    corpus: Corpus
    choices: CsvChoices


def choose_base() -> models.Entry:
    """The base of the training: a model on this machine that is no adapter."""
    here = [
        entry
        for entry in caches.models()
        if entry.is_here and models.kind_of(entry.name) in ("bundled", "published")
    ]
    if not here:
        raise InvalidRequest("No model is on this machine. Download one on the Models page.")
    entries = {entry.title: entry for entry in here}
    title = st.selectbox("Base", list(entries), key="train_base", help=meaning("Base"))
    st.caption(model_state(entries[title]).capitalize())
    return entries[title]


def choose_data() -> Chosen | None:
    """The training data; None without a file.

    Raises:
        InvalidRequest: The files are too many, too large or too short.
        InvalidCandles: A file cannot be read; the message names it, with line and column.
    """
    kind = st.segmented_control(
        "Data", [FILES, SAMPLE_DATA], default=SAMPLE_DATA, required=True, key="train_data",
        width="stretch",
    )  # fmt: skip
    if kind == SAMPLE_DATA:
        titles = {sample.title: sample.key for sample in SAMPLES.values()}
        named = st.multiselect(
            "Samples", list(titles), [next(iter(titles))], key="train_samples",
            placeholder="Choose at least one",
        )  # fmt: skip
        return _read(tuple(named), lambda: [_sample(title, titles[title]) for title in named])
    files = st.file_uploader(
        "Files of candles", type=list(FILE_TYPES), accept_multiple_files=True,
        key="train_files", max_upload_size=MAX_FILE_MB,
        help="CSV, Parquet, Feather or Excel with a time column, open, high, low and close; volume "
        "and amount are optional. Each file is one series.",
    )  # fmt: skip
    choices = choose_reading("train")
    _require_room(files)
    known = (choices, *(_digest(file) for file in files))
    return _read(known, lambda: [_uploaded(file, choices) for file in files], choices)


def choose_settings(base: models.Entry, chosen: Chosen | None) -> Plan | None:
    """The plan of the run; None without data.

    Raises:
        InvalidRequest: The bars are not enough for such windows, or the base cannot read them.
    """
    context = st.number_input(
        "Context (bars)", MIN_CONTEXT, 512, 128, 16, key="train_context", help=meaning("Lookback"),
    )  # fmt: skip
    horizon = st.number_input(
        "Horizon (bars)", 1, MAX_HORIZON, 24, key="train_horizon", help=meaning("Horizon"),
    )  # fmt: skip
    cut_off = _choose_cut_off(chosen)
    events = st.toggle(
        "Learn the event calendar", key="train_events",
        help="The model also learns to read scheduled events, such as rate decisions. It still "
        "forecasts without them.",
    )  # fmt: skip
    with st.expander("Optimization", icon=":material/tune:"):
        steps = st.number_input(
            "Steps", 1, MAX_STEPS, None, key="train_steps", placeholder="Automatic",
            help="Empty: enough steps to forecast every bar about 15 times, at least 20.",
        )  # fmt: skip
        windows = st.number_input(
            "Windows per step", 1, MAX_WINDOWS, 32, key="train_windows",
            help="The batch size. More windows make steadier steps and need more time and memory.",
        )  # fmt: skip
        rate = st.select_slider(
            "Learning rate", LEARNING_RATES, 1e-4, format_func=lambda rate: f"{rate:g}",
            key="train_lr", help=meaning("Learning rate"),
        )  # fmt: skip
        seed = st.number_input("Seed", 0, LARGEST_SEED, 0, key="train_seed", help=meaning("Seed"))
    if chosen is None:
        return None
    settings = Settings(
        base.name, int(context), int(horizon), int(windows),
        None if steps is None else int(steps), float(rate), int(seed), bool(events),
    )  # fmt: skip
    require_fitting(settings, base.max_context)
    return make_plan(chosen.corpus, settings, cut_off)


def _choose_cut_off(chosen: Chosen | None) -> pd.Timestamp | None:
    """Midnight UTC of a day; None for about a fifth of the bars."""
    first = last = None
    if chosen is not None:
        times = pd.to_datetime(chosen.corpus.times, utc=True)
        first, last = times.min().date(), times.max().date()
        named = st.session_state.get("train_cut_off")
        if named is not None and not first <= named <= last:
            st.session_state["train_cut_off"] = None
    day = st.date_input(
        "Cut-off", None, first, last, key="train_cut_off", format="YYYY-MM-DD",
        help=meaning("Cut-off", "Empty: about the last fifth of the bars is for validation."),
    )  # fmt: skip
    return None if day is None else pd.Timestamp(day, tz="UTC")


def _read(
    known: tuple[object, ...],
    read: Callable[[], list[Series]],
    choices: CsvChoices | None = None,
) -> Chosen | None:
    """The series, read once and cached in the session."""
    found: Chosen | None = copies().get(_READ, known)
    if found is not None:
        return found
    copies().drop(_READ)
    series = tuple(read())
    if not series:
        return None
    found = Chosen(series, as_corpus(series), choices or CsvChoices())
    corpus = found.corpus
    n_bytes = corpus.values.nbytes + corpus.stamps.nbytes + corpus.times.nbytes
    n_bytes += sum(caches.candles_bytes(each.candles) for each in series)
    copies().put(_READ, found, n_bytes, key=known, can_be_remade=True)
    return found


def _sample(title: str, key: str) -> Series:
    return Series(title, load_sample(key), sample=title)


def _uploaded(file: UploadedFile, choices: CsvChoices) -> Series:
    try:
        reading = caches.read_apart(file.getvalue(), file.name, choices)
    except InvalidCandles as error:
        raise InvalidCandles(f"{file.name[:120]}: {error}") from error
    return Series(file.name[:120], reading.candles, reading.report)


def _require_room(files: Sequence[UploadedFile]) -> None:
    n_bytes = sum(file.size for file in files)
    if len(files) > MAX_FILES or n_bytes > MAX_ALL_MB * 1_000_000:
        raise InvalidRequest(
            f"Found {counted(len(files), 'file')} with {n_bytes / 1e6:,.1f} MB in total. The limit "
            f"is {MAX_FILES} files with {MAX_ALL_MB} MB in total. Remove some."
        )


def _digest(file: UploadedFile) -> tuple[str, str]:
    """Name and SHA-256 of a file, computed once per upload."""
    known: dict[str, str] = st.session_state.setdefault("training digests", {})
    if file.file_id not in known:
        known[file.file_id] = hashlib.sha256(file.getbuffer()).hexdigest()
    return file.name, known[file.file_id]


def show_reading(chosen: Chosen) -> None:
    """The series as they were read."""
    rows = [
        {
            "Series": each.title,
            "Symbol": each.candles.symbol,
            "Bars": len(each.candles),
            "Interval": each.candles.interval,
            "First": f"{each.candles.local_index[0]:%Y-%m-%d %H:%M}",
            "Last": f"{each.candles.local_index[-1]:%Y-%m-%d %H:%M}",
            "Time zone": each.candles.zone,
            "Rows skipped": each.report.rows_read - each.report.rows_kept if each.report else 0,
        }
        for each in chosen.series
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="training_series")
    reports = [each for each in chosen.series if each.report is not None]
    is_open = [each.title for each in reports if each.report is not None and each.report.clocks]
    if is_open:
        st.warning(
            f"The bars fit several clocks: {plain(', '.join(is_open))}. The lines below name the "
            "one that is assumed. Choose the time zone under Reading options.",
            icon=":material/schedule:",
        )
    if reports:
        with st.expander("How the files were read", icon=":material/fact_check:"):
            for each in reports:
                assert each.report is not None
                lines = "\n".join(f"- {plain(line)}" for line in each.report.lines() if line)
                st.markdown(f"**{plain(each.title)}**\n\n{lines}")
