"""The headers a target sends: basic header segments of 48 bytes (RFC 7143 section 11).

``RESPONSES`` maps each opcode to its declaration.
"""

from twinlock.wire.iscsi_codes import RESERVED_TAG, Opcode
from twinlock.wire.structure import Structure, bits, flag, raw, structure, u8, u16, u24, u32


@structure(size=48, section="RFC 7143 section 11.4")
class ScsiResponse(Structure):
    """The end of a task: status, residual and (as data) sense."""

    opcode: int = bits(0, 5, 0, default=Opcode.SCSI_RESPONSE)
    final: bool = flag(1, 7, default=True)
    overflow: bool = flag(1, 2, default=False)
    underflow: bool = flag(1, 1, default=False)
    response: int = u8(2, default=0)
    status: int = u8(3)
    data_segment_length: int = u24(5, default=0)
    initiator_task_tag: int = u32(16)
    stat_sn: int = u32(24)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)
    exp_data_sn: int = u32(36, default=0)
    residual_count: int = u32(44, default=0)


@structure(size=2, section="RFC 7143 section 11.4.7")
class SenseLength(Structure):
    """What comes before the sense data in a response's data segment; in bytes."""

    length: int = u16(0)


@structure(size=48, section="RFC 7143 section 11.6")
class TaskManagementAnswer(Structure):
    """The end of a task management function."""

    opcode: int = bits(0, 5, 0, default=Opcode.TASK_MANAGEMENT_RESPONSE)
    final: bool = flag(1, 7, default=True)
    response: int = u8(2)
    data_segment_length: int = u24(5, default=0)
    initiator_task_tag: int = u32(16)
    stat_sn: int = u32(24)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)


@structure(size=48, section="RFC 7143 section 11.7")
class DataIn(Structure):
    """A piece of a read's data; the last may carry the status (``status_present``, the S bit)."""

    opcode: int = bits(0, 5, 0, default=Opcode.DATA_IN)
    final: bool = flag(1, 7)
    overflow: bool = flag(1, 2, default=False)
    underflow: bool = flag(1, 1, default=False)
    status_present: bool = flag(1, 0, default=False)
    status: int = u8(3, default=0)
    data_segment_length: int = u24(5)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    target_transfer_tag: int = u32(20, default=RESERVED_TAG)
    stat_sn: int = u32(24, default=0)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)
    data_sn: int = u32(36)
    buffer_offset: int = u32(40)
    residual_count: int = u32(44, default=0)


@structure(size=48, section="RFC 7143 section 11.8")
class R2T(Structure):
    """Ready to transfer: the target asks for a burst of a write's data."""

    opcode: int = bits(0, 5, 0, default=Opcode.R2T)
    final: bool = flag(1, 7, default=True)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    target_transfer_tag: int = u32(20)
    stat_sn: int = u32(24)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)
    r2t_sn: int = u32(36)
    buffer_offset: int = u32(40)
    desired_data_transfer_length: int = u32(44)


@structure(size=48, section="RFC 7143 section 11.9")
class AsyncMessage(Structure):
    """News of the target that no request asked for."""

    opcode: int = bits(0, 5, 0, default=Opcode.ASYNC_MESSAGE)
    final: bool = flag(1, 7, default=True)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16, default=RESERVED_TAG)
    stat_sn: int = u32(24)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)
    event: int = u8(36)
    vendor_code: int = u8(37, default=0)
    parameter1: int = u16(38, default=0)
    parameter2: int = u16(40, default=0)
    parameter3: int = u16(42, default=0)


@structure(size=48, section="RFC 7143 section 11.11")
class TextResponse(Structure):
    """The answer to a text request."""

    opcode: int = bits(0, 5, 0, default=Opcode.TEXT_RESPONSE)
    final: bool = flag(1, 7, default=True)
    more: bool = flag(1, 6, default=False)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    target_transfer_tag: int = u32(20, default=RESERVED_TAG)
    stat_sn: int = u32(24)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)


@structure(size=48, section="RFC 7143 section 11.13")
class LoginResponse(Structure):
    """The answer to a login request; ``status`` is class and detail as one number."""

    opcode: int = bits(0, 5, 0, default=Opcode.LOGIN_RESPONSE)
    transit: bool = flag(1, 7, default=False)
    more: bool = flag(1, 6, default=False)
    current_stage: int = bits(1, 3, 2, default=0)
    next_stage: int = bits(1, 1, 0, default=0)
    version_max: int = u8(2, default=0)
    version_active: int = u8(3, default=0)
    data_segment_length: int = u24(5, default=0)
    isid: bytes = raw(8, 6)
    tsih: int = u16(14, default=0)
    initiator_task_tag: int = u32(16)
    stat_sn: int = u32(24, default=0)
    exp_cmd_sn: int = u32(28, default=0)
    max_cmd_sn: int = u32(32, default=0)
    status: int = u16(36, default=0)


@structure(size=48, section="RFC 7143 section 11.15")
class LogoutResponse(Structure):
    """The answer to a logout request; times in seconds."""

    opcode: int = bits(0, 5, 0, default=Opcode.LOGOUT_RESPONSE)
    final: bool = flag(1, 7, default=True)
    response: int = u8(2)
    data_segment_length: int = u24(5, default=0)
    initiator_task_tag: int = u32(16)
    stat_sn: int = u32(24)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)
    time2wait: int = u16(40, default=0)
    time2retain: int = u16(42, default=0)


@structure(size=48, section="RFC 7143 section 11.17")
class Reject(Structure):
    """A PDU was not accepted; its header is the data."""

    opcode: int = bits(0, 5, 0, default=Opcode.REJECT)
    final: bool = flag(1, 7, default=True)
    reason: int = u8(2)
    data_segment_length: int = u24(5, default=0)
    initiator_task_tag: int = u32(16, default=RESERVED_TAG)
    stat_sn: int = u32(24)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)


@structure(size=48, section="RFC 7143 section 11.19")
class NopIn(Structure):
    """The answer to a ping of the initiator, or a ping of the target."""

    opcode: int = bits(0, 5, 0, default=Opcode.NOP_IN)
    final: bool = flag(1, 7, default=True)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16, default=RESERVED_TAG)
    target_transfer_tag: int = u32(20, default=RESERVED_TAG)
    stat_sn: int = u32(24)
    exp_cmd_sn: int = u32(28)
    max_cmd_sn: int = u32(32)


RESPONSES: dict[int, type[Structure]] = {
    Opcode.NOP_IN: NopIn,
    Opcode.SCSI_RESPONSE: ScsiResponse,
    Opcode.TASK_MANAGEMENT_RESPONSE: TaskManagementAnswer,
    Opcode.LOGIN_RESPONSE: LoginResponse,
    Opcode.TEXT_RESPONSE: TextResponse,
    Opcode.DATA_IN: DataIn,
    Opcode.LOGOUT_RESPONSE: LogoutResponse,
    Opcode.R2T: R2T,
    Opcode.ASYNC_MESSAGE: AsyncMessage,
    Opcode.REJECT: Reject,
}
"""The declaration of each opcode a target may send."""
