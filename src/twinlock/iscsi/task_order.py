"""Which task may start: the task attributes (SAM-5, task attributes; RFC 7143 section 11.3.1).

A SIMPLE task may start in any order with its like, but not before older ORDERED and
HEAD OF QUEUE tasks have ended.  An ORDERED task waits for everything older.  A HEAD OF
QUEUE task waits for nothing.  "Older" goes by CmdSN and covers the session, all its
logical units: more than SAM asks for, which hurts nobody, since initiators send SIMPLE.
Tasks of other sessions are not ordered against.
"""

from collections.abc import Collection, Sequence

from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import TaskAttribute

_BARRIERS = (TaskAttribute.ORDERED, TaskAttribute.HEAD_OF_QUEUE)


class TaskOrder:
    """The unfinished tasks of a session, whose number the command window bounds.

    As long as there is no barrier among them, only their number is kept.
    """

    def __init__(self) -> None:
        self._youngest = 0
        self._unfinished = 0
        self._barriers: dict[Task, int] = {}
        """The ORDERED and HEAD OF QUEUE tasks, oldest first; and how many older tasks are unfinished."""
        self._blocked: list[Task] = []

    def start(self, task: Task) -> None:
        """A task has come, the youngest of all."""
        task.age = self._youngest = self._youngest + 1
        if task.attribute in _BARRIERS:
            self._barriers[task] = self._unfinished
        self._unfinished += 1

    def may_start(self, task: Task) -> bool:
        """Whether no older task stands in its way; if one does, it comes out of :meth:`finish` later."""
        if not self._barriers or self._is_free(task):
            return True
        self._blocked.append(task)
        return False

    def _is_free(self, task: Task) -> bool:
        if task.attribute is TaskAttribute.HEAD_OF_QUEUE:
            return True
        if task.attribute is TaskAttribute.ORDERED:
            return self._barriers[task] == 0
        return next(iter(self._barriers)).age > task.age

    def finish(self, tasks: Collection[Task]) -> Sequence[Task]:
        """Tasks have ended, with all their effects; those that may start now, oldest first."""
        self._unfinished -= len(tasks)
        if not self._barriers:
            return ()
        for task in tasks:
            self._barriers.pop(task, None)
            for barrier in self._barriers:
                self._barriers[barrier] -= barrier.age > task.age
        waiting = sorted(set(self._blocked).difference(tasks), key=lambda task: task.age)
        self._blocked = []
        return [task for task in waiting if self.may_start(task)]
