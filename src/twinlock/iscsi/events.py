"""What a connection tells its owner."""

from dataclasses import dataclass

from twinlock.iscsi.session import SessionInfo
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import LoginStatus, LogoutReason, TaskManagementFunction

__all__ = [
    "CommandReceived",
    "Discovered",
    "Event",
    "LoggedIn",
    "LoggedOut",
    "PingAnswered",
    "ProtocolFailure",
    "SessionInfo",
    "TaskManagementRequested",
]


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The login is over; its last response waits in the output.

    An owner that must not admit the session says so by ``refuse_session`` before it takes the output.
    """

    session: SessionInfo


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A command with all its data.  It must be completed exactly once, aborted or not."""

    task: Task


@dataclass(frozen=True, slots=True)
class TaskManagementRequested:
    """A task management function, to be answered by ``finish_task_management``.

    ``tasks`` are those among the delivered ones that it aborted; the answer comes once none of them can have
    an effect any more.  Tasks that were not delivered yet are gone already.
    """

    function: TaskManagementFunction
    lun: bytes
    initiator_task_tag: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """The initiator answered the target's ping."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """A discovery session was told of ``target_names``."""

    initiator_name: str
    target_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The initiator ended the session: send the output, then close."""

    reason: LogoutReason


@dataclass(frozen=True, slots=True)
class ProtocolFailure:
    """The connection cannot go on: send the output, then close.  ``status`` if it was a login that failed."""

    reason: str
    status: LoginStatus | None = None


Event = (
    LoggedIn
    | CommandReceived
    | TaskManagementRequested
    | PingAnswered
    | Discovered
    | LoggedOut
    | ProtocolFailure
)
