"""A target without I/O, whose owner's part is played here: in any order, and at any time.

It is what a server does, less sockets and threads: commands go to the SCSI target, operations
to the disk, results to the connection.  When each of them is done is one of the input's choices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fuzz.disk import SharedDisk
from tests.fuzz.oracle.rules import require
from tests.fuzz.setups import (
    MUTUAL_SECRET,
    MUTUAL_USER,
    POLICIES,
    SECRET,
    SIZE,
    USER,
    Directory,
    Setup,
    logical_unit,
    predictable_bytes,
    scsi_target,
)
from tests.support.initiator import Credentials
from twinlock.iscsi import limits
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.events import (
    CommandReceived,
    Discovered,
    Event,
    LoggedIn,
    LoggedOut,
    PingAnswered,
    ProtocolFailure,
    TaskManagementRequested,
)
from twinlock.iscsi.task import Task
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import AbortTasks, Later, Operation, Result, Status
from twinlock.scsi.target import ScsiTarget
from twinlock.server.execute import Executor
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function

MOST_TASKS = limits.COMMAND_WINDOW + limits.IMMEDIATE_TASKS
MOST_GROWTH = 64
"""Entries that sessions of one input may leave in the target: registrations, unit attentions of others."""
CREDENTIALS = {
    "open": None,
    "chap": Credentials(USER, SECRET),
    "mutual": Credentials(USER, SECRET, MUTUAL_USER, MUTUAL_SECRET),
}


@dataclass(frozen=True, slots=True)
class Pending:
    """A task that the owner has still to complete."""

    task: Task
    outcome: Operation | Result


class Shared:
    """What the sessions of a target share."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.unit = logical_unit(setup)
        self.target: ScsiTarget = scsi_target(self.unit)
        self.device = SharedDisk(SIZE, setup.block_size)
        self.executor = Executor(self.unit, self.device)
        self.directory = Directory(POLICIES[setup.policy])

    def carry_out(self, outcome: Operation | Result) -> Result:
        """What came of a command, once it is done."""
        if isinstance(outcome, Later):
            outcome = outcome.run()
        if isinstance(outcome, AbortTasks):  # the neighbour's commands have all ended
            return self.unit.finish(outcome)
        return outcome if isinstance(outcome, Result) else self.executor.execute(outcome)


class Owner:
    """Drives one connection, as a server does."""

    def __init__(self, shared: Shared, *, late: Callable[[], bool]) -> None:
        """``late``: asked whether a command is to be completed later."""
        self._shared = shared
        self._late = late
        self._nexus: Nexus | None = None
        self._delivered: set[Task] = set()
        self.over = False
        self.heard: list[tuple[str, int | None]] = []
        """The kinds of the events, and the task tags of those that have one."""
        self.pending: list[Pending] = []
        self.connection = TargetConnection(
            shared.directory,
            random_bytes=predictable_bytes(),
            tsih=7,
            preferences=shared.setup.preferences,
            discovery_authentication=POLICIES[shared.setup.policy],
        )

    def receive(self, data: bytes) -> None:
        events = self.connection.receive(data)
        for event in events:
            require(not self.over, f"{type(event).__name__} after the end")
            require(type(event) in _EVENTS, f"an unknown event {type(event).__name__}")
            self.heard.append((type(event).__name__, _tag_of(event)))
            _EVENTS[type(event)](self, event)
        require(len(self.pending) <= MOST_TASKS, "more tasks than the command window has room for")

    def output(self) -> bytes:
        """All there is, taken in the portions of the set-up."""
        taken = bytearray()
        while buffers := self.connection.take_output(self._shared.setup.output_at_once):
            taken += b"".join(bytes(buffer) for buffer in buffers)
        require(self.connection.output_size == 0, "output that cannot be taken")
        return bytes(taken)

    # -- events -------------------------------------------------------------------------------------

    def _logged_in(self, event: LoggedIn) -> None:
        session = event.session
        if session.target_name is not None:
            self._nexus = Nexus(session.initiator_name, session.isid)

    def _command(self, event: CommandReceived) -> None:
        task = event.task
        require(task not in self._delivered, "a task that was delivered twice")
        self._delivered.add(task)
        whole = len(memoryview(task.data_out)) == task.expected_length
        require(whole or not task.write or task.data_withheld, "a write whose data are not all there")
        pending = Pending(task, self._start(task))
        if self._late():
            self.pending.append(pending)
        else:
            self._complete(pending)

    def _start(self, task: Task) -> Operation | Result:
        if task.data_withheld:
            return self._shared.executor.refuse_length()
        assert self._nexus is not None
        return self._shared.target.start(self._nexus, task.lun, task.cdb, task.data_out)

    def _complete(self, pending: Pending) -> None:
        result = self._result(pending)
        self.connection.complete(
            pending.task,
            status=result.status,
            data_in=result.data_in,
            sense=result.sense,
            transfer_wanted=result.transfer_wanted,
        )

    def _result(self, pending: Pending) -> Result:
        begun = not isinstance(pending.outcome, Result)
        if begun and (pending.task.aborted or self.over):
            return Result(Status.TASK_ABORTED)
        return self._shared.carry_out(pending.outcome)

    def _task_management(self, event: TaskManagementRequested) -> None:
        """Once all tasks that are meant have ended."""
        require(all(task.aborted for task in event.tasks), "a task that is meant, and was not aborted")
        self.complete(lambda pending: pending.task in event.tasks)
        if event.function in _RESETS:
            _RESETS[event.function](self._shared.target, event.lun)
        self.connection.finish_task_management(event, 0)

    def _end(self, _event: LoggedOut | ProtocolFailure) -> None:
        self.over = True

    # -- of its own accord --------------------------------------------------------------------------

    def complete(self, chosen: Callable[[Pending], bool]) -> None:
        """Complete some of the tasks."""
        due = [pending for pending in self.pending if chosen(pending)]
        self.pending = [pending for pending in self.pending if not chosen(pending)]
        for pending in due:
            self._complete(pending)

    def complete_at(self, index: int) -> None:
        self._complete(self.pending.pop(index))

    def abort(self, affected: Callable[[Task], bool]) -> None:
        """For another session, or for a reservation."""
        aborted = self.connection.abort_tasks(affected)
        self.complete(lambda pending: pending.task in aborted)

    def close(self) -> None:
        """The connection ended: its commands end, its nexus is lost."""
        self.over = True
        self.complete(lambda _pending: True)
        if self._nexus is not None:
            self._shared.target.nexus_lost(self._nexus)


def _tag_of(event: Event) -> int | None:
    if isinstance(event, CommandReceived):
        return event.task.initiator_task_tag
    return event.initiator_task_tag if isinstance(event, TaskManagementRequested) else None


_EVENTS: dict[type[Any], Callable[[Owner, Any], None]] = {
    LoggedIn: Owner._logged_in,
    CommandReceived: Owner._command,
    TaskManagementRequested: Owner._task_management,
    LoggedOut: Owner._end,
    ProtocolFailure: Owner._end,
    PingAnswered: lambda _owner, _event: None,
    Discovered: lambda _owner, _event: None,
}
_RESETS: dict[Function, Callable[[ScsiTarget, bytes], object]] = {
    Function.LOGICAL_UNIT_RESET: lambda target, lun: (target.logical_unit_reset(lun) or bool)(),
    Function.TARGET_WARM_RESET: lambda target, _lun: target.target_reset(cold=False)(),
    Function.TARGET_COLD_RESET: lambda target, _lun: target.target_reset(cold=True)(),
}
