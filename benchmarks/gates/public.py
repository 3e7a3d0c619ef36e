"""A public server gets the messages of every button that a private one shows.

    python -m benchmarks.gates.public [--quick]

A client without a browser collects the buttons of all pages of a private server, then sends their
ids to a public server, from every page, alone and together. It fails if anything of the public
server's data changes, a process starts, an exception or a path of the machine is shown. As a
control, the private server gets some of the same messages: its data must change.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.gates.session import serve
from benchmarks.revision import revision

ROOT = Path(__file__).parents[2]
PAGES = (
    "forecast", "compare", "what_if", "watchlist", "forecasts", "track_record", "backtest",
    "synthetic", "training", "models",
)  # fmt: skip
CONTROL = ("run", "train_start", "walk_start", "watch_run_button")
"""Keys of buttons that change the data of a private server."""
PATIENCE_SECONDS = 60.0
SETTLE_SECONDS = 5.0


class Visitor:
    """A session that sends what it likes.

    Args:
        stream: Its connection.

    Attributes:
        buttons: Ids of the buttons that the server has shown, by their keys.
        said: All text of the messages.
        errors: Exceptions that the pages showed.
    """

    def __init__(self, stream: ClientConnection) -> None:
        self._stream = stream
        self.buttons: dict[str, str] = {}
        self.said = ""
        self.errors: list[str] = []

    def run(self, page: str, pressed: Sequence[str] = ()) -> None:
        """Run a page as if these buttons, by their ids, were pressed."""
        message = BackMsg()
        message.rerun_script.page_name = page
        for button in pressed:
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.trigger_value = button, True
        self._stream.send(message.SerializeToString())
        has_finished = False
        while not has_finished:
            answer = ForwardMsg()
            answer.ParseFromString(bytes(self._stream.recv(PATIENCE_SECONDS)))  # type: ignore[arg-type]
            has_finished = answer.WhichOneof("type") == "script_finished"
            element = answer.delta.new_element
            kind = element.WhichOneof("type")
            if kind not in ("plotly_chart", "arrow_data_frame", "bidi_component"):
                self.said += str(element)
            if kind == "button":
                self.buttons[element.button.id.split("-", 2)[-1]] = element.button.id
            elif kind == "exception":
                self.errors.append(f"{page}: {element.exception.message}")


@contextmanager
def visitor(url: str, page: str) -> Iterator[Visitor]:
    """A session on a page."""
    stream = connect(
        url.replace("http", "ws") + "/_stcore/stream",
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
    )
    with stream:
        found = Visitor(stream)
        for _ in range(2):  # the first run ends with the order to run the page that it named
            found.run(page)
        yield found


@contextmanager
def server(home: Path, *, public: bool) -> Iterator[tuple[str, psutil.Process]]:
    """A server with folders of its own and without a way to the hub."""
    folders = {"HOME": "", "XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "cache", "HF_HOME": "hub"}
    environment = {
        **os.environ,
        **{name: str(home / folder) for name, folder in folders.items()},
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "KRONOS_PUBLIC": str(public),
    }
    with serve(environment, home / "server.log") as (url, process):
        yield url, psutil.Process(process.pid)


def data_of(home: Path) -> dict[str, int]:
    """Files of the server with their sizes, and the rows of its store. Caches do not count."""
    found = {
        str(path.relative_to(home)): path.stat().st_size
        for part in ("data", "hub")
        for path in (home / part).rglob("*")
        if path.is_file() and ".sqlite3" not in path.name
    }
    for store in (home / "data").rglob("*.sqlite3"):
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as opened:
            # An empty store is made when the server first looks for forecasts to score.
            listed = (
                "select name from sqlite_master where type = 'table' "
                "and name <> 'kronos_store_version'"
            )
            for (table,) in opened.execute(listed).fetchall():
                counted = opened.execute(f'select count(*) from "{table}"').fetchone()[0]
                found[f"rows of {table}"] = counted
    return {name: size for name, size in found.items() if size}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the gate; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a trial of some seconds")
    parser.add_argument("--combinations", type=int, default=700, help="messages of many buttons")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        homes = [Path(folder, name) for name in ("private", "public")]
        for home in homes:
            home.mkdir()
        buttons = _control(homes[0])
        return _attack(homes[1], buttons, rng, quick=args.quick, n_combined=args.combinations)


def _control(home: Path) -> dict[str, str]:
    """The buttons of a private server, by page and key; some of them are pressed there."""
    found: dict[str, str] = {}
    with server(home, public=False) as (url, process):
        before = data_of(home)
        for page in PAGES:
            with visitor(url, page) as seen:
                time.sleep(1)  # until what is read in the background is there
                seen.run(page)
                for key in CONTROL:
                    if key in seen.buttons:
                        seen.run(page, [seen.buttons[key]])
                        time.sleep(1)
                        seen.run(page)
                # A form without its fields is no button of administrators, and raises an error.
                found |= {
                    f"{page} {key}": each
                    for key, each in seen.buttons.items()
                    if not key.startswith("FormSubmitter")
                }
        time.sleep(SETTLE_SECONDS)
        changed = data_of(home)
        children = _started(process)
    print(f"private server: {len(found)} buttons; {len(changed)} facts of its data after "
          f"{len(before)} before; {len(children)} process(es) started")  # fmt: skip
    if changed == before or not children:
        raise SystemExit("The control changed nothing: the gate would prove nothing.")
    return found


def _started(server: psutil.Process) -> list[psutil.Process]:
    """Processes of a server beside the reader of files, which every server has ready."""
    children = server.children(recursive=True)
    return [each for each in children if "data_sources.csv.process" not in each.cmdline()]


def _attack(
    home: Path, buttons: dict[str, str], rng: random.Random, *, quick: bool, n_combined: int
) -> int:
    ids = sorted(set(buttons.values()))
    failures: list[str] = []
    n_tried, slowest = 0, 0.0
    paths = [str(home), str(ROOT)]
    with server(home, public=True) as (url, process):
        for page in PAGES:
            with visitor(url, page):
                pass
        before = data_of(home)
        for page in PAGES:
            alone = [[each] for each in (rng.sample(ids, min(5, len(ids))) if quick else ids)]
            n_here = 5 if quick else n_combined // len(PAGES)
            combined = [rng.sample(ids, rng.randint(2, len(ids))) for _ in range(n_here)]
            with visitor(url, page) as seen:
                for pressed in [*alone, *combined, ids]:
                    began = time.perf_counter()
                    seen.run(page, pressed)
                    slowest = max(slowest, time.perf_counter() - began)
                    n_tried += 1
                failures += seen.errors
                failures += [f"{page} shows {path}" for path in paths if path in seen.said]
        time.sleep(SETTLE_SECONDS)
        children = _started(process)
        memory = process.memory_info().rss / 1e6
    if data_of(home) != before:
        failures.append(f"data changed: {sorted(data_of(home).items() ^ before.items())[:5]}")
    failures += [f"a process started: {child}" for child in children]
    for failure in failures[:20]:
        print(f"  {failure}")
    print(f"messages {n_tried:,} of {len(ids)} buttons; failures {len(failures)}")
    print(f"slowest {slowest:.1f} s; memory of the server {memory:,.0f} MB")
    print(f"revision {revision()}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
