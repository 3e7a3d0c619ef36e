"""A run on the disk: its bars, what was asked for, and what it has logged.

Every run is a folder of its own below the user's data, named by an id that nobody can guess: who
has the id, in his link or session, has the run.
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
from kronos.system import user_data
from pages.ui.training.plan import Plan, Series, Settings, arguments, facts_of, table_of

KEPT_DAYS = 30
"""A run that nobody has touched for so long is deleted when the next one is started."""
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def runs_folder() -> Path:
    """Where the runs of this machine lie."""
    return user_data("runs")


@dataclass(frozen=True, slots=True)
class KeptSeries:
    """One series of a run: how its candles are read back.

    Attributes:
        title: Name of the file or sample.
        file: Below the run's data.
        symbol: Ticker or name.
        interval: Width of a bar.
        zone: The market's clock.
        calendar: Its calendar.
        source: Where the bars came from.
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
    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "plan.json").read_text(encoding="utf-8"))
        return told

    @property
    def settings(self) -> Settings:
        """What the run was told."""
        return Settings(**self._told["settings"])

    @property
    def cut_off(self) -> pd.Timestamp:
        """Where its bars are split."""
        return pd.Timestamp(self._told["cut_off"])

    @property
    def arguments(self) -> list[str]:
        """Arguments of `kronos`: the same ones start it and go on with it."""
        return list(self._told["arguments"])

    @property
    def created(self) -> datetime:
        """When it was asked for."""
        return datetime.fromisoformat(self._told["created"])

    @property
    def choices(self) -> CsvChoices:
        """How the uploaded files were read."""
        return CsvChoices(**self._told["choices"])

    @property
    def series(self) -> list[KeptSeries]:
        """What it learns from."""
        return [KeptSeries(**each) for each in self._told["series"]]

    @property
    def adapter(self) -> Path:
        """What comes out; not there before the end."""
        return self.folder / "adapter.safetensors"

    @property
    def output(self) -> Path:
        """What its process says."""
        return self.folder / "output.log"

    @property
    def kept_as(self) -> str:
        """Name under which its adapter was kept; "" while it was not."""
        return _read(self.folder / "kept")

    def note_kept(self, name: str) -> None:
        """Remembers the name of the model that it has become."""
        (self.folder / "kept").write_text(name, encoding="utf-8")

    @property
    def exit_code(self) -> int | None:
        """How its process ended; None while it runs, or where nobody saw the end."""
        text = _read(self.folder / "exit")
        return int(text) if text else None

    @property
    def is_stop_asked(self) -> bool:
        """Whether somebody pressed Stop since it was started."""
        return (self.folder / "stop-asked").exists()

    def lines(self) -> list[dict[str, Any]]:
        """The log so far; a line that is being written is left out."""
        text = _read(self.folder / "model-run/log.jsonl")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def output_tail(self, n_lines: int = 15) -> list[str]:
        """The last of what its process said, with no path of this machine in it."""
        text = _read(self.output).replace(str(self.folder), "RUN")
        text = text.replace(str(Path.home()), "~")
        return [line for line in text.splitlines() if line.strip()][-n_lines:]

    def candles(self, series: KeptSeries) -> Candles:
        """The bars of a series as they were learned from."""
        table = pd.read_parquet(self.folder / "data" / series.file)
        index = pd.DatetimeIndex(table["timestamp"], name="timestamp").tz_convert("UTC")
        frame = table[list(COLUMNS)].astype(float).set_index(index)
        return Candles(
            frame, series.interval, series.zone, series.calendar, series.symbol, series.source
        )

    def delete(self) -> None:
        """Deletes everything of the run; an adapter that was kept lies elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)


def find_run(run_id: str) -> TrainingRun | None:
    """The run of an id, as it may come from a link."""
    if not _ID.fullmatch(run_id):
        return None
    run = TrainingRun(runs_folder() / run_id)
    return run if (run.folder / "plan.json").is_file() else None


def create_run(series: Sequence[Series], plan: Plan, choices: CsvChoices) -> TrainingRun:
    """Writes the folder of a run that can then be started.

    Args:
        series: What it learns from.
        plan: What it is told.
        choices: How the files were read.
    """
    # Names are the keys to the runs, and uploads are nobody else's to read: closed to other users
    # of the machine before anything lies in them.
    runs_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = runs_folder() / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    facts = facts_of(series)
    for each, known in zip(series, facts, strict=True):
        path = folder / "data" / known.file
        path.parent.mkdir(parents=True)
        table_of(each.candles).to_parquet(path, index=False)
    pd.DataFrame([asdict(known) for known in facts]).to_csv(folder / "manifest.csv", index=False)
    kept = [
        KeptSeries(
            each.title, known.file, each.candles.symbol, each.candles.interval, each.candles.zone,
            each.candles.calendar, each.candles.source, each.sample,
        )
        for each, known in zip(series, facts, strict=True)
    ]  # fmt: skip
    told = {
        "settings": asdict(plan.settings),
        "cut_off": plan.cut_off.isoformat(),
        "arguments": arguments(plan, folder),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "choices": asdict(choices),
        "series": [asdict(each) for each in kept],
    }
    # Last: a folder without it is no run.
    (folder / "plan.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return TrainingRun(folder)


def delete_old_runs(*, but: str) -> None:
    """Deletes the runs that nobody has touched for a month; never the one that is under way."""
    oldest = time.time() - KEPT_DAYS * 86400
    for folder in runs_folder().iterdir():
        if _ID.fullmatch(folder.name) and folder.name != but:
            times = [path.stat().st_mtime for path in (folder, folder / "model-run/log.jsonl")
                     if path.exists()]  # fmt: skip
            if max(times, default=0.0) < oldest:
                TrainingRun(folder).delete()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
