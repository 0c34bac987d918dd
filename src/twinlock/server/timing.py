"""Time as the sessions see it; a test brings its own."""

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A clock, and waiting by it."""

    def now(self) -> float:
        """Seconds since some moment; never goes back."""

    def wait_for(self, condition: threading.Condition, predicate: Callable[[], bool], seconds: float) -> bool:
        """As ``condition.wait_for``, with ``condition`` held; returns what ``predicate`` says at the end."""


class SystemTimer:
    """The machine's own time."""

    def now(self) -> float:
        """See :class:`Timer`."""
        return time.monotonic()

    def wait_for(self, condition: threading.Condition, predicate: Callable[[], bool], seconds: float) -> bool:
        """See :class:`Timer`."""
        return condition.wait_for(predicate, seconds)


SYSTEM_TIMER = SystemTimer()
