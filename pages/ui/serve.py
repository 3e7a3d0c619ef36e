"""The application as a server: `python -m pages.ui.serve`, with the options of `streamlit run`.

Once the server answers, the engine loads the bundled model and computes the forecast that a first
visitor sees. `streamlit run app.py` works as well, and does this when the first visitor comes.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path

from streamlit import runtime
from streamlit.web import cli

from kronos.errors import KronosError

APP = Path(__file__).resolve().parents[2] / "app.py"
logger = logging.getLogger(__name__)


def main() -> None:
    """Serve until interrupted."""
    threading.Thread(target=_prepare, name="opening", daemon=True).start()
    cli.main(["run", str(APP), *sys.argv[1:]], prog_name="streamlit")


def _prepare() -> None:
    while not runtime.exists():
        time.sleep(0.05)
    # Imported only now: they would hold the server up.
    from pages.ui.opening import prepare_opening

    try:
        prepare_opening()
    except KronosError as error:
        # The page will say the same to whoever asks for this forecast.
        logger.warning("The opening forecast could not be prepared: %s", error)


if __name__ == "__main__":
    main()
