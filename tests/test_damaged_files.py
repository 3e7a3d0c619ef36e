"""Damaged files of a user beside models: typed errors, and pages that work without them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kronos import system
from kronos.calibration import CalibrationState, load_state
from kronos.ensemble.weights import EnsembleWeights, load_weights
from kronos.errors import InvalidEvents, InvalidRequest
from kronos.events.tables import stored_events
from kronos.export import load_forecast
from kronos.finetune import history
from kronos.system import asset_path
from pages.ui.training import folder as training_folder

DEEP = b"[" * 100_000 + b"]" * 100_000
CONTENTS = {
    "nothing": b"", "bytes": bytes(range(256)), "a list": b"[]", "a number": b"1e999",
    "an object": b"{}", "nested": DEEP, "a field nested": b'{"format": ' + DEEP + b"}",
    "a field twice": b'{"format": 1, "format": 1}', "null": b"null", "spaces": b" " * (70 << 20),
}  # fmt: skip


def damaged(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if name == "a pipe":
        os.mkfifo(path)
    elif name == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(CONTENTS[name])
    return path


@pytest.mark.parametrize("name", [*CONTENTS, "a pipe", "a device"])
def test_each_damage_is_a_typed_error_of_every_reader(tmp_path, name):
    readers = {
        tmp_path / "calibration.json": CalibrationState.load,
        tmp_path / "forecast.safetensors": load_forecast,
    }
    for path, read in readers.items():
        with pytest.raises(InvalidRequest, match=path.name):
            read(damaged(path, name))
    folder = tmp_path / "ensemble"
    damaged(folder / "version-1" / "weights.json", name)
    (folder / "current").write_text("version-1")
    with pytest.raises(InvalidRequest, match="no weights that can be read"):
        EnsembleWeights.load(folder)
    damaged(folder / "current", name)
    with pytest.raises(InvalidRequest, match="no weights that can be read"):
        EnsembleWeights.load(folder)


def test_files_that_may_not_be_looked_for_are_typed_errors(tmp_path, monkeypatch):
    """As in a home that is closed to this user: to look for a file there raises, too."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def refuse(function):
        def call(path, *args, **options):
            if str(path).startswith(str(tmp_path)):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *args, **options)

        return call

    for where, name in ((Path, "stat"), (Path, "open"), (system.os, "stat")):
        monkeypatch.setattr(where, name, refuse(getattr(where, name)))
    monkeypatch.setattr(Path, "is_file", lambda path: False)  # on a refusal, since Python 3.14
    for read, kind in (
        (load_state, InvalidRequest),
        (load_weights, InvalidRequest),
        (lambda: stored_events("user"), InvalidEvents),
    ):
        with pytest.raises(kind, match="Permission denied"):
            read()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eta", 1e999), ("eta", "fast"), ("levels", {}), ("streams", [1]), ("streams", [{}]),
        ("format", 10**400), ("levels", [["a"]]), ("streams", "all"),
    ],
)  # fmt: skip
def test_fields_of_a_calibration_are_checked(tmp_path, field, value):
    facts = json.loads(asset_path("bundled", "calibration.json").read_text(encoding="utf-8"))
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(facts | {field: value}))
    with pytest.raises(InvalidRequest):
        CalibrationState.load(path)
    facts["streams"][0]["latest"] = "99999-01-01"
    path.write_text(json.dumps(facts))
    with pytest.raises(InvalidRequest):
        CalibrationState.load(path)


def test_a_damaged_line_of_the_history_is_left_out(tmp_path):
    history.append(tmp_path, history.Decision("promoted", "a", "better"))
    lines = [b"[]", b"{}", DEEP, b"\xff", b'{"what": "promoted", "extra": 1}', b"1e999"]
    with (tmp_path / "history.jsonl").open("ab") as opened:
        opened.write(b"\n".join(lines) + b"\n")
    assert history.champions(history.read(tmp_path)) == ["a"]


@pytest.mark.parametrize("name", [*CONTENTS, "a pipe", "a device"])
def test_a_run_whose_plan_is_damaged_is_no_run(tmp_path, monkeypatch, name):
    monkeypatch.setattr(training_folder, "runs_folder", lambda: tmp_path)
    run_id = "a" * 22
    damaged(tmp_path / run_id / "plan.json", name)
    assert training_folder.find_run(run_id) is None
