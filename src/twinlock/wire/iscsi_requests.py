"""The headers an initiator sends: basic header segments of 48 bytes (RFC 7143 section 11).

``REQUESTS`` maps each opcode to its declaration.  Every declaration names the
fields a target needs; what is reserved, or of use to higher error recovery
levels only, is not mentioned.
"""

from twinlock.wire.iscsi_codes import RESERVED_TAG, Opcode
from twinlock.wire.structure import Structure, bits, flag, raw, structure, u8, u16, u24, u32

BHS_SIZE = 48
"""Bytes of a basic header segment, whatever the opcode (section 11.2)."""


@structure(size=8, section="RFC 7143 section 11.2")
class HeaderStart(Structure):
    """What is needed to cut a PDU out of a stream; the length of the additional headers is in words."""

    opcode: int = bits(0, 5, 0)
    total_ahs_length: int = u8(4)
    data_segment_length: int = u24(5)


@structure(size=48, section="RFC 7143 section 11.2")
class BasicHeader(Structure):
    """What every header has in common, and all that is known of an unknown one."""

    opcode: int = bits(0, 5, 0)
    immediate: bool = flag(0, 6, default=False)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    initiator_task_tag: int = u32(16, default=0)
    cmd_sn: int = u32(24, default=0)


@structure(size=4, section="RFC 7143 section 11.2.2")
class AdditionalHeader(Structure):
    """The start of an additional header segment; ``length`` counts from byte 3, in bytes."""

    length: int = u16(0)
    type: int = u8(2)


@structure(size=48, section="RFC 7143 section 11.3")
class ScsiCommand(Structure):
    """A CDB, and how much data is expected to move which way."""

    opcode: int = bits(0, 5, 0, default=Opcode.SCSI_COMMAND)
    immediate: bool = flag(0, 6, default=False)
    final: bool = flag(1, 7, default=True)
    read: bool = flag(1, 6, default=False)
    write: bool = flag(1, 5, default=False)
    attribute: int = bits(1, 2, 0, default=1)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    expected_data_transfer_length: int = u32(20, default=0)
    cmd_sn: int = u32(24)
    exp_stat_sn: int = u32(28, default=0)
    cdb: bytes = raw(32, 16)


@structure(size=48, section="RFC 7143 section 11.5")
class TaskManagementRequest(Structure):
    """Abort a task, a task set, or reset."""

    opcode: int = bits(0, 5, 0, default=Opcode.TASK_MANAGEMENT_REQUEST)
    immediate: bool = flag(0, 6, default=True)
    final: bool = flag(1, 7, default=True)
    function: int = bits(1, 6, 0)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    referenced_task_tag: int = u32(20, default=RESERVED_TAG)
    cmd_sn: int = u32(24)
    exp_stat_sn: int = u32(28, default=0)
    ref_cmd_sn: int = u32(32, default=0)
    exp_data_sn: int = u32(36, default=0)


@structure(size=48, section="RFC 7143 section 11.7")
class DataOut(Structure):
    """A piece of a write's data."""

    opcode: int = bits(0, 5, 0, default=Opcode.DATA_OUT)
    final: bool = flag(1, 7)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    target_transfer_tag: int = u32(20, default=RESERVED_TAG)
    exp_stat_sn: int = u32(28, default=0)
    data_sn: int = u32(36)
    buffer_offset: int = u32(40)


@structure(size=48, section="RFC 7143 section 11.10")
class TextRequest(Structure):
    """Text keys in the full feature phase."""

    opcode: int = bits(0, 5, 0, default=Opcode.TEXT_REQUEST)
    immediate: bool = flag(0, 6, default=False)
    final: bool = flag(1, 7, default=True)
    more: bool = flag(1, 6, default=False)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    target_transfer_tag: int = u32(20, default=RESERVED_TAG)
    cmd_sn: int = u32(24)
    exp_stat_sn: int = u32(28, default=0)


@structure(size=48, section="RFC 7143 section 11.12")
class LoginRequest(Structure):
    """A step of the login phase; ``transit`` is the T bit, ``more`` the C bit."""

    opcode: int = bits(0, 5, 0, default=Opcode.LOGIN_REQUEST)
    immediate: bool = flag(0, 6, default=True)
    transit: bool = flag(1, 7, default=False)
    more: bool = flag(1, 6, default=False)
    current_stage: int = bits(1, 3, 2, default=0)
    next_stage: int = bits(1, 1, 0, default=0)
    version_max: int = u8(2, default=0)
    version_min: int = u8(3, default=0)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    isid: bytes = raw(8, 6, default=bytes(6))
    tsih: int = u16(14, default=0)
    initiator_task_tag: int = u32(16, default=0)
    cid: int = u16(20, default=0)
    cmd_sn: int = u32(24, default=0)
    exp_stat_sn: int = u32(28, default=0)


@structure(size=48, section="RFC 7143 section 11.14")
class LogoutRequest(Structure):
    """The initiator ends the session or a connection."""

    opcode: int = bits(0, 5, 0, default=Opcode.LOGOUT_REQUEST)
    immediate: bool = flag(0, 6, default=True)
    final: bool = flag(1, 7, default=True)
    reason: int = bits(1, 6, 0, default=0)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    initiator_task_tag: int = u32(16)
    cid: int = u16(20, default=0)
    cmd_sn: int = u32(24)
    exp_stat_sn: int = u32(28, default=0)


@structure(size=48, section="RFC 7143 section 11.16")
class SnackRequest(Structure):
    """A wish for retransmission or an acknowledgement; of use above error recovery level 0 only."""

    opcode: int = bits(0, 5, 0, default=Opcode.SNACK_REQUEST)
    final: bool = flag(1, 7, default=True)
    type: int = bits(1, 3, 0, default=0)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    target_transfer_tag: int = u32(20, default=RESERVED_TAG)
    exp_stat_sn: int = u32(28, default=0)
    begin: int = u32(40, default=0)
    length: int = u32(44, default=0)


@structure(size=48, section="RFC 7143 section 11.18")
class NopOut(Structure):
    """A ping of the initiator, or its answer to one of the target."""

    opcode: int = bits(0, 5, 0, default=Opcode.NOP_OUT)
    immediate: bool = flag(0, 6, default=True)
    final: bool = flag(1, 7, default=True)
    total_ahs_length: int = u8(4, default=0)
    data_segment_length: int = u24(5, default=0)
    lun: bytes = raw(8, 8, default=bytes(8))
    initiator_task_tag: int = u32(16)
    target_transfer_tag: int = u32(20, default=RESERVED_TAG)
    cmd_sn: int = u32(24)
    exp_stat_sn: int = u32(28, default=0)


REQUESTS: dict[int, type[Structure]] = {
    Opcode.NOP_OUT: NopOut,
    Opcode.SCSI_COMMAND: ScsiCommand,
    Opcode.TASK_MANAGEMENT_REQUEST: TaskManagementRequest,
    Opcode.LOGIN_REQUEST: LoginRequest,
    Opcode.TEXT_REQUEST: TextRequest,
    Opcode.DATA_OUT: DataOut,
    Opcode.LOGOUT_REQUEST: LogoutRequest,
    Opcode.SNACK_REQUEST: SnackRequest,
}
"""The declaration of each opcode an initiator may send."""
