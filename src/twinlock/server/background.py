"""Drives what the mirror does on the side: resync, clearing of the bitmap, marking clean."""

import logging
import threading
from collections.abc import Callable

IDLE_SECONDS = 1.0
"""Between two looks when there was nothing to do."""

log = logging.getLogger(__name__)


class Background:
    """Calls ``step`` in a thread of its own; ``step`` returns True while there is more to do at once."""

    def __init__(self, step: Callable[[], bool]) -> None:
        self._step = step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Return once no step runs any more, nor will."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = 0.0 if self._step() else IDLE_SECONDS
            except Exception:
                log.exception("background work failed")
                pause = IDLE_SECONDS
