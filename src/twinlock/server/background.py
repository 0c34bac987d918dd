"""Drives what the array does on the side: resync, checksums, scrub, clearing of the bitmap, marking clean."""

import logging
import threading
from collections.abc import Callable

LONGEST_SECONDS = 1.0
"""Between two looks: what comes to be due meanwhile waits no longer than this."""

log = logging.getLogger(__name__)


class Background:
    """Calls ``step`` in a thread of its own; it returns for how many seconds it is not needed again."""

    def __init__(self, step: Callable[[], float]) -> None:
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
                pause = min(self._step(), LONGEST_SECONDS)
            except Exception:
                log.exception("background work failed")
                pause = LONGEST_SECONDS
