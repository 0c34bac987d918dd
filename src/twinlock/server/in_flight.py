"""The commands of one connection that the pool is carrying out, and what waits for their end."""

import threading
from collections.abc import Callable

from twinlock.iscsi.task import Task

MAX_WAITING = 16
"""Task management functions that may wait at once; no initiator has more than one or two."""

Action = Callable[[], None]


class InFlight:
    """Nobody sits in a thread to wait: what has to follow runs in the thread that ends the last command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._running: set[Task] = set()
        self._waiting: list[tuple[set[Task], Action]] = []
        self._acting = 0

    def begin(self, task: Task) -> None:
        """A command goes to the pool."""
        with self._lock:
            self._running.add(task)

    def end(self, task: Task) -> None:
        """The command can have no effect any more; runs what waited for just that."""
        with self._lock:
            self._running.discard(task)
            for awaited, _ in self._waiting:
                awaited.discard(task)
            due = [action for awaited, action in self._waiting if not awaited]
            self._waiting = [(awaited, action) for awaited, action in self._waiting if awaited]
            self._acting += len(due)
            self._quiet.notify_all()
        self._act(due)

    def when_ended(self, action: Action) -> bool:
        """Run ``action`` once all that is in flight now has ended; False if too many wait already."""
        with self._lock:
            if self._running:
                if len(self._waiting) >= MAX_WAITING:
                    return False
                self._waiting.append((set(self._running), action))
                return True
            self._acting += 1
        self._act([action])
        return True

    def wait_until_quiet(self) -> None:
        """Return once no command is in flight and nothing waits for one."""
        with self._quiet:
            self._quiet.wait_for(lambda: not self._running and not self._waiting and not self._acting)

    def _act(self, due: list[Action]) -> None:
        for action in due:
            try:
                action()
            finally:
                with self._quiet:
                    self._acting -= 1
                    self._quiet.notify_all()
