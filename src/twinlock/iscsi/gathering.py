"""Gathers the data of all writes of a connection, within a bound of memory.

Unsolicited data are bounded by the command window and FirstBurstLength.  For the
rest the target has the say: a write is asked for its data only when all of it fits.
Memory is given in the order in which the writes came, whether they ask for it at once
or not: so an older task never waits for the memory of a younger one, and as an ORDERED
task only ever waits for older ones, no two can wait for each other.
"""

from collections import deque
from collections.abc import Callable

from typing_extensions import Buffer

from twinlock.iscsi import limits
from twinlock.iscsi.negotiation import Negotiation
from twinlock.iscsi.outbox import Outbox, StatSN
from twinlock.iscsi.task import Task
from twinlock.iscsi.write_fault import GatheringFailed, WriteFault
from twinlock.iscsi.write_transfer import Burst, WriteTransfer
from twinlock.wire.iscsi_requests import DataOut
from twinlock.wire.iscsi_responses import R2T


class Gathering:
    """The writes under way.  A task that left here with its data must be given back by :meth:`release`."""

    def __init__(self, outbox: Outbox, negotiation: Negotiation, take_tag: Callable[[], int]) -> None:
        self._outbox = outbox
        self._negotiation = negotiation
        self._take_tag = take_tag
        self._transfers: dict[int, WriteTransfer] = {}
        self._waiting: deque[WriteTransfer] = deque()
        self._reserved: dict[Task, int] = {}
        self._reserved_bytes = 0

    def begin(self, task: Task, immediate: Buffer, *, final: bool) -> bool:
        """Take a command and its immediate data; True if there is nothing more to wait for.

        ``final`` is False if unsolicited Data-Outs follow.  Raises :class:`GatheringFailed`.
        """
        length = len(memoryview(immediate))
        self._check_unsolicited(task, length, final=final)
        if length == task.expected_length or not task.write:
            task.data_out = immediate
            return True
        if task.expected_length > limits.TRANSFER_LENGTH:
            task.data_withheld = True
            return True
        transfer = WriteTransfer(
            task, immediate, unsolicited_end=None if final else self._unsolicited_end(task)
        )
        self._transfers[task.initiator_task_tag] = transfer
        self._waiting.append(transfer)
        self._grant()
        return False

    def _unsolicited_end(self, task: Task) -> int:
        return min(self._negotiation.parameters.first_burst_length, task.expected_length)

    def _check_unsolicited(self, task: Task, length: int, *, final: bool) -> None:
        parameters = self._negotiation.parameters
        follows = task.write and not final and task.expected_length > length
        if (length and not parameters.immediate_data) or (follows and parameters.initial_r2t):
            raise GatheringFailed(WriteFault.UNEXPECTED_UNSOLICITED_DATA)
        if length > self._unsolicited_end(task):
            raise GatheringFailed(WriteFault.INCORRECT_AMOUNT_OF_DATA)

    def receive(self, header: DataOut, data: memoryview, *, intact: bool) -> Task | None:
        """Take a Data-Out; the task if its data are complete with it.

        Data of no task are passed over: they were under way when theirs ended.  ``intact`` is False if their
        digest is wrong.  Raises :class:`GatheringFailed`.
        """
        transfer = self._transfers.get(header.initiator_task_tag)
        if transfer is None:
            return None
        transfer.receive(header, data, intact=intact)
        if transfer.complete:
            self._leave(transfer)
            self._grant()
            transfer.task.data_out = transfer.data
            return transfer.task
        if transfer.task in self._reserved:
            self._solicit(transfer)
        return None

    def _leave(self, transfer: WriteTransfer) -> None:
        del self._transfers[transfer.task.initiator_task_tag]
        if transfer in self._waiting:
            self._waiting.remove(transfer)

    def task(self, initiator_task_tag: int) -> Task | None:
        """The task of that tag whose data are being gathered."""
        transfer = self._transfers.get(initiator_task_tag)
        return transfer.task if transfer else None

    def release(self, task: Task) -> None:
        """Forget a task and the memory it holds, for the writes that wait."""
        if not self._transfers and not self._reserved:
            return
        transfer = self._transfers.get(task.initiator_task_tag)
        if transfer is not None and transfer.task is task:
            self._leave(transfer)
        if task in self._reserved:
            self._reserved_bytes -= self._reserved.pop(task)
        if self._waiting:
            self._grant()

    # -- R2Ts -------------------------------------------------------------------------------------

    def _grant(self) -> None:
        """Let the writes that wait have memory, in order, as long as there is any."""
        while self._waiting:
            size = self._waiting[0].task.expected_length
            if self._reserved_bytes and self._reserved_bytes + size > limits.GATHERED_DATA:
                return
            transfer = self._waiting.popleft()
            self._reserved[transfer.task] = size
            self._reserved_bytes += size
            self._solicit(transfer)

    def _solicit(self, transfer: WriteTransfer) -> None:
        for burst in transfer.solicit(self._negotiation.parameters, self._take_tag):
            self._send(transfer.task, burst)

    def _send(self, task: Task, burst: Burst) -> None:
        self._outbox.put_data(
            R2T,
            task=task,
            stat_sn=StatSN.SHOWN,
            lun=task.lun_as_sent,
            initiator_task_tag=task.initiator_task_tag,
            target_transfer_tag=burst.tag,
            r2t_sn=task.pdu_count,
            buffer_offset=burst.start,
            desired_data_transfer_length=burst.end - burst.start,
        )
        task.pdu_count += 1
