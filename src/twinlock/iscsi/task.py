"""A SCSI command on its way through the target, and the table of its life."""

from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import Buffer

from twinlock.iscsi.machine import StateMachine
from twinlock.wire.iscsi_codes import TaskAttribute


class TaskState(StrEnum):
    """Where a task is."""

    GATHERING = "gathering"
    """Its data are on their way."""
    WAITING = "waiting"
    """It is complete, but an older task goes first."""
    DELIVERED = "delivered"
    """The owner carries it out."""
    ABORTED = "aborted"
    """The owner has it still, but nobody waits for its end."""
    ANSWERED = "answered"
    """It is over, and the initiator is told."""
    GONE = "gone"
    """It is over, in silence."""


class TaskEvent(StrEnum):
    """What happens to a task."""

    READY = "data complete, its turn"
    BLOCKED = "data complete, not its turn"
    FAULTY = "data wrong"
    ABORTED = "abort"
    COMPLETED = "completed by the owner"


class TaskAction(StrEnum):
    """What is to be done."""

    NONE = ""
    DELIVER = "deliver"
    ANSWER = "answer"
    FORGET = "forget"
    MISUSE = "raise ValueError"


TASK = StateMachine(
    "The life of a task",
    "RFC 7143 sections 4.2.3 and 11.5, SAM-5 section 8",
    states=TaskState,
    events=TaskEvent,
    arrows={
        (TaskState.GATHERING, TaskEvent.READY): (TaskState.DELIVERED, TaskAction.DELIVER),
        (TaskState.GATHERING, TaskEvent.BLOCKED): (TaskState.WAITING, TaskAction.NONE),
        (TaskState.GATHERING, TaskEvent.FAULTY): (TaskState.ANSWERED, TaskAction.ANSWER),
        (TaskState.GATHERING, TaskEvent.ABORTED): (TaskState.GONE, TaskAction.FORGET),
        (TaskState.WAITING, TaskEvent.READY): (TaskState.DELIVERED, TaskAction.DELIVER),
        (TaskState.WAITING, TaskEvent.ABORTED): (TaskState.GONE, TaskAction.FORGET),
        (TaskState.DELIVERED, TaskEvent.COMPLETED): (TaskState.ANSWERED, TaskAction.ANSWER),
        (TaskState.DELIVERED, TaskEvent.ABORTED): (TaskState.ABORTED, TaskAction.NONE),
        (TaskState.ABORTED, TaskEvent.COMPLETED): (TaskState.GONE, TaskAction.FORGET),
        (TaskState.ABORTED, TaskEvent.ABORTED): (TaskState.ABORTED, TaskAction.NONE),
    },
    otherwise=(None, TaskAction.MISUSE),
    final=(TaskState.ANSWERED, TaskState.GONE),
)
_STEPS = TASK.steps
_ABORTED, _GONE = TaskState.ABORTED, TaskState.GONE  # looking up a member costs as much as a call


@dataclass(slots=True, eq=False)
class Task:
    """One command; equal only to itself, since tags come again.  The owner changes nothing in it."""

    initiator_task_tag: int
    lun: bytes
    """8 bytes (SAM-5, LUN structure), in the one form by which units are told apart."""
    cdb: bytes
    """16 bytes (a shorter CDB is followed by zeros), or more for an extended one."""
    attribute: TaskAttribute
    immediate: bool
    read: bool
    write: bool
    expected_length: int
    """Bytes the initiator expects to move; 0 if it expects no data."""
    lun_as_sent: bytes = bytes(8)
    """The LUN in the initiator's own form, which PDUs of the task repeat."""
    data_out: Buffer = b""
    """All of the initiator's data, gathered."""
    data_withheld: bool = False
    """The write is longer than ``limits.TRANSFER_LENGTH``: its data are not taken, it must be refused."""
    state: TaskState = TaskState.GATHERING
    age: int = 0
    """Its number in the order in which the tasks of the session came."""
    pdu_count: int = 0
    """Data-In and R2T PDUs sent so far: DataSN, R2TSN and at the end ExpDataSN (RFC 7143 section 11.4.8)."""
    waiting: int = 0
    """PDUs of the task that are queued and not yet taken."""

    @property
    def aborted(self) -> bool:
        """By task management, another session or the end of the connection.

        What has not begun need not begin, and the completion, which is still owed, will not be sent.
        """
        return self.state is _ABORTED or self.state is _GONE

    def happens(self, event: TaskEvent) -> TaskAction:
        """Take the step, and say what is to be done; ValueError if it makes no sense."""
        following, action = _STEPS[self.state, event]
        if action is TaskAction.MISUSE:
            raise ValueError(f"{event} for a task that is {self.state}")
        self.state = following
        return action
