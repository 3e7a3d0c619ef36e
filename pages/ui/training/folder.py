"""A run on the disk: its bars, its plan and its log.

Every run is a folder below the user's data. Its name is an id that nobody can guess: the id, in a
link or a session, gives access to the run.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from data_sources.csv.reader import CsvChoices
from kronos.candles import Candles
from kronos.forecast import COLUMNS
from kronos.system import parse_json, read_json, user_data
from pages.ui.training.plan import Plan, Series, Settings, arguments, facts_of, table_of

_LARGEST_PLAN = 4 << 20
KEPT_DAYS = 30
"""Age at which a run without use is deleted, when the next one starts."""
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def runs_folder() -> Path:
    """The folder of all runs of this machine."""
    return user_data("runs")


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """One series of a run, as its candles are stored.

    Attributes:
        title: Name of the file or sample.
        file: Below the run's data.
        symbol: Ticker or name.
        interval: Width of a bar.
        zone: Time zone of the market.
        calendar: Calendar of the market.
        source: Source of the bars.
        sample: Title of the sample; "" for an uploaded file.
    """

    title: str
    file: str
    symbol: str
    interval: str
    zone: str
    calendar: str
    source: str
    sample: str


@dataclass(frozen=True)
class TrainingRun:
    """A run's folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @cached_property
    def _plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = read_json(self.folder / "plan.json", limit=_LARGEST_PLAN)
        return plan

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        return Settings(**self._plan["settings"])

    @property
    def cut_off(self) -> pd.Timestamp:
        """The end of its training bars."""
        return pd.Timestamp(self._plan["cut_off"])

    @property
    def arguments(self) -> list[str]:
        """Arguments of `kronos`, which start the run and resume it."""
        return list(self._plan["arguments"])

    @property
    def created(self) -> datetime:
        """When it was created."""
        return datetime.fromisoformat(self._plan["created"])

    @property
    def choices(self) -> CsvChoices:
        """How the uploaded files were read."""
        return CsvChoices(**self._plan["choices"])

    @property
    def series(self) -> list[StoredSeries]:
        """Its training data."""
        return [StoredSeries(**each) for each in self._plan["series"]]

    @property
    def adapter(self) -> Path:
        """Its result; a file that exists only after the end."""
        return self.folder / "adapter.safetensors"

    @property
    def output(self) -> Path:
        """The output of its process."""
        return self.folder / "output.log"

    @property
    def kept_as(self) -> str:
        """Name of the model that its adapter was saved as; "" before that."""
        return _read(self.folder / "kept")

    def note_kept(self, name: str) -> None:
        """Store the name of the model that its adapter was saved as."""
        (self.folder / "kept").write_text(name, encoding="utf-8")

    @property
    def exit_code(self) -> int | None:
        """Exit code of its process; None while it runs, or if nothing recorded the end."""
        text = _read(self.folder / "exit")
        return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text.strip()) else None

    @property
    def is_stop_asked(self) -> bool:
        """Whether a visitor pressed Stop since its start."""
        return (self.folder / "stop-asked").exists()

    def lines(self) -> list[dict[str, Any]]:
        """The log so far, without an incomplete last line."""
        text = _read(self.folder / "model-run/log.jsonl")
        found = map(_parsed, text[: text.rfind("\n") + 1].splitlines())
        return [line for line in found if line is not None]

    def output_tail(self, n_lines: int = 15) -> list[str]:
        """The last output of its process, without paths of this machine."""
        text = _read(self.output).replace(str(self.folder), "RUN")
        text = text.replace(str(Path.home()), "~")
        return [line for line in text.splitlines() if line.strip()][-n_lines:]

    def candles(self, series: StoredSeries) -> Candles:
        """The bars of a series."""
        table = pd.read_parquet(self.folder / "data" / series.file)
        index = pd.DatetimeIndex(table["timestamp"], name="timestamp").tz_convert("UTC")
        frame = table[list(COLUMNS)].astype(float).set_index(index)
        return Candles(
            frame, series.interval, series.zone, series.calendar, series.symbol, series.source
        )

    def delete(self) -> None:
        """Delete the run; a saved adapter is in another folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def find_run(run_id: str) -> TrainingRun | None:
    """The run of an id; None if there is none. The id may come from a link."""
    if not _ID.fullmatch(run_id):
        return None
    run = TrainingRun(runs_folder() / run_id)
    try:
        _ = run.settings, run.cut_off, run.arguments, run.created, run.choices, run.series
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no plan, or a damaged one
        return None
    return run


def create_run(series: Sequence[Series], plan: Plan, choices: CsvChoices) -> TrainingRun:
    """Write the folder of a run.

    Args:
        series: Its training data.
        plan: Its plan.
        choices: How the files were read.
    """
    # Names are the keys to the runs, and uploads are private: the folders are closed to other users
    # of the machine before they hold anything.
    runs_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = runs_folder() / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    facts = facts_of(series)
    for each, known in zip(series, facts, strict=True):
        path = folder / "data" / known.file
        path.parent.mkdir(parents=True)
        table_of(each.candles).to_parquet(path, index=False)
    pd.DataFrame([asdict(known) for known in facts]).to_csv(folder / "manifest.csv", index=False)
    stored = [
        StoredSeries(
            each.title, known.file, each.candles.symbol, each.candles.interval, each.candles.zone,
            each.candles.calendar, each.candles.source, each.sample,
        )
        for each, known in zip(series, facts, strict=True)
    ]  # fmt: skip
    contents = {
        "settings": asdict(plan.settings),
        "cut_off": plan.cut_off.isoformat(),
        "arguments": arguments(plan, folder),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "choices": asdict(choices),
        "series": [asdict(each) for each in stored],
    }
    # Last: a folder without it is no run.
    (folder / "plan.json").write_text(json.dumps(contents, indent=1), encoding="utf-8")
    return TrainingRun(folder)


def delete_old_runs(*, but: str) -> None:
    """Delete the runs without use for a month, except the current one."""
    oldest = time.time() - KEPT_DAYS * 86400
    for folder in runs_folder().iterdir():
        if _ID.fullmatch(folder.name) and folder.name != but:
            times = [path.stat().st_mtime for path in (folder, folder / "model-run/log.jsonl")
                     if path.exists()]  # fmt: skip
            if max(times, default=0.0) < oldest:
                TrainingRun(folder).delete()


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        found = parse_json(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
