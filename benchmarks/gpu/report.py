"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.results import Result
from benchmarks.speed.report import table


def write(results: Sequence[Result], environment: dict[str, Any]) -> str:
    """The whole report."""
    facts = ", ".join(f"{name} {value}" for name, value in environment.items())
    blocks = [f"# {environment['hardware']}", facts + "."]
    if environment["form"] == "dry":
        blocks.append("The dry form: small sizes on a processor. It shows that the command works.")
    blocks += [_summary(results), _units(results)]
    if times := _times(results):
        blocks += ["## Time and memory of forecasts", times, _aim(results)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _summary(results: Sequence[Result]) -> str:
    rows = []
    for part in PARTS:
        of_part = [r for r in results if r.part == part.name]
        counts = {}
        for result in of_part:
            counts[result.outcome] = counts.get(result.outcome, 0) + 1
        said = ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) or "not reached"
        rows.append((part.name, part.title, said, f"{sum(r.seconds for r in of_part):.0f}"))
    return table(("part", "what it shows", "results", "seconds"), rows, n_words=3)


def _units(results: Sequence[Result]) -> str:
    rows = [
        (r.part, r.unit or "all of it", r.outcome, _cell(r.found))
        for part in PARTS
        for r in results
        if r.part == part.name
    ]
    return table(("part", "unit", "result", "found"), rows, n_words=4)


def _cell(text: str) -> str:
    """Text for one cell of a table."""
    return " ".join(text.replace("|", "/").split())


def _times(results: Sequence[Result]) -> str:
    by_unit = {r.unit: r for r in results if r.part == "speed" and r.outcome == "measured"}
    launches = by_unit.get("launches")
    rows = []
    for result in by_unit.values():
        f = result.figures
        if "forecast" not in f:
            continue
        rates = by_unit.get(f"{f['model']}, rates")
        least = _floors(f, rates.figures, launches.figures) if rates and launches else None
        rows.append(
            (
                f["model"], f["dtype"], str(f["series"]), f"{f['paths']:,}",
                f"{f['first call']:.2f}", _ms(f["forecast"]), _ms(f["to the first step"]),
                _ms(f["step"]), *(map(_ms, least) if least else ("", "")),
                f"{f['step'] / max(least):.1f}" if least else "",
                f"{f['memory'] / 1e6:,.0f}", f"{f['allocated'] / 1e6:,.0f}",
            )
        )  # fmt: skip
    if not rows:
        return ""
    header = (
        "model", "weights", "series", "paths", "first call (s)", "forecast (ms)",
        "to the first step (ms)", "step (ms)", "floor: arithmetic and bandwidth (ms)",
        "floor: launches (ms)", "times the larger floor", "memory beyond the weights (MB)",
        "allocated at most (MB)",
    )  # fmt: skip
    (some, *_) = [r.figures for r in by_unit.values() if "forecast" in r.figures]
    note = f"Context {some['context']}, {some['horizon']} steps, T = 1, top_p = 0.9."
    return f"{note}\n\n{table(header, rows, n_words=2)}"


def _floors(
    figures: dict[str, Any], rates: dict[str, Any], launches: dict[str, Any]
) -> tuple[float, float]:
    from benchmarks.gpu.speed import floors

    return floors(figures, rates, launches)


def _aim(results: Sequence[Result]) -> str:
    from benchmarks.gpu.speed import AIM_MB, AIM_MS

    for result in results:
        f = result.figures
        if result.part == "speed" and f.get("model") == "base" and "forecast" in f:
            if (f["series"], f["paths"]) != (1, 30):
                continue
            ms, mb = f["forecast"] * 1e3, f["memory"] / 1e6
            said = "met" if ms <= AIM_MS and mb <= AIM_MB else "missed"
            return (
                f"The aim for base, 30 paths, is {AIM_MS:g} ms and {AIM_MB:g} MB beyond the "
                f"weights: {said}, with {ms:.1f} ms and {mb:,.0f} MB."
            )
    return ""


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"


def write_file(folder: Path, text: str) -> Path:
    """Writes OUT/report.md."""
    path = folder / "report.md"
    path.write_text(text, encoding="utf-8")
    return path
