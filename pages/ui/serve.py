"""The application as a server: `python -m pages.ui.serve`, with the options of `streamlit run`.

Once the server answers, the forecast that a first visitor sees is prepared: the kept one, or else
one that the engine computes. `streamlit run app.py` works as well, and does this when the first
visitor comes.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from streamlit import config, runtime
from streamlit.web import cli

from kronos.errors import KronosError
from kronos.torch_setup import prepare_torch
from pages.ui.kept import has_kept

APP = Path(__file__).resolve().parents[2] / "app.py"
SERVER_PATIENCE = 5.0
"""Seconds after which a server that answers elsewhere, by TLS say, is taken to be up."""
logger = logging.getLogger(__name__)


def main() -> None:
    """Serve until interrupted."""
    threading.Thread(target=_prepare, name="opening", daemon=True).start()
    cli.main(["run", str(APP), *sys.argv[1:]], prog_name="streamlit")


def _prepare() -> None:
    _await_server()
    # Only now, for imports would hold the server up. torch's take the longest: they begin first,
    # but not where the forecast is at hand and they would only be in the first visitor's way.
    if not has_kept():
        threading.Thread(target=prepare_torch, name="torch", daemon=True).start()
    from pages.ui.opening import serve_opening

    try:
        serve_opening()
    except KronosError as error:
        # The page will say the same to whoever asks for this forecast.
        logger.warning("The opening forecast could not be prepared: %s", error)
    from pages.ui.services import scorer

    scorer()


def _await_server() -> None:
    """Until the server says that it is healthy, or is not to be reached this way."""
    end = time.monotonic() + SERVER_PATIENCE
    while time.monotonic() < end:
        time.sleep(0.05)
        if not runtime.exists():
            continue
        # Not before: reading an option early makes Streamlit read its settings twice, and say so.
        host = config.get_option("server.address") or "localhost"
        port = config.get_option("server.port")
        connection = http.client.HTTPConnection(host, port, timeout=1)
        with contextlib.suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/_stcore/health")
            if connection.getresponse().status == 200:
                return


if __name__ == "__main__":
    main()
