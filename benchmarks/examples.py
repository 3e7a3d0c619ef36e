"""Makes the finished examples that the Backtest and Synthetic pages open with.

    python -m benchmarks.examples

Forecasts the bundled samples with the bundled weights, as these pages do with the settings that
they open with, and writes assets/bundled/examples.json and example-series.safetensors. The files
name the revision of the weights; run this again whenever the weights change. Events are those of
this version, whatever the calendar of this machine has.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time

from benchmarks.revision import revision
from kronos.system import asset_path

LARGEST = 100_000
"""Bytes that the files may have together."""


def main() -> int:
    """Compute, write, print, and return the exit code."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty:
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CACHE_HOME"] = empty
        # These modules find the folders of the user when they are imported.
        from kronos.export import save_forecast
        from kronos.portfolio import Market
        from kronos.portfolio.backtest import WARM_UP, rebalance_dates
        from kronos.portfolio.forecasts import survey
        from kronos.serving.service import service
        from kronos.synthetic.generate import series_request, synthetic_series
        from kronos.synthetic.realism import realism
        from pages.ui.backtest import example as backtest
        from pages.ui.jobs.examples import EXAMPLES, MODEL, SERIES
        from pages.ui.synthetic import example as synthetic

        local = service()
        facts = local.facts(MODEL)
        plan, market = backtest.PLAN, Market.of(backtest.example_bars())
        *_, last = survey(
            local, MODEL, market, rebalance_dates(market, plan), horizon=plan.horizon,
            sampling=plan.sampling, warm_up=WARM_UP,
        )  # fmt: skip
        source = synthetic.example_source()
        forecast = local.run(series_request(source, synthetic.PLAN, facts))
        report = realism(source, synthetic_series(source, forecast), seed=synthetic.PLAN.seed)
    found = {
        "revision": facts.revision,
        "code": revision(),
        "backtest": backtest.packed(last.rows),
        "synthetic": synthetic.packed(report),
    }
    paths = [asset_path("bundled", name) for name in (EXAMPLES, SERIES)]
    paths[0].write_text(json.dumps(found, allow_nan=False) + "\n", encoding="utf-8")
    save_forecast(forecast, paths[1])
    paths[1].chmod(0o644)  # a part of the application, which others may read
    sizes = [path.stat().st_size for path in paths]
    seconds = time.perf_counter() - started
    print(
        f"{EXAMPLES}: {sizes[0]:,} bytes, {last.n_windows} forecasts; {SERIES}: {sizes[1]:,} "
        f"bytes, {forecast.horizon} bars; bundled {facts.revision}, {seconds:.0f} s."
    )
    if sum(sizes) > LARGEST:
        print(f"Together they are above {LARGEST:,} bytes.")
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    sys.exit(main())
