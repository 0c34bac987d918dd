"""Who may change which bytes: many writers at once, but nobody beside a COMPARE AND WRITE.

Commands that read, decide and write take their range for themselves; all others that change the
medium share theirs, and the mirror orders those that overlap.  Every change is entered
here, also while nobody wants a range alone: who asked for one must know whom to wait for.
That costs a lock and a dictionary entry, and no search.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class Exclusion:
    """Ranges of bytes, held in the order of arrival where they overlap and one of them is held alone.

    Nobody overtakes, so nobody starves.  Thread-safe; a thread holds one range at a time.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._entries: dict[int, tuple[int, int, bool]] = {}  # by ticket: start, end, alone
        self._tickets = 0
        self._alone = 0
        self._waiting = 0

    @contextmanager
    def shared(self, offset: int, length: int) -> Iterator[None]:
        """Hold the range together with others that share it."""
        ticket = self._enter(offset, length, alone=False)
        try:
            yield
        finally:
            self.leave(ticket)

    @contextmanager
    def alone(self, offset: int, length: int) -> Iterator[None]:
        """Hold the range against everybody else."""
        ticket = self._enter(offset, length, alone=True)
        try:
            yield
        finally:
            self.leave(ticket)

    def try_share(self, offset: int, length: int) -> int | None:
        """A ticket for the range, to be given to :meth:`leave`; None if somebody would have to be awaited."""
        with self._lock:
            ticket = self._add(offset, length, alone=False)
            if self._alone and self._is_blocked(ticket):
                del self._entries[ticket]
                return None
            return ticket

    def leave(self, ticket: int) -> None:
        """Let go."""
        with self._lock:
            self._alone -= self._entries.pop(ticket)[2]
            if self._waiting:
                self._changed.notify_all()

    def _enter(self, offset: int, length: int, *, alone: bool) -> int:
        with self._lock:
            ticket = self._add(offset, length, alone=alone)
            while self._alone and self._is_blocked(ticket):
                self._waiting += 1
                self._changed.wait()
                self._waiting -= 1
            return ticket

    def _add(self, offset: int, length: int, *, alone: bool) -> int:
        self._tickets = ticket = self._tickets + 1
        self._entries[ticket] = (offset, offset + length, alone)
        self._alone += alone
        return ticket

    def _is_blocked(self, ticket: int) -> bool:
        """Whether an earlier entry is in the way; a dictionary keeps the order of arrival."""
        start, end, alone = self._entries[ticket]
        for other, (other_start, other_end, other_alone) in self._entries.items():
            if other == ticket:
                return False
            if (alone or other_alone) and other_start < end and start < other_end:
                return True
        return False
