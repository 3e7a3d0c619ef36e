"""Hostile links: every parameter of every page with every hostile value, as visits of the pages.

The parameters are those of `pages.ui.frame.parameters`. A visit fails if the page shows an
exception. Nothing of the user is read or written: folders of the user are temporary ones.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.gates import own_home
from benchmarks.revision import revision

ROOT = Path(__file__).parents[2]

HOSTILE = (
    *("inf", "-inf", "nan", "1e309", "-1e309", "9" * 400, "-" + "9" * 400, "1" * 5000),
    *("1e-400", "1e300", "-1e300", "1e999999999", "9" * 18, "-1", "0", "-0.0", "0.5", "1e3"),
    *("", " ", "text", "0x10", "\u0661\u0662\u0663", "\uff11\uff12", "1,5", "1_000", "+5"),
    *("\x00", "a\x00b\x1b[2J\r\n", "\ud7ff\ufffe", "\u202eabc", "x" * 10_000, "\U0001f56f" * 50),
    *("0000-00-00", "99999-12-31", "0001-01-01", "9999-12-31", "1969-12-31", "2024-W01-1"),
    *("2024-02-30", "24:61", "23:59:60", "true", "TRUE", "None", "[]", "%s%n", "__proto__"),
    *("Mars/Olympus", "../../etc/passwd", "<script>", "| a | b |", "'; drop table x; --"),
)
"""Texts that no control expects."""
REPEATED = (("inf", "24"), ("24", "inf"), ("nan", "nan"), ("", "9" * 400), ("a", "b", "c"))
"""Values of a parameter that a link names more than once."""
CHEAP = {"horizon": "2", "paths": "10"}
"""The settings of the other parameters, so that a first forecast takes little time."""
TIMEOUT_SECONDS = 60.0


class Visit(NamedTuple):
    """One visit of a page by a link."""

    page: str
    link: dict[str, str | list[str]]


def visits() -> Iterator[Visit]:
    """Every page with every hostile value of each of its parameters."""
    from pages.ui.frame.parameters import PARAMETERS

    values: list[str | list[str]] = [*HOSTILE, *map(list, REPEATED)]
    for pattern, parameter in PARAMETERS.items():
        for name in _names(pattern):
            for page in parameter.pages:
                for value in values:
                    yield Visit(page, {**CHEAP, **parameter.needs, name: value})


def _names(pattern: str) -> list[str]:
    if not pattern.endswith("*"):
        return [pattern]
    stem = pattern[:-1]
    known = {"bars_": ["bars_2", "bars_24"], "size_": ["size_none", "size_cpi"]}
    return known.get(stem, [f"{stem}cpi_us_2019-09-12"])


def peak_megabytes() -> float:
    """Largest resident memory of this process."""
    from kronos.system import peak_bytes

    return peak_bytes() / 1e6


def main(argv: list[str] | None = None) -> int:
    """Run the gate; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 visits, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {**own_home(home), "KRONOS_STORE": "off"}
        return _run(quick=args.quick, seed=args.seed)


def _run(*, quick: bool, seed: int) -> int:
    from streamlit.components.v2 import manifest_scanner
    from streamlit.testing.v1 import AppTest

    # Streamlit reads the metadata of all installed packages again for every session.
    found = manifest_scanner.scan_component_manifests()
    manifest_scanner.scan_component_manifests = lambda: found
    plan = list(visits())
    if quick:
        plan = random.Random(seed).sample(plan, 200)
    failures: list[str] = []
    slowest, slowest_visit = 0.0, plan[0]
    for number, visit in enumerate(plan, 1):
        began = time.perf_counter()
        app = AppTest.from_file(ROOT / "app.py", default_timeout=TIMEOUT_SECONDS)
        app.switch_page(f"pages/{visit.page}.py")
        app.query_params.update(visit.link)
        try:
            app.run()
            raised = [each.message for each in app.exception]
        except RuntimeError as error:  # the script did not end in time
            raised = [str(error)]
        seconds = time.perf_counter() - began
        if seconds > slowest:
            slowest, slowest_visit = seconds, visit
        if raised:
            failures.append(f"{visit.page} {str(visit.link)[:200]}: {raised[0][:200]}")
        if number % 200 == 0:
            print(f"  {number:,} of {len(plan):,} visits, {len(failures)} failures", flush=True)
    for failure in failures[:20]:
        print(f"  {failure}")
    print(f"visits {len(plan):,}; failures {len(failures)}")
    print(f"slowest {slowest:.1f} s: {slowest_visit.page} {str(slowest_visit.link)[:120]}")
    print(f"peak memory {peak_megabytes():,.0f} MB; revision {revision()}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
