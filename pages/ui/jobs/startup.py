"""The work of a server before its first visitor: the opening forecast, then the scorer.

Imports wait for it too, as they would delay the server.
"""

from __future__ import annotations

import logging
import threading

from kronos.errors import KronosError
from kronos.serving.torch_setup import prepare_torch
from pages.ui.jobs.startup_cache import is_filled

logger = logging.getLogger(__name__)


def prepare_first_visit() -> None:
    """Prepare the opening forecast, start the scorer and the first reader of uploads."""
    # torch takes longest to import, so it begins first; a cached forecast does not need it.
    if not is_filled():
        threading.Thread(target=prepare_torch, name="torch", daemon=True).start()
    from pages.ui.jobs.opening import serve_opening

    try:
        serve_opening()
    except KronosError as error:
        # The page shows the same error to a visitor who requests this forecast.
        logger.warning("The opening forecast could not be prepared: %s", error)
    from pages.ui.jobs.queues import readings
    from pages.ui.jobs.scoring import scorer

    scorer()
    readings().warm()
