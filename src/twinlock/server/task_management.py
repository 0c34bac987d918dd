"""What a task management function does, to whom, and when it is answered (RFC 7143 sections 11.5 and 11.6).

``_FUNCTIONS`` is the table.  The protocol layer has aborted what is meant of the
session that asks; here the tasks of the others follow, the logical units take note
at once, and the answer waits until no task that was aborted can have an effect.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twinlock.iscsi.events import TaskManagementRequested
from twinlock.iscsi.task import Task
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import AbortTasks
from twinlock.scsi.target import ScsiTarget
from twinlock.server.in_flight import Action, Affected
from twinlock.server.sessions import Session, Sessions, abort, when_ended
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function
from twinlock.wire.iscsi_codes import TaskManagementResponse as Response

MAX_PENDING = 16
"""Functions of one session that may wait to be answered; no initiator has more than one or two."""

Answer = Callable[[Response], None]
_Effect = Callable[[ScsiTarget, TaskManagementRequested, Iterable[Nexus]], Action]


@dataclass(frozen=True, slots=True)
class _Function:
    """``effect`` gets the nexuses, other than the one that asks, whose tasks were aborted.

    What it returns is for when those tasks have ended.
    """

    effect: _Effect
    all_sessions: bool = False
    whole_target: bool = False
    ends_sessions: bool = False


def _nothing_more() -> None:
    """All is done."""


def _no_effect(_target: ScsiTarget, _request: TaskManagementRequested, _others: Iterable[Nexus]) -> Action:
    """Nobody but the initiator that asks is concerned."""
    return _nothing_more


def _clear(target: ScsiTarget, request: TaskManagementRequested, others: Iterable[Nexus]) -> Action:
    """TAS is 0: the others get no TASK ABORTED but a unit attention (SAM-5, aborting commands)."""
    target.commands_cleared(request.lun, others)
    return _nothing_more


def _reset_unit(target: ScsiTarget, request: TaskManagementRequested, _others: Iterable[Nexus]) -> Action:
    return target.logical_unit_reset(request.lun) or _nothing_more


def _reset_target(target: ScsiTarget, request: TaskManagementRequested, _others: Iterable[Nexus]) -> Action:
    return target.target_reset(cold=request.function is Function.TARGET_COLD_RESET)


_FUNCTIONS: dict[Function, _Function] = {
    Function.ABORT_TASK: _Function(_no_effect),
    Function.ABORT_TASK_SET: _Function(_no_effect),
    Function.CLEAR_TASK_SET: _Function(_clear, all_sessions=True),
    Function.LOGICAL_UNIT_RESET: _Function(_reset_unit, all_sessions=True),
    Function.TARGET_WARM_RESET: _Function(_reset_target, all_sessions=True, whole_target=True),
    Function.TARGET_COLD_RESET: _Function(
        _reset_target, all_sessions=True, whole_target=True, ends_sessions=True
    ),
}


class TaskManagement:
    """The task management functions of one target, and aborts that commands ask for."""

    def __init__(self, target: ScsiTarget, sessions: Sessions) -> None:
        self._target = target
        self._sessions = sessions
        self._lock = threading.Lock()
        self._pending: Counter[Session] = Counter()

    def carry_out(self, session: Session, request: TaskManagementRequested, answer: Answer) -> None:
        """Do what ``session`` asks for; ``answer`` is called once, now or by the thread that ends a task."""
        function = _FUNCTIONS.get(request.function)
        if function is None:
            answer(Response.FUNCTION_NOT_SUPPORTED)
        elif request.function is Function.ABORT_TASK:
            self._abort_one(session, request, answer)
        elif not function.whole_target and self._target.unit(request.lun) is None:
            answer(Response.LUN_DOES_NOT_EXIST)
        else:
            self._abort_many(function, session, request, answer)

    def abort_for(self, session: Session, lun: bytes, operation: AbortTasks, then: Action) -> None:
        """PREEMPT AND ABORT (SPC-4): ``then`` runs once their tasks can have no effect any more."""
        affected = _on_unit(lun)
        chosen = [each for each in self._sessions.all() if each.nexus in operation.nexuses]
        cleared = abort(chosen, affected) - {session.nexus}
        self._target.commands_cleared(lun, cleared)
        when_ended(chosen, affected, then)

    def _abort_one(self, session: Session, request: TaskManagementRequested, answer: Answer) -> None:
        then = self._admit(session, answer)
        if then is not None:
            session.in_flight.when_ended(lambda task: task in request.tasks, then)

    def _abort_many(
        self, function: _Function, session: Session, request: TaskManagementRequested, answer: Answer
    ) -> None:
        then = self._admit(session, answer, ends_sessions=function.ends_sessions)
        if then is None:
            return
        affected = _anywhere if function.whole_target else _on_unit(request.lun)
        others = (
            [each for each in self._sessions.all() if each is not session] if function.all_sessions else []
        )
        afterwards = function.effect(self._target, request, abort(others, affected))

        def end() -> None:
            afterwards()
            then()

        when_ended([session, *others], affected, end)

    def _admit(self, session: Session, answer: Answer, *, ends_sessions: bool = False) -> Action | None:
        """What to do at the end; None, and the answer was given, if too many functions wait already."""
        with self._lock:
            full = self._pending[session] >= MAX_PENDING
            if not full:
                self._pending[session] += 1
        if full:
            answer(Response.FUNCTION_REJECTED)
            return None
        return lambda: self._end(session, answer, ends_sessions=ends_sessions)

    def _end(self, session: Session, answer: Answer, *, ends_sessions: bool) -> None:
        with self._lock:
            self._pending[session] -= 1
            if not self._pending[session]:
                del self._pending[session]
        answer(Response.FUNCTION_COMPLETE)
        if ends_sessions:  # TARGET COLD RESET is as a power on (RFC 7143 section 11.5.1)
            for each in self._sessions.all():
                each.drop(all_sessions=True)


def _on_unit(lun: bytes) -> Affected:
    return lambda task: task.lun == lun


def _anywhere(_task: Task) -> bool:
    return True
