"""The commands of one session that are being carried out: what may begin, and what waits for their end.

A command begins before anything is done for it and ends when it can have no
effect any more.  Whoever aborts marks the tasks first and looks here second, so a
command either is seen here or sees that it was aborted: none slips through.
"""

import threading
from collections.abc import Callable

from twinlock.iscsi.task import Task

Action = Callable[[], None]
Affected = Callable[[Task], bool]


class InFlight:
    """Nobody sits in a thread to wait: what has to follow runs in the thread that ends the last command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._running: set[Task] = set()
        self._waiting: list[tuple[set[Task], Action]] = []
        self._following = 0
        """Threads that run what waited for a command they ended."""
        self._fenced = False

    def begin(self, task: Task) -> bool:
        """Whether the command may be carried out: not if it was aborted, nor behind the fence."""
        with self._lock:
            if self._fenced or task.aborted:
                return False
            self._running.add(task)
            return True

    def end(self, task: Task) -> None:
        """The command can have no effect any more; runs what waited for just that."""
        with self._lock:
            self._running.discard(task)
            due = self._take_due(task) if self._waiting else []
            if due:
                self._following += 1
            elif self._fenced:
                self._notify_if_quiet()
        if due:
            self._follow(due)

    def _follow(self, due: list[Action]) -> None:
        try:
            for action in due:
                action()
        finally:
            with self._lock:
                self._following -= 1
                self._notify_if_quiet()

    def _notify_if_quiet(self) -> None:
        if self._is_quiet():
            self._quiet.notify_all()

    def _is_quiet(self) -> bool:
        return not self._running and not self._following

    def _take_due(self, task: Task) -> list[Action]:
        for awaited, _ in self._waiting:
            awaited.discard(task)
        due = [action for awaited, action in self._waiting if not awaited]
        self._waiting = [(awaited, action) for awaited, action in self._waiting if awaited]
        return due

    def when_ended(self, affected: Affected, action: Action) -> None:
        """Run ``action`` once every affected command that is being carried out now has ended."""
        with self._lock:
            awaited = {task for task in self._running if affected(task)}
            if awaited:
                self._waiting.append((awaited, action))
                return
        action()

    def fence(self) -> None:
        """From now on no command begins."""
        with self._lock:
            self._fenced = True

    def wait_until_quiet(self) -> None:
        """Behind the fence: return once every command has ended, and all has run that waited for that.

        So a task management function is answered before the logout that ends the session.
        """
        with self._quiet:
            self._quiet.wait_for(self._is_quiet)
