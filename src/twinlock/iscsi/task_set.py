"""The tasks of a session, from their arrival to their completion."""

from collections.abc import Callable

from twinlock.iscsi import limits
from twinlock.iscsi.sequence import CommandWindow
from twinlock.iscsi.task import Task


class TaskSet:
    """Tasks by their tag; each, unless immediate, occupies a slot of the command window until it ends."""

    def __init__(self, window: CommandWindow) -> None:
        self._window = window
        self._tasks: dict[int, Task] = {}
        self._immediate = 0

    def __contains__(self, initiator_task_tag: int) -> bool:
        return initiator_task_tag in self._tasks

    @property
    def immediate_full(self) -> bool:
        """No more tasks for immediate delivery are accepted now."""
        return self._immediate >= limits.IMMEDIATE_TASKS

    def start(self, task: Task) -> None:
        """Add a task whose tag is free."""
        self._tasks[task.initiator_task_tag] = task
        if task.immediate:
            self._immediate += 1
        else:
            self._window.occupy()

    def finish(self, task: Task) -> None:
        """The task is over, and its slot free."""
        if self._tasks.get(task.initiator_task_tag) is task:
            del self._tasks[task.initiator_task_tag]
        if task.immediate:
            self._immediate -= 1
        else:
            self._window.release()

    def remove(self, affected: Callable[[Task], bool]) -> list[Task]:
        """Take the affected tasks out: their tags are free, each keeps its slot until it is finished."""
        removed = [task for task in self._tasks.values() if affected(task)]
        for task in removed:
            del self._tasks[task.initiator_task_tag]
        return removed
