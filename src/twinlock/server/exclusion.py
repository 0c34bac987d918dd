"""Who may change which bytes: many writers at once, but nobody beside a COMPARE AND WRITE.

Commands that read, decide and write take their range for themselves; all others that change the
medium share theirs, and the mirror orders those that overlap.  Every change is entered
here, also while nobody wants a range alone: who asked for one must know whom to wait for.

That is on the way of every write, so it costs a dictionary entry, and neither a lock nor a search.  It is
safe because each side first shows itself, and then looks for the other: who shares enters the
range before it asks whether anybody is alone, and who wants to be alone says so before it looks
at the ranges.  At least one of them sees the other.  (Single steps of a dictionary or a set are
not interrupted, and are seen by all threads in one order: the interpreter's lock is why.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from threading import Condition


class Exclusion:
    """Ranges of bytes, held in the order of arrival where they overlap and one of them is held alone.

    Nobody overtakes, so nobody starves.  Thread-safe; a thread holds one range at a time.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[int, int]] = {}  # by ticket, in the order of arrival: start, end
        self._alone: set[int] = set()  # the tickets of those who are, or wait for it
        self._tickets = count()
        self._changed = Condition()
        self._waiting = 0  # changed while holding the condition, before looking whom to wait for

    @contextmanager
    def shared(self, offset: int, length: int) -> Iterator[None]:
        """Hold the range together with others that share it."""
        ticket = next(self._tickets)
        self._entries[ticket] = (offset, offset + length)
        if self._alone:
            self._wait(ticket)
        try:
            yield
        finally:
            self.leave(ticket)

    @contextmanager
    def alone(self, offset: int, length: int) -> Iterator[None]:
        """Hold the range against everybody else."""
        ticket = next(self._tickets)
        self._alone.add(ticket)
        self._entries[ticket] = (offset, offset + length)
        self._wait(ticket)
        try:
            yield
        finally:
            self.leave(ticket)

    def try_share(self, offset: int, length: int) -> int | None:
        """A ticket for the range, to be given to :meth:`leave`; None if somebody would have to be awaited."""
        ticket = next(self._tickets)
        self._entries[ticket] = (offset, offset + length)
        if self._alone and self._is_blocked(ticket):
            self.leave(ticket)
            return None
        return ticket

    def leave(self, ticket: int) -> None:
        """Let go."""
        del self._entries[ticket]
        if self._alone:
            self._alone.discard(ticket)
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def _wait(self, ticket: int) -> None:
        with self._changed:
            self._waiting += 1
            while self._is_blocked(ticket):
                self._changed.wait()
            self._waiting -= 1

    def _is_blocked(self, ticket: int) -> bool:
        """Whether an earlier entry is in the way; a dictionary keeps the order of arrival."""
        start, end = self._entries[ticket]
        alone = ticket in self._alone
        for other, (other_start, other_end) in self._entries.copy().items():
            if other == ticket:
                return False
            if other_start < end and start < other_end and (alone or other in self._alone):
                return True
        return False
