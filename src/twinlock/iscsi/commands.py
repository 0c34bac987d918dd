"""SCSI commands: from the PDU to the owner with all their data, and from the owner's result to the wire."""

from collections.abc import Callable, Sequence

from twinlock.iscsi.command_order import CommandOrder
from twinlock.iscsi.events import CommandReceived, Event
from twinlock.iscsi.framing import Pdu
from twinlock.iscsi.gathering import Gathering
from twinlock.iscsi.negotiation import Negotiation
from twinlock.iscsi.outbox import Outbox
from twinlock.iscsi.results import Completion, send_reject, send_result
from twinlock.iscsi.task import Task, TaskAction, TaskEvent, TaskState
from twinlock.iscsi.task_order import TaskOrder
from twinlock.iscsi.task_set import TaskSet
from twinlock.iscsi.write_fault import CHECK_CONDITION, GatheringFailed, WriteFault
from twinlock.wire.iscsi_codes import RESERVED_TAG, RejectReason, TaskAttribute
from twinlock.wire.iscsi_requests import DataOut, ScsiCommand
from twinlock.wire.scsi_lun import canonical_lun

_READY, _COMPLETED = TaskEvent.READY, TaskEvent.COMPLETED
_DELIVER, _ANSWER = TaskAction.DELIVER, TaskAction.ANSWER
_ATTRIBUTES = {int(attribute): attribute for attribute in TaskAttribute}


class Commands:
    """The tasks of one session."""

    def __init__(
        self,
        outbox: Outbox,
        order: CommandOrder,
        negotiation: Negotiation,
        take_tag: Callable[[], int],
        emit: Callable[[Event], None],
    ) -> None:
        self._outbox = outbox
        self._order = order
        self._negotiation = negotiation
        self._emit = emit
        self._tasks = TaskSet(outbox.window)
        self._task_order = TaskOrder()
        self._gathering = Gathering(outbox, negotiation, take_tag)

    # -- from the initiator -----------------------------------------------------------------------

    def command(self, header: ScsiCommand, pdu: Pdu) -> None:
        """Take a SCSI command (RFC 7143 section 11.3)."""
        reason = self._objection(header, pdu)
        if reason is not None:
            send_reject(self._outbox, pdu, reason)
            return
        task = Task(
            initiator_task_tag=header.initiator_task_tag,
            lun=canonical_lun(header.lun),
            lun_as_sent=header.lun,
            cdb=header.cdb + pdu.extended_cdb() if pdu.ahs_length else header.cdb,
            attribute=_ATTRIBUTES[header.attribute],
            immediate=header.immediate,
            read=header.read,
            write=header.write,
            expected_length=header.expected_data_transfer_length if header.read or header.write else 0,
        )
        self._tasks.start(task)
        self._task_order.start(task)
        try:
            if self._gathering.begin(task, pdu.data, final=header.final):
                self._deliver(task)
        except GatheringFailed as failure:
            self._fail(task, failure.fault)

    def _objection(self, header: ScsiCommand, pdu: Pdu) -> RejectReason | None:
        tag = header.initiator_task_tag
        if tag == RESERVED_TAG or header.attribute not in _ATTRIBUTES or (len(pdu.data) and not header.write):
            return RejectReason.INVALID_PDU_FIELD
        if header.read and header.write:
            return RejectReason.COMMAND_NOT_SUPPORTED
        if tag in self._tasks:
            return RejectReason.TASK_IN_PROGRESS
        if header.immediate and self._tasks.immediate_full:
            return RejectReason.IMMEDIATE_COMMAND_REJECT
        return None

    def data_out(self, header: DataOut, pdu: Pdu) -> None:
        """Take a piece of a write's data (section 11.7)."""
        if self._order.keep_data(pdu, header.initiator_task_tag):
            return
        try:
            task = self._gathering.receive(header, pdu.data, intact=pdu.intact)
        except GatheringFailed as failure:
            failed = self._gathering.task(header.initiator_task_tag)
            assert failed is not None
            self._fail(failed, failure.fault)
        else:
            if task is not None:
                self._deliver(task)

    def _deliver(self, task: Task) -> None:
        """Hand a task with all its data to the owner, as soon as the order of tasks allows it."""
        event = _READY if self._task_order.may_start(task) else TaskEvent.BLOCKED
        if task.happens(event) is _DELIVER:
            self._emit(CommandReceived(task))

    # -- from the owner ---------------------------------------------------------------------------

    def complete(self, task: Task, completion: Completion) -> None:
        """End a delivered task, in silence if it was aborted.  Raises ValueError if it had ended before."""
        self._end(task, _COMPLETED, completion)

    def _fail(self, task: Task, fault: WriteFault) -> None:
        """End a task whose data went wrong; data still under way for it will be passed over."""
        completion = Completion(CHECK_CONDITION, wanted=task.expected_length, sense=fault.sense)
        self._end(task, TaskEvent.FAULTY, completion)

    def _end(self, task: Task, event: TaskEvent, completion: Completion) -> None:
        action = task.happens(event)
        self._tasks.finish(task)
        if action is _ANSWER:
            send_result(self._outbox, self._negotiation.parameters, task, completion)
        self._release((task,))

    def _release(self, tasks: Sequence[Task]) -> None:
        """Let those go on that wait for the memory of these tasks, or for their end."""
        for task in tasks:
            self._gathering.release(task)
        for task in self._task_order.finish(tasks):
            task.happens(_READY)
            self._emit(CommandReceived(task))

    # -- from task management ---------------------------------------------------------------------

    def abort(self, affected: Callable[[Task], bool]) -> tuple[tuple[Task, ...], int]:
        """Abort the affected tasks: those delivered, which the owner still completes, and how many in all."""
        aborted = self._tasks.remove(affected)
        if aborted:
            self._outbox.withdraw(set(aborted).__contains__)
        forgotten = [task for task in aborted if task.happens(TaskEvent.ABORTED) is TaskAction.FORGET]
        for task in forgotten:
            self._tasks.finish(task)
        self._release(forgotten)
        return tuple(task for task in aborted if task.state is TaskState.ABORTED), len(aborted)
