"""What a task management function does to the logical units, and its answer (RFC 7143 section 11.6.1).

The protocol layer has marked the tasks that are meant; by the time a function is
carried out here, none of them can have an effect any more.
"""

from collections.abc import Callable

from twinlock.iscsi.events import TaskManagementRequested
from twinlock.scsi.target import ScsiTarget
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function
from twinlock.wire.iscsi_codes import TaskManagementResponse as Response

_Action = Callable[[ScsiTarget, TaskManagementRequested], Response]


def carry_out(target: ScsiTarget, request: TaskManagementRequested) -> Response:
    """The response to a function."""
    action = _ACTIONS.get(request.function)
    return Response.FUNCTION_NOT_SUPPORTED if action is None else action(target, request)


def _abort_task(_target: ScsiTarget, _request: TaskManagementRequested) -> Response:
    """The protocol layer has answered already where there is no such task."""
    return Response.FUNCTION_COMPLETE


def _abort_task_set(target: ScsiTarget, request: TaskManagementRequested) -> Response:
    return _answer(target.unit(request.lun) is not None)


def _reset_unit(target: ScsiTarget, request: TaskManagementRequested) -> Response:
    return _answer(target.logical_unit_reset(request.lun))


def _reset_target(target: ScsiTarget, request: TaskManagementRequested) -> Response:
    target.target_reset(cold=request.function is Function.TARGET_COLD_RESET)
    return Response.FUNCTION_COMPLETE


def _answer(exists: bool) -> Response:
    return Response.FUNCTION_COMPLETE if exists else Response.LUN_DOES_NOT_EXIST


_ACTIONS: dict[Function, _Action] = {
    Function.ABORT_TASK: _abort_task,
    Function.ABORT_TASK_SET: _abort_task_set,
    Function.CLEAR_TASK_SET: _abort_task_set,  # one initiator at a time: its tasks are all there are
    Function.LOGICAL_UNIT_RESET: _reset_unit,
    Function.TARGET_WARM_RESET: _reset_target,
    Function.TARGET_COLD_RESET: _reset_target,
}
