"""Task management: which tasks a function aborts, and who answers (RFC 7143 sections 11.5 and 11.6).

``_SCOPES`` is the table of functions that abort; the owner answers those, when
the tasks can have no effect any more.  The others are answered here.
"""

from collections.abc import Callable

from twinlock.iscsi.command_order import CommandOrder
from twinlock.iscsi.commands import Commands
from twinlock.iscsi.events import Event, TaskManagementRequested
from twinlock.iscsi.outbox import Outbox
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import TaskManagementFunction, TaskManagementResponse
from twinlock.wire.iscsi_requests import TaskManagementRequest
from twinlock.wire.iscsi_responses import TaskManagementAnswer
from twinlock.wire.scsi_lun import canonical_lun

Affected = Callable[[Task], bool]
Scope = Callable[[TaskManagementRequest], Affected]


def _one_task(header: TaskManagementRequest) -> Affected:
    return lambda task: task.initiator_task_tag == header.referenced_task_tag


def _logical_unit(header: TaskManagementRequest) -> Affected:
    lun = canonical_lun(header.lun)
    return lambda task: task.lun == lun


def _target(_header: TaskManagementRequest) -> Affected:
    return lambda _task: True


_SCOPES: dict[int, Scope] = {
    TaskManagementFunction.ABORT_TASK: _one_task,
    TaskManagementFunction.ABORT_TASK_SET: _logical_unit,
    TaskManagementFunction.CLEAR_TASK_SET: _logical_unit,
    TaskManagementFunction.LOGICAL_UNIT_RESET: _logical_unit,
    TaskManagementFunction.TARGET_WARM_RESET: _target,
    TaskManagementFunction.TARGET_COLD_RESET: _target,
}

_ANSWERED_HERE: dict[int, TaskManagementResponse] = {
    TaskManagementFunction.CLEAR_ACA: TaskManagementResponse.FUNCTION_NOT_SUPPORTED,
    TaskManagementFunction.TASK_REASSIGN: TaskManagementResponse.REASSIGNMENT_NOT_SUPPORTED,
}


class TaskManagement:
    """The task management functions of one session."""

    def __init__(
        self, outbox: Outbox, order: CommandOrder, commands: Commands, emit: Callable[[Event], None]
    ) -> None:
        self._outbox = outbox
        self._order = order
        self._commands = commands
        self._emit = emit

    def request(self, header: TaskManagementRequest) -> None:
        """Take a request: abort at once what it affects, then tell the owner."""
        scope = _SCOPES.get(header.function)
        if scope is None:
            response = _ANSWERED_HERE.get(header.function, TaskManagementResponse.FUNCTION_REJECTED)
            self._respond(header.initiator_task_tag, response)
            return
        affected = scope(header)
        delivered, count = self._commands.abort(affected)
        unanswered = self._outbox.withdraw(affected)  # they have ended, but the initiator does not know
        if header.function == TaskManagementFunction.ABORT_TASK:
            if not (count or unanswered or self._may_come(header)):
                self._respond(header.initiator_task_tag, TaskManagementResponse.TASK_DOES_NOT_EXIST)
                return
        else:
            self._order.drop_commands(None if scope is _target else canonical_lun(header.lun))
        self._emit(
            TaskManagementRequested(
                TaskManagementFunction(header.function),
                canonical_lun(header.lun),
                header.initiator_task_tag,
                delivered,
            )
        )

    def _may_come(self, header: TaskManagementRequest) -> bool:
        return self._order.consider_received(header.ref_cmd_sn, before=header.cmd_sn)

    def finish(self, request: TaskManagementRequested, response: int) -> None:
        """Send the owner's answer."""
        self._respond(request.initiator_task_tag, response)

    def _respond(self, initiator_task_tag: int, response: int) -> None:
        self._outbox.put(TaskManagementAnswer, response=response, initiator_task_tag=initiator_task_tag)
