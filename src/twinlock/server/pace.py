"""Whether the device keeps up with writes, so that one can be done at once and not in another thread.

No system call writes only if that needs no waiting.  But a write goes into the page cache
in microseconds, unless the disk is behind: then the one before was slow, or is still being
waited for, or a flush is.
"""

import time

SLOW_WRITE = 0.005
"""Seconds after which a write counts as slow."""
CAUTION = 1.0
"""Seconds after a slow write for which none is done at once."""
_LONG_AGO = 0.0


class Pace:
    """What changes the medium now, and how that went lately.  Thread-safe."""

    def __init__(self) -> None:
        self._under_way: dict[object, float] = {}
        self._cautious_until = 0.0

    def begin(self, *, lasting: bool = False) -> object:
        """A write begins, or something that may take long by its nature; returns what :meth:`end` takes."""
        turn = object()
        self._under_way[turn] = _LONG_AGO if lasting else time.monotonic()
        return turn

    def end(self, turn: object) -> None:
        """It is over."""
        started, now = self._under_way.pop(turn), time.monotonic()
        if started is not _LONG_AGO and now - started > SLOW_WRITE:
            self._cautious_until = now + CAUTION

    def try_begin(self) -> object | None:
        """As :meth:`begin`, if a write will most likely not have to wait; else None."""
        now = time.monotonic()
        if now < self._cautious_until or (self._under_way and self._is_behind(now)):
            return None
        turn = object()
        self._under_way[turn] = now
        return turn

    def _is_behind(self, now: float) -> bool:
        # a copy is made in one step; an iterator would notice writes that begin or end meanwhile
        return now - min(self._under_way.copy().values(), default=now) > SLOW_WRITE
