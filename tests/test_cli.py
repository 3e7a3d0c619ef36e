"""The `kronos` command, run as a user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos import cli, models, system
from kronos.cli import app
from kronos.cli.terminal import ProgressLine, open_text, write_text
from kronos.errors import InvalidRequest
from kronos.models.hub.repository import WEIGHTS_NAME, repository
from tests.loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
SAMPLE = ROOT / "assets" / "samples" / "GOOG_1d.csv"
QUICK = ["--model", str(GOLDEN), "--device", "cpu", "--paths", "4", "--lookback", "32"]


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """The first 60 daily bars of a sample."""
    lines = SAMPLE.read_text().splitlines()[:61]
    path = tmp_path / "GOOG_1d.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_forecast_prints_quantiles_in_order(bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["forecast", str(bars), "--horizon", "5", *QUICK]) == 0
    out, err = capsys.readouterr()
    rows = rows_of(out)
    assert len(rows) == 5
    for row in rows:
        quantiles = [float(row[f"p{level}"]) for level in (10, 25, 50, 75, 90)]
        assert quantiles == sorted(quantiles)
        assert row["symbol"] == "GOOG"
    stamps = [pd.Timestamp(row["timestamp"]) for row in rows]
    assert all(stamp.day_of_week < 5 for stamp in stamps)
    assert "60 of 60 rows kept" in err
    assert "\r" not in err, "progress is for terminals"


def test_the_same_seed_gives_the_same_output(
    bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        cli.main(["forecast", str(bars), "--horizon", "3", "--quiet", "--seed", seed, *QUICK])
        out, err = capsys.readouterr()
        assert err == ""
        texts.append(out)
    assert texts[0] == texts[1] != texts[2]


def test_a_file_that_fits_several_clocks_warns_and_takes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hours = pd.date_range("2024-01-16 03:00", periods=48, freq="h")
    rows = [f"{hour:%Y-%m-%d %H:%M},1.09,1.1,1.08,1.095" for hour in hours]
    path = tmp_path / "EURUSD.csv"
    path.write_text("\n".join(["time,open,high,low,close", *rows]))
    forecast = ["forecast", str(path), "--horizon", "1", "--quiet", *QUICK]
    assert cli.main(forecast) == 0
    out, err = capsys.readouterr()
    assert err.startswith("warning: EURUSD.csv: the timestamps have no time zone")
    assert "read as UTC" in err
    assert "--clock ZONE" in err
    assert rows_of(out)[0]["timestamp"].startswith("2024-01-18T03:00")
    for clock, hour in (("Asia/Tokyo", "17T18"), ("New York + 7 h", "18T01")):
        assert cli.main([*forecast, "--clock", clock]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert rows_of(out)[0]["timestamp"].startswith(f"2024-01-{hour}:00")


def test_an_origin_in_the_past_shows_what_followed(
    bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = ["--origin", "2004-11-01", "--horizon", "3", "--format", "json"]
    assert cli.main(["forecast", str(bars), *origin, *QUICK]) == 0
    result = json.loads(capsys.readouterr().out)
    frame = pd.read_csv(bars, parse_dates=["timestamp"])
    after = frame[frame["timestamp"] > "2004-11-01"]["close"].head(3)
    assert result["actual_close"] == after.tolist()
    assert result["origin"].startswith("2004-11-01")
    assert result["parameters"]["sample_count"] == 4
    assert len(result["close_quantiles"]["p50"]) == 3
    assert len(result["model_revision"]) == 16


def test_a_baseline_is_a_model_like_the_others(
    bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["forecast", str(bars), "--horizon", "3", "--format", "json", "--model", "ewma"]
    assert cli.main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == "ewma"
    widths = [
        high - low
        for high, low in zip(
            result["close_quantiles"]["p90"], result["close_quantiles"]["p10"], strict=True
        )
    ]
    assert widths == sorted(widths)
    assert cli.main([*command, "-T", "0.5"]) == 2
    assert "T must be 1 for ewma" in capsys.readouterr().err


def test_output_and_paths_go_to_files(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, paths = tmp_path / "out.csv", tmp_path / "paths.csv"
    files = ["-o", str(out), "--paths-out", str(paths)]
    assert cli.main(["forecast", str(bars), "--horizon", "3", *files, *QUICK]) == 0
    assert capsys.readouterr().out == ""
    assert len(rows_of(out.read_text())) == 3
    table = pd.read_csv(paths)
    assert len(table) == 4 * 3
    assert (table["high"] >= table[["open", "close"]].max(axis=1)).all()


def test_risk_and_any_quantile_are_written(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = float(pd.read_csv(bars)["close"].iloc[-1])
    prices = ["--stop", f"{0.99 * last}", "--target", f"{1.01 * last}", "--budget", "1"]
    out = tmp_path / "risk.csv"
    command = ["forecast", str(bars), "--horizon", "3", "--quiet", *QUICK]
    given = [*prices, "--between", f"{0.9 * last}", f"{1.1 * last}", "--quantiles", "1", "50", "99"]
    assert cli.main([*command, *given, "--risk-out", str(out)]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert (table["p1"] <= table["p50"]).all()
    assert (table["p50"] <= table["p99"]).all()
    risk = pd.read_csv(out).set_index("measure")["value"]
    shares = risk[["Stop first", "Target first", "Neither"]]
    assert shares.sum() == pytest.approx(1.0)
    assert risk["Position"] == pytest.approx(1.0)
    assert risk["Close between"] == pytest.approx(1.0, abs=0.1)
    assert cli.main([*command, *prices, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["risk"]
    assert {row["measure"] for row in rows} >= {"Value at risk 95%", "Drawdown, median", "Position"}


def test_corridor_and_implied_cone_stand_beside_the_quantiles(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["forecast", str(bars), "--horizon", "3", "--quiet", *QUICK]
    given = ["--corridor", "80", "--implied", "62"]
    out = tmp_path / "risk.csv"
    assert cli.main([*command, *given, "--risk-out", str(out)]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert (table["corridor80_low"] <= table["p50"]).all()
    assert (table["corridor80_high"] >= table["p50"]).all()
    widths = table["implied_p90"] / table["implied_p10"]
    # The variance grows with time.
    assert np.log(widths.iloc[2]) == pytest.approx(np.sqrt(3) * np.log(widths.iloc[0]))
    shares = pd.read_csv(out).set_index("measure")["value"]
    beyond = shares[["Beyond the implied 80% range", "Implied beyond the fan's 80% range"]]
    assert beyond.between(0, 1).all()
    assert cli.main([*command, *given, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bands"]["implied_p50"] == pytest.approx(table["implied_p50"].tolist())
    assert found["bands"]["corridor80_low"] == pytest.approx(table["corridor80_low"].tolist())
    assert cli.main([*command, "--implied", "0"]) == 2
    assert "implied volatility must be above 0" in capsys.readouterr().err
    assert cli.main([*command, "--corridor", "100"]) == 2
    assert "level must be between 0 and 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quantiles", "0.5"], "--quantiles must be from 1 to 99, found 0.5"),
        (["--target", "9"], "--target and --budget need --stop"),
        (["--stop", "1e9", "--target", "2e9"], "must be between stop and target"),
    ],
)
def test_risk_options_that_make_no_sense_are_refused(
    bars: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["forecast", str(bars), "--horizon", "1", "--quiet", *options, *QUICK]) == 2
    assert message in capsys.readouterr().err


def test_standard_input_and_a_module_run(bars: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kronos", "forecast", "-", "--horizon", "2", *QUICK],
        input=bars.read_bytes(),
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    assert len(rows_of(done.stdout.decode())) == 2


def test_text_cells_are_never_formulas(bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = ["--symbol", "=HYPERLINK(1)", "--calendar", "XNYS"]
    assert cli.main(["forecast", str(bars), "--horizon", "1", *evil, *QUICK]) == 0
    assert rows_of(capsys.readouterr().out)[0]["symbol"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.csv"], "cannot be read"),
        (["{bars}", "--horizon", "0"], "--horizon"),
        (["{bars}", "--paths", "0"], "--paths must be from 1 to 10,000, found 0"),
        (["{bars}", "--top-p", "2"], "--top-p must be above 0"),
        (["{bars}", "-T", "11"], "--temperature must be between 0"),
        (["{bars}", "--horizon", "100000"], "--horizon must be from 1 to 10,000, found 100000"),
        (["{bars}", "--device", "cuda:99"], "device 'cuda:99' was requested"),
        (["{bars}", "--device", "abacus"], "no device 'abacus'"),
        (["{bars}", "--model", "huge"], "no model"),
        (["{bars}", "--model", "large"], "not been published"),
        (["{bars}", "--clock", "Mars/Olympus"], "Mars/Olympus"),
        (["{bars}", "--interval", "7m"], "7m"),
        (["{bars}", "--origin", "yesterday-ish"], "--origin"),
        (["{bars}", "--origin", "1990-01-01"], "leaves 0 bars"),
        (["{bars}", "--origin", "2050-01-01"], "lies after the last bar"),
        (["{golden}/cases.json"], "cases.json"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    bars: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [text.format(bars=bars, golden=GOLDEN) for text in arguments]
    model = [] if "--model" in filled else QUICK[:2]
    assert cli.main(["forecast", *filled, *model, "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("kronos: ")
    assert err.count("\n") == 1


def test_an_output_that_cannot_be_written(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "none" / "out.csv")
    assert cli.main(["forecast", str(bars), "--horizon", "1", "-o", target, *QUICK]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["forecast"], ["models"]])
def test_help_has_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    assert "examples:\n  kronos " in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, kronos.cli; kronos.cli.parser().format_help();"
        "assert not {'torch', 'pandas', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_usage_error_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["frobnicate"], ["forecast"], ["forecast", "x.csv", "--horizon", "few"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2


def test_models_lists_every_model(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    table = capsys.readouterr().out
    for name in ("bundled", "mini", "small", "base", "downloadable", "MIT"):
        assert name in table
    assert cli.main(["models", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == [
        "bundled", "mini", "small", "base", "chronos-2-small", "chronos-2",
    ]  # fmt: skip


def test_models_download_verify_delete(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = models.PublishedModel(
        name="tiny",
        model=repository("acme/Kronos-tiny", "a" * 40),
        tokenizer=repository("acme/Kronos-Tokenizer-tiny", "b" * 40),
        n_parameters=1,
        max_context=64,
    )
    monkeypatch.setitem(models.PUBLISHED, "tiny", tiny)
    with LoopbackHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        for repo, part in zip(tiny.repositories, ("model", "tokenizer"), strict=True):
            server.publish(repo.repo_id, repo.revision, GOLDEN / part)
        assert cli.main(["models", "verify", "tiny"]) == 2
        assert "kronos models download tiny" in capsys.readouterr().err
        assert cli.main(["models", "download", "tiny"]) == 0
        assert cli.main(["models", "verify", "tiny"]) == 0
    weights = models.checkpoint_folder("tiny") / WEIGHTS_NAME
    with weights.open("ab") as opened:
        opened.write(b"x")
    capsys.readouterr()
    assert cli.main(["models", "verify", "tiny"]) == 2
    assert "removed" in capsys.readouterr().err
    assert cli.main(["models", "delete", "tiny"]) == 0
    assert "freed" in capsys.readouterr().err


def test_models_test_reports_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "test", "bundled", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["passed"] * 6


def test_a_failed_models_test_exits_2(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "test", "mini"]) == 2
    out, err = capsys.readouterr()
    assert "kronos models download mini" in out
    assert err == "kronos: mini failed its test: Digests of the files.\n"


def test_models_refuses_what_cannot_be(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action, name, words in (
        ("download", "large", "not been published"),
        ("download", "huge", "no model"),
        ("delete", "bundled", "part of the installation"),
    ):
        assert cli.main(["models", action, name]) == 2
        assert words in capsys.readouterr().err


def test_an_unreachable_hub_is_reported_within_seconds(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    assert cli.main(["models", "download", "mini"]) == 2
    assert time.monotonic() - start < 8
    assert "cannot be reached" in capsys.readouterr().err


def test_interrupting_a_download_exits_130(tmp_path: Path) -> None:
    with LoopbackHub() as server:
        server.faults.hang = True
        process = subprocess.Popen(
            [sys.executable, "-m", "kronos", "models", "download", "mini"],
            env={**os.environ, "HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(tmp_path)},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            # A suite started in the background of a shell hands down SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 30
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err.decode() == "kronos: interrupted\n"


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kronos", "models", "list"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_the_bundled_model_is_the_default(
    bars: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "assets" / "bundled"
    for part in ("model", "tokenizer"):
        shutil.copytree(GOLDEN / part, target / part)
    models.describe_bundle(target, lookback=40, max_context=64)
    monkeypatch.setattr(system, "_INSTALLED", tmp_path / "none")
    monkeypatch.setattr(system, "_CHECKOUT", tmp_path / "assets")
    quick = ["--device", "cpu", "--paths", "2", "--horizon", "2", "--format", "json"]
    assert cli.main(["forecast", str(bars), *quick]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["n_context"]) == ("bundled", 40)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_and_cleaned_up() -> None:
    stream = Terminal()
    with ProgressLine("downloading", in_bytes=True, stream=stream) as progress:
        progress(0, 0)
        progress(5_000_000, 5_000_000)
    assert "asking the hub" in stream.getvalue()
    assert "5.0 MB of 5.0 MB (100%)" in stream.getvalue()
    assert stream.getvalue().endswith("\r")
    silent = io.StringIO()
    with ProgressLine("downloading", stream=silent) as progress:
        progress(1, 1)
    assert silent.getvalue() == ""


def test_a_full_output_is_one_line_of_advice(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "kronos", "models"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "kronos: A file cannot be used: No space left on device. Free some space and try again."
    ]


def test_an_earlier_result_stays_where_a_new_one_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    path.write_text("an earlier result\n")
    path.chmod(0o640)

    def write_half() -> None:
        with open_text(str(path)) as opened:
            opened.write("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(InvalidRequest, match="cannot be written: No space left"):
        write_half()
    assert path.read_text() == "an earlier result\n"
    write_text(str(path), "new\n")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new\n", 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_user_without_a_home_is_told_to_set_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    assert cli.main(["models"]) == 2
    assert "Set the environment variable HOME" in capsys.readouterr().err


def test_a_disk_that_fails_in_a_command_is_one_line_of_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError(30, "Read-only file system", "runs/log.jsonl")

    monkeypatch.setattr(models, "available", fail)
    assert cli.main(["models"]) == 2
    assert capsys.readouterr().err == (
        "kronos: runs/log.jsonl cannot be used: Read-only file system. Name a place on a disk that "
        "can be written.\n"
    )


def test_app_refuses_a_port_that_does_not_exist(capsys):
    assert cli.main(["app", "--port", "70000"]) == 2
    assert "A port lies in 1 to 65535, found 70000." in capsys.readouterr().err


def test_app_runs_the_script_beside_the_package(monkeypatch):
    started = []
    monkeypatch.setattr(sys, "argv", ["kronos"])
    monkeypatch.setattr(app, "run_module", lambda name, run_name: started.append(sys.argv))
    own = "--server.maxUploadSize=50"
    assert cli.main(["app", "--port", "8600", "--host", "::1", "--", own]) == 0
    ((_, verb, place, *options),) = started
    assert verb == "run"
    assert Path(place).samefile("app.py")
    assert {"--server.address=::1", "--server.port=8600", "--server.headless=true"} <= set(options)
    assert options[-1] == own
