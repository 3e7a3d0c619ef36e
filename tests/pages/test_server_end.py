"""The end of a real server by SIGTERM: what its pages said waits to be saved is in the store."""

import os

import pytest

from benchmarks.gates.session import Session, run_apart, serve
from kronos.store.store import Store

SEEDS = (21, 22)


async def forecast(url: str, seed: int, n_waiting: int) -> None:
    """Press Run, and wait until the page says how many forecasts wait."""
    async with Session(url) as session:
        await session.open("", f"horizon=4&paths=20&seed={seed}")
        await session.wait_for(lambda seen: "Run" in seen.buttons, 60)
        await session.press("Run")
        said = f"{n_waiting} forecast"
        await session.wait_for(
            lambda seen: any("Not saved:" in text and said in text for text in seen.texts), 60
        )


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_what_waits_to_be_saved_is_in_the_store_after_a_server_is_stopped(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way of the folder of the store")
    path = blocked / "store.sqlite3"
    environment = {**os.environ, "HOME": str(tmp_path), "KRONOS_STORE": str(path)}
    with serve(environment, tmp_path / "server.log") as (url, _):
        for n_waiting, seed in enumerate(SEEDS, 1):
            run_apart(forecast(url, seed, n_waiting))
        blocked.unlink()
        blocked.mkdir()
    with Store(str(path)) as store:
        assert sorted(prediction.seed for prediction in store.predictions()) == list(SEEDS)
    assert "Traceback" not in (tmp_path / "server.log").read_text()
