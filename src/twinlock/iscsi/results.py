"""The end of a task on the wire: Data-In, status, residual, sense (RFC 7143 sections 11.4 and 11.7)."""

from typing import Any, NamedTuple

from typing_extensions import Buffer

from twinlock.iscsi.framing import Pdu
from twinlock.iscsi.outbox import Outbox, StatSN
from twinlock.iscsi.parameters import Parameters
from twinlock.iscsi.task import Task
from twinlock.iscsi.write_fault import GOOD
from twinlock.wire.iscsi_codes import RejectReason
from twinlock.wire.iscsi_responses import DataIn, Reject, ScsiResponse, SenseLength

_ABSENT, _USED = StatSN.ABSENT, StatSN.USED
_NO_DATA = memoryview(b"")


class Completion(NamedTuple):
    """How a task ended; ``wanted`` are the bytes its CDB asked to move, either way."""

    status: int
    wanted: int
    data_in: Buffer = b""
    sense: bytes = b""


def send_result(outbox: Outbox, parameters: Parameters, task: Task, completion: Completion) -> None:
    """Send what the initiator expects of the data, and the status: with the last of them if it is GOOD."""
    data = memoryview(completion.data_in)[: task.expected_length] if task.read else _NO_DATA
    with_data = len(data) > 0 and completion.status == GOOD
    # of a read only data-in count: its CDB may have been that of a write
    wanted = memoryview(completion.data_in).nbytes if task.read else completion.wanted
    residual = _residual(task.expected_length, wanted)
    if len(data):
        _send_data(outbox, parameters, task, data, residual if with_data else None)
    if not with_data:
        _send_response(outbox, task, completion, residual)


def _residual(expected: int, wanted: int) -> dict[str, Any]:
    """The fields that tell by how much the CDB's length differs from the one expected (section 11.4.5)."""
    if wanted == expected:
        return {}
    return {
        "overflow": wanted > expected,
        "underflow": wanted < expected,
        "residual_count": abs(wanted - expected),
    }


def _send_data(
    outbox: Outbox, parameters: Parameters, task: Task, data: memoryview, residual: dict[str, Any] | None
) -> None:
    """All Data-In PDUs, in bursts of MaxBurstLength; the last has the status unless ``residual`` is None."""
    total, offset = len(data), 0
    burst, segment = parameters.max_burst_length, parameters.initiator_data_segment
    while offset < total:
        burst_end = min(offset - offset % burst + burst, total)
        end = min(offset + segment, burst_end)
        last = residual if end == total else None
        outbox.put_data(
            DataIn,
            data[offset:end],
            task=task,
            stat_sn=_ABSENT if last is None else _USED,
            final=end == burst_end,
            status_present=last is not None,
            lun=task.lun_as_sent,
            initiator_task_tag=task.initiator_task_tag,
            data_sn=task.pdu_count,
            buffer_offset=offset,
            **(last or {}),
        )
        task.pdu_count += 1
        offset = end


def _send_response(outbox: Outbox, task: Task, completion: Completion, residual: dict[str, Any]) -> None:
    sense = completion.sense
    outbox.put(
        ScsiResponse,
        SenseLength(length=len(sense)).build() + sense if sense else b"",
        task=task,
        status=completion.status,
        initiator_task_tag=task.initiator_task_tag,
        exp_data_sn=task.pdu_count,
        **residual,
    )


def send_reject(outbox: Outbox, pdu: Pdu, reason: RejectReason) -> None:
    """Send a PDU's header back with the reason why it is not accepted (section 11.17)."""
    outbox.put(Reject, bytes(pdu.basic_header), reason=reason)
