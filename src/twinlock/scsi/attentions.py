"""Unit attentions: what each initiator must be told before its next command runs (SAM-5).

Each I_T nexus has a queue of its own.  A nexus is known from its first command
on, and then owes itself the news that the unit was powered on; what happens
before concerns it no more.
"""

import threading
from collections import deque
from collections.abc import Iterable

from twinlock.scsi.nexus import Nexus
from twinlock.wire.scsi_sense import SenseCode

RESETS = frozenset(
    {
        SenseCode.POWER_ON_OR_RESET_OCCURRED,
        SenseCode.POWER_ON_OCCURRED,
        SenseCode.BUS_RESET_OCCURRED,
        SenseCode.BUS_DEVICE_RESET_FUNCTION_OCCURRED,
    }
)
"""Told ahead of a reservation conflict; all other conditions after it (SAM-5, status precedence)."""


class UnitAttentions:
    """The queues of one logical unit; safe to use from several threads."""

    def __init__(self, at_first: Iterable[SenseCode] = (SenseCode.POWER_ON_OR_RESET_OCCURRED,)) -> None:
        self._at_first = tuple(at_first)
        self._queues: dict[Nexus, deque[SenseCode]] = {}
        self._lock = threading.Lock()

    def take(self, nexus: Nexus) -> SenseCode | None:
        """The next condition of ``nexus``, which is thereby reported; None if there is nothing to tell."""
        queue = self._queues.get(nexus)
        if queue is not None and not queue:  # nearly always; an empty queue needs no lock
            return None
        with self._lock:
            queue = self._queues.setdefault(nexus, deque(self._at_first))
            return queue.popleft() if queue else None

    def take_reset(self, nexus: Nexus) -> SenseCode | None:
        """As :meth:`take`, if the next condition is one of ``RESETS``."""
        with self._lock:
            queue = self._queues.setdefault(nexus, deque(self._at_first))
            return queue.popleft() if queue and queue[0] in RESETS else None

    def pending(self, nexus: Nexus) -> bool:
        """Whether :meth:`take` has something to tell."""
        queue = self._queues.get(nexus, self._at_first)
        return bool(queue)

    def establish(
        self, code: SenseCode, nexuses: Iterable[Nexus] | None = None, *, but: Nexus | None = None
    ) -> None:
        """Owe ``code`` to the ``nexuses`` (None: to all, ``but`` one) that are known, once however often."""
        with self._lock:
            for nexus in tuple(self._queues) if nexuses is None else nexuses:
                queue = self._queues.get(nexus)
                if queue is not None and code not in queue and nexus != but:
                    queue.append(code)

    def reset(self, code: SenseCode) -> None:
        """As :meth:`establish` for all, but after a reset older news is no news."""
        with self._lock:
            for queue in self._queues.values():
                queue.clear()
                queue.append(code)

    def forget(self, nexus: Nexus) -> None:
        """The session of ``nexus`` ended for good."""
        with self._lock:
            self._queues.pop(nexus, None)
