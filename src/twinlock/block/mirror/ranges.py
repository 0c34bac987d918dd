"""Locks on ranges of bytes: what overlaps waits its turn, what does not passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class RangeLock:
    """Overlapping ranges are held one after the other, in the order of their arrival.

    Later ones also wait for those that wait before them, so nobody starves and nothing
    overtakes.  Thread-safe; not reentrant.
    """

    def __init__(self) -> None:
        self._queue: list[tuple[int, int]] = []
        self._waiting = 0
        self._changed = Condition()

    @contextmanager
    def hold(self, start: int, end: int) -> Iterator[None]:
        """Hold the bytes from ``start`` up to ``end`` for the time of the block."""
        entry = self.acquire(start, end)
        try:
            yield
        finally:
            self.release(entry)

    def acquire(self, start: int, end: int) -> tuple[int, int]:
        """Wait for the range, and hold it until the returned entry is released."""
        entry = (start, end)
        with self._changed:
            queue = self._queue
            queue.append(entry)
            while self._blocked(entry):
                self._waiting += 1
                self._changed.wait()
                self._waiting -= 1
        return entry

    def release(self, entry: tuple[int, int]) -> None:
        """Let go."""
        with self._changed:
            for index, held in enumerate(self._queue):
                if held is entry:
                    del self._queue[index]
                    break
            if self._waiting:
                self._changed.notify_all()

    def _blocked(self, entry: tuple[int, int]) -> bool:
        start, end = entry
        for other in self._queue:
            if other is entry:
                return False
            if other[0] < end and start < other[1]:
                return True
        return False
