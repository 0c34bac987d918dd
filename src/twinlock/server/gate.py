"""Where logins wait that come from an address from which wrong secrets came."""

import logging
import threading
from collections.abc import Callable

from twinlock.server.throttle import Failures, Throttle
from twinlock.server.timing import SYSTEM_TIMER, Timer

HOLD_SECONDS = 15.0
"""Longest that a login is held back; by then its initiator has given up."""
LOOK_SECONDS = 1.0
"""Between two looks at whether a login that is held back is still there."""

log = logging.getLogger(__name__)


class Gate:
    """A :class:`Throttle` for the threads of one volume's connections.

    How many threads wait here is bounded by the lobby, since none of them belongs to a
    session; an address that was not at fault does not wait.
    """

    def __init__(self, throttle: Throttle, timer: Timer = SYSTEM_TIMER) -> None:
        self._throttle = throttle
        self._timer = timer
        self._changed = threading.Condition()

    def pass_through(self, address: str, is_gone: Callable[[], bool]) -> bool:
        """True when a login from ``address`` may go on; False if it is gone, or has waited too long."""
        until = self._timer.now() + HOLD_SECONDS
        with self._changed:
            while (delay := self._throttle.delay(address)) > 0:
                left = until - self._timer.now()
                if left <= 0 or is_gone():
                    return False
                self._timer.wait_for(self._changed, lambda: False, min(delay, left, LOOK_SECONDS))
        return True

    def failed(self, address: str) -> None:
        """Somebody at ``address`` did not prove who they are."""
        with self._changed:
            self._throttle.failed(address)
            count = next(each.count for each in self._throttle.counts())
        log.warning("a login from %s did not prove who it is (%d so far)", address, count)

    def succeeded(self, address: str) -> None:
        """Somebody at ``address`` proved who they are."""
        with self._changed:
            self._throttle.succeeded(address)

    def source(self, address: str) -> str:
        """What ``address`` counts as among strangers."""
        with self._changed:
            return self._throttle.source(address)

    def counts(self) -> tuple[Failures, ...]:
        """What is remembered, the latest first."""
        with self._changed:
            return self._throttle.counts()
