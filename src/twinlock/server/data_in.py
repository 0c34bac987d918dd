"""Bounds the memory of what a connection reads for its initiator.

While the initiator does not take what it asked for, further reads do not begin:
they wait here, in order, in nobody's thread.  Commands without data-in pass by.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from twinlock.iscsi.task import Task
from twinlock.scsi.operations import Read
from twinlock.units import MIB

UNSENT_OUTPUT = 8 * MIB
"""Bytes of output that wait to be sent above which no read begins."""
DATA_IN_MEMORY = 64 * MIB
"""Bytes of output that waits and of reads that have begun.

A whole window of commands of 512 KiB has room: reads that wait for a slow disk hold up no others.
"""


class Waiting(NamedTuple):
    """A command whose turn has not come."""

    task: Task
    operation: Read


class DataIn:
    """The reads of one connection.  Calls must not overlap; ``unsent`` are the bytes of its output."""

    def __init__(self) -> None:
        self._begun: dict[Task, int] = {}
        self._begun_size = 0
        self._waiting: deque[Waiting] = deque()

    def has_room(self, operation: Read, unsent: int) -> bool:
        """True if a read may begin.  May be asked at any time; the answer is that of the moment."""
        return not self._waiting and self._fits(operation, unsent)

    def begin(self, task: Task, operation: Read, unsent: int) -> bool:
        """True if the command may begin, and go on until :meth:`end`; else it waits."""
        if not self.has_room(operation, unsent):
            self._waiting.append(Waiting(task, operation))
            return False
        self._reserve(task, operation.length)
        return True

    def end(self, task: Task) -> None:
        """The command is over; its data, if any, are output now."""
        self._begun_size -= self._begun.pop(task, 0)

    def can_begin(self, unsent: int) -> bool:
        """True if :meth:`next` has something."""
        return bool(self._waiting) and self._fits(self._waiting[0].operation, unsent)

    def next(self, unsent: int) -> Waiting | None:
        """The next command that waited and may begin now, if there is one."""
        if not self.can_begin(unsent):
            return None
        waiting = self._waiting.popleft()
        self._reserve(waiting.task, waiting.operation.length)
        return waiting

    def drop(self, affected: Callable[[Task], bool]) -> list[Task]:
        """Take the affected commands out of those that wait; they are over."""
        dropped = [waiting.task for waiting in self._waiting if affected(waiting.task)]
        if dropped:
            gone = set(dropped)
            self._waiting = deque(waiting for waiting in self._waiting if waiting.task not in gone)
        return dropped

    def _reserve(self, task: Task, size: int) -> None:
        self._begun[task] = size
        self._begun_size += size

    def _fits(self, operation: Read, unsent: int) -> bool:
        """However long, a read can begin when there is nothing else."""
        used = unsent + self._begun_size
        return used == 0 or (unsent < UNSENT_OUTPUT and used + operation.length <= DATA_IN_MEMORY)
