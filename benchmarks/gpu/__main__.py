"""Checks and times decoding and training on a CUDA device, within a budget of minutes.

    python -m benchmarks.gpu --minutes 9 --out gpu/
    python -m benchmarks.gpu --minutes 9 --out gpu/ --corpus bars/ --run runs/second
    python -m benchmarks.gpu --minutes 4 --out dry/ --device cpu

Results go to OUT/results.jsonl one by one, and at the end to OUT/report.md. Each part runs in a
process of its own and has a share of the minutes; what does not fit is named as skipped. The same
command with the same --out looks for what is missing. Published weights that are not on this
machine are replaced by random ones of the same size. Run it at the root of a checkout. It needs
torch, numpy, pandas and safetensors; numba (one decoder) and peft (LoRA) where they are installed.

Status: 0; 1 if a check failed, with what differed; 2 if the command cannot run.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import DRY_LEAST, PARTS, Part
from benchmarks.gpu.results import Result, ResultFile, Work
from benchmarks.revision import revision

NEEDED = ("torch", "numpy", "pandas", "safetensors")
ROOT = Path(__file__).parents[2]
REPORTING = 5.0
"""Seconds that are left for the report."""
GRACE = 10.0
"""Seconds that a part may take beyond its share to end what it is at."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--minutes", type=float, default=9.0, help="for all of it (default: 9)")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda",
        help="cpu runs the dry form, with small sizes (default: cuda)",
    )
    names = [part.name for part in PARTS]
    add("--only", nargs="+", choices=names, metavar="PART", help=f"of {', '.join(names)}")
    add("--corpus", type=Path, metavar="DIR", help="candle files to train the bundled model on")
    add("--run", type=Path, metavar="DIR", help="folder of that training; resumed if it is there")
    add(
        "--train-options",
        default=None,
        metavar="TEXT",
        help="further options of `kronos train`, such as '--manifest FILE'; a run resumes under "
        "the same ones only (default: '--precision bf16' on cuda)",
    )
    add("--revision", help="commit to print where the checkout has no git")
    add("--part", choices=names, help=argparse.SUPPRESS)  # the process of one part
    add("--until", type=float, help=argparse.SUPPRESS)
    add("--scratch", type=Path, help=argparse.SUPPRESS)
    return made


def missing(device: str) -> str:
    """What this machine lacks, and what to do; "" if nothing."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        return (
            f"This Python ({sys.executable}) has no {', '.join(absent)}. Install what is missing, "
            "or use the environment of `make setup`."
        )
    import torch

    if device == "cpu" or torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        why = f"PyTorch {torch.__version__} was built without CUDA"
    else:
        why = (
            f"PyTorch {torch.__version__} for CUDA {torch.version.cuda} finds no device: there is "
            "no NVIDIA GPU here, or its driver is missing or too old"
        )
    return f"{why}. Choose --device cpu for the dry form, or run this on a machine with a GPU."


def environment(options: argparse.Namespace) -> dict[str, Any]:
    """What results depend on; a folder holds those of one environment."""
    import torch

    on_gpu = options.device == "cuda"
    from benchmarks.speed.report import processor

    return {
        "hardware": torch.cuda.get_device_name() if on_gpu else processor(),
        "form": "full" if on_gpu else "dry",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "CUDA": torch.version.cuda if on_gpu else "none",
        "revision": options.revision or revision(),
    }


def run_part(part: Part, options: argparse.Namespace) -> int:
    """Runs one part in this process."""
    part.run(
        Work(
            part.name,
            options.device,
            options.device == "cpu",
            ResultFile(options.out),
            options.scratch,
            options.until,
            options.corpus,
            options.run,
            tuple(shlex.split(options.train_options)),
        )
    )
    return 0


def run_all(options: argparse.Namespace, file: ResultFile) -> None:
    """Runs the parts one after the other, each within its share of what is left."""
    end = time.time() + 60 * options.minutes - REPORTING
    waiting = [part for part in PARTS if not options.only or part.name in options.only]
    if any(part.name == "training" for part in waiting) and not (options.corpus and options.run):
        waiting = [part for part in waiting if part.name != "training"]
        words = "Give --corpus and --run to train the bundled model in the minutes that are left."
        file.add(Result("training", "", "skipped", words))
    with tempfile.TemporaryDirectory() as scratch:
        while waiting:
            left = end - time.time()
            part, total = waiting[0], sum(part.weight for part in waiting)
            waiting = waiting[1:]
            share = left * part.weight / total
            least = DRY_LEAST if options.device == "cpu" else part.least
            if share < least:
                words = (
                    f"It needs at least {least:.0f} s. Its share of what was left of "
                    f"{options.minutes:g} minutes was {max(0.0, share):.0f} s."
                )
                file.add(Result(part.name, "", "skipped", words))
                print(f"{part.name}: skipped. {words}", file=sys.stderr, flush=True)
                continue
            print(f"{part.name}: {part.title}, {share:.0f} s", file=sys.stderr, flush=True)
            _run_apart(part, options, file, Path(scratch), share, end)


def _run_apart(
    part: Part, options: argparse.Namespace, file: ResultFile, scratch: Path, share: float,
    end: float,
) -> None:  # fmt: skip
    """A part in a process of its own: a fault of the device ends that process only."""
    started = time.time()
    before = len(file.read())
    command = [
        sys.executable, "-m", "benchmarks.gpu", "--part", part.name, "--device", options.device,
        "--out", str(options.out), "--until", str(started + share), "--scratch", str(scratch),
        f"--train-options={options.train_options}",
    ]  # fmt: skip
    for name in ("corpus", "run"):
        if given := getattr(options, name):
            command += [f"--{name}", str(given)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    variables = {**os.environ, "PYTHONPATH": path}
    if options.device == "cpu":
        variables.setdefault("OMP_NUM_THREADS", "1")  # for small sizes more only wait
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=variables, stdout=said, stderr=said)
        try:
            process.wait(max(1.0, min(share + GRACE, end - started)))
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            n_new = len(file.read()) - before
            words = f"Cut off after {time.time() - started:.0f} s, with {n_new} new results."
            file.add(Result(part.name, "", "cut off", words))
            return
        if process.returncode:
            said.seek(0)
            last = said.read().strip().splitlines()[-1:] or ["it said nothing"]
            words = f"Its process ended with {process.returncode}: {last[0]}"
            file.add(Result(part.name, "", "failed", words))
            return
    file.add(Result(part.name, "", "measured", f"Took {time.time() - started:.0f} s."))


def main(arguments: Sequence[str] | None = None) -> int:
    made = parser()
    options = made.parse_args(arguments)
    if options.train_options is None:
        options.train_options = "--precision bf16" if options.device == "cuda" else ""
    if options.part:
        (part,) = (each for each in PARTS if each.name == options.part)
        return run_part(part, options)
    if not options.minutes > 0:
        made.error(f"--minutes must be above 0, found {options.minutes:g}.")
    if lacking := missing(options.device):
        made.exit(2, f"{made.prog}: {lacking}\n")
    file = ResultFile(options.out)
    facts = environment(options)
    try:
        file.begin(facts)
    except ValueError as error:
        made.exit(2, f"{made.prog}: {error}\n")
    run_all(options, file)

    from benchmarks.gpu import report

    # That a part is through is of interest to no reader: its units say it.
    results = [r for r in file.read() if r.unit or r.outcome != "measured"]
    text = report.write(results, facts)
    report.write_file(options.out, text)
    print(text)
    failed = [r for r in results if r.outcome == "failed"]
    for result in failed:
        print(f"FAILED {result.part}, {result.unit}: {result.found}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
