"""How fast the work in the background may go, so that the initiator does not notice it.

While the initiator is at work, only the minimum rate: enough for the work to end some day.
While it rests, up to the maximum, or as fast as the members can.  md's ``speed_limit_min`` and
``speed_limit_max`` mean the same.
"""

from collections.abc import Callable

from twinlock.units import MIB

MINIMUM = 10 * MIB
"""Bytes per second, unless told otherwise: 1 TiB in 30 hours, for a seek of a disk every 100 ms."""
BUSY = 1.0
"""Seconds after a command of the initiator for which it counts as being at work."""
LONGEST = 0.5
"""Seconds after which to ask again, for the initiator may rest by then."""
SHORTEST = 0.001
"""Seconds that are not worth waiting for."""


class Pace:
    """Tells when the next piece may be copied.  One caller at a time.

    ``minimum`` and ``maximum`` are bytes per second (None: the usual minimum, no maximum); a minimum of 0:
    stand still while the initiator is at work.  A maximum below the minimum counts for both.  ``clock``
    gives seconds.
    """

    def __init__(
        self, clock: Callable[[], float], minimum: int | None = None, maximum: int | None = None
    ) -> None:
        self._clock = clock
        self.told = minimum is not None or maximum is not None
        """True if somebody asked for these rates: no piece is begun before the last one is paid for."""
        self._maximum = maximum
        least = MINIMUM if minimum is None else minimum
        self._minimum = least if maximum is None else min(least, maximum)
        self._owed = 0.0
        self._asked_at = clock()
        self._seen: int | None = None
        self._busy_until: float | None = None

    def note(self, copied: int) -> None:
        """So many bytes of the array were copied, or compared; what was passed over is free."""
        self._owed += copied

    def wait(self, foreground: int) -> float:
        """Seconds until the next piece is due, at most half a second; 0.0: now.

        ``foreground`` is how many commands the initiator has sent so far.
        """
        now = self._clock()
        rate = self._rate(foreground, now)
        passed, self._asked_at = max(0.0, now - self._asked_at), now
        if rate is None:
            self._owed = 0.0
            return 0.0
        self._owed = max(0.0, self._owed - passed * rate)
        if not rate:
            return LONGEST
        wait = self._owed / rate
        return 0.0 if wait < SHORTEST else min(wait, LONGEST)

    def _rate(self, foreground: int, now: float) -> float | None:
        return self._minimum if self._is_busy(foreground, now) else self._maximum

    def _is_busy(self, foreground: int, now: float) -> bool:
        if self._seen is not None and foreground != self._seen:
            self._busy_until = now + BUSY
        self._seen = foreground
        if self._busy_until is not None and not 0 < self._busy_until - now <= BUSY:
            self._busy_until = None  # over, or the clock was set back
        return self._busy_until is not None
