"""Sense data: why a command ended as it did (SPC-4, sense data).

:class:`SenseCode` is the table of everything this target ever reports; the two
formats, fixed and descriptor, are declared below it.
"""

from enum import Enum, IntEnum

from twinlock.wire.structure import Structure, bits, flag, raw, structure, u8, u16, u32, u64


class SenseKey(IntEnum):
    """The broad kind of condition (SPC-4, sense key and additional sense code definitions)."""

    NO_SENSE = 0x0
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    COPY_ABORTED = 0xA
    ABORTED_COMMAND = 0xB
    MISCOMPARE = 0xE


class SenseCode(Enum):
    """Sense key, additional sense code and its qualifier; named as in SPC-4's table of codes."""

    NO_ADDITIONAL_SENSE = (SenseKey.NO_SENSE, 0x00, 0x00)
    COPY_ABORTED = (SenseKey.COPY_ABORTED, 0x00, 0x00)
    """Named by its key: SPC-4 has no additional sense code for it."""
    OPERATION_IN_PROGRESS = (SenseKey.ILLEGAL_REQUEST, 0x00, 0x16)
    UNREACHABLE_COPY_TARGET = (SenseKey.COPY_ABORTED, 0x08, 0x04)
    WRITE_ERROR = (SenseKey.MEDIUM_ERROR, 0x0C, 0x00)
    THIRD_PARTY_DEVICE_FAILURE = (SenseKey.COPY_ABORTED, 0x0D, 0x01)
    INCORRECT_COPY_TARGET_DEVICE_TYPE = (SenseKey.COPY_ABORTED, 0x0D, 0x03)
    INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT = (SenseKey.ILLEGAL_REQUEST, 0x0E, 0x03)
    UNRECOVERED_READ_ERROR = (SenseKey.MEDIUM_ERROR, 0x11, 0x00)
    PARAMETER_LIST_LENGTH_ERROR = (SenseKey.ILLEGAL_REQUEST, 0x1A, 0x00)
    MISCOMPARE_DURING_VERIFY_OPERATION = (SenseKey.MISCOMPARE, 0x1D, 0x00)
    INVALID_COMMAND_OPERATION_CODE = (SenseKey.ILLEGAL_REQUEST, 0x20, 0x00)
    LBA_OUT_OF_RANGE = (SenseKey.ILLEGAL_REQUEST, 0x21, 0x00)
    INVALID_FIELD_IN_CDB = (SenseKey.ILLEGAL_REQUEST, 0x24, 0x00)
    LOGICAL_UNIT_NOT_SUPPORTED = (SenseKey.ILLEGAL_REQUEST, 0x25, 0x00)
    INVALID_FIELD_IN_PARAMETER_LIST = (SenseKey.ILLEGAL_REQUEST, 0x26, 0x00)
    INVALID_RELEASE_OF_PERSISTENT_RESERVATION = (SenseKey.ILLEGAL_REQUEST, 0x26, 0x04)
    TOO_MANY_TARGET_DESCRIPTORS = (SenseKey.ILLEGAL_REQUEST, 0x26, 0x06)
    UNSUPPORTED_TARGET_DESCRIPTOR_TYPE_CODE = (SenseKey.ILLEGAL_REQUEST, 0x26, 0x07)
    TOO_MANY_SEGMENT_DESCRIPTORS = (SenseKey.ILLEGAL_REQUEST, 0x26, 0x08)
    UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE = (SenseKey.ILLEGAL_REQUEST, 0x26, 0x09)
    INLINE_DATA_LENGTH_EXCEEDED = (SenseKey.ILLEGAL_REQUEST, 0x26, 0x0B)
    WRITE_PROTECTED = (SenseKey.DATA_PROTECT, 0x27, 0x00)
    LOGICAL_UNIT_SOFTWARE_WRITE_PROTECTED = (SenseKey.DATA_PROTECT, 0x27, 0x02)
    SPACE_ALLOCATION_FAILED_WRITE_PROTECT = (SenseKey.DATA_PROTECT, 0x27, 0x07)
    POWER_ON_OR_RESET_OCCURRED = (SenseKey.UNIT_ATTENTION, 0x29, 0x00)
    POWER_ON_OCCURRED = (SenseKey.UNIT_ATTENTION, 0x29, 0x01)
    BUS_RESET_OCCURRED = (SenseKey.UNIT_ATTENTION, 0x29, 0x02)
    BUS_DEVICE_RESET_FUNCTION_OCCURRED = (SenseKey.UNIT_ATTENTION, 0x29, 0x03)
    MODE_PARAMETERS_CHANGED = (SenseKey.UNIT_ATTENTION, 0x2A, 0x01)
    RESERVATIONS_PREEMPTED = (SenseKey.UNIT_ATTENTION, 0x2A, 0x03)
    RESERVATIONS_RELEASED = (SenseKey.UNIT_ATTENTION, 0x2A, 0x04)
    REGISTRATIONS_PREEMPTED = (SenseKey.UNIT_ATTENTION, 0x2A, 0x05)
    CAPACITY_DATA_HAS_CHANGED = (SenseKey.UNIT_ATTENTION, 0x2A, 0x09)
    COMMANDS_CLEARED_BY_ANOTHER_INITIATOR = (SenseKey.UNIT_ATTENTION, 0x2F, 0x00)
    SAVING_PARAMETERS_NOT_SUPPORTED = (SenseKey.ILLEGAL_REQUEST, 0x39, 0x00)
    INTERNAL_TARGET_FAILURE = (SenseKey.HARDWARE_ERROR, 0x44, 0x00)
    INSUFFICIENT_REGISTRATION_RESOURCES = (SenseKey.ILLEGAL_REQUEST, 0x55, 0x04)


@structure(size=3, section="SPC-4 Field pointer sense key specific data")
class FieldPointer(Structure):
    """Which field of the CDB (or of the parameter list) was refused.

    With key COPY ABORTED (segment pointer) ``in_cdb`` is 0, and ``in_segment`` tells whether bytes are
    counted from the start of the segment descriptor, or from that of the parameter list.
    """

    valid: bool = flag(0, 7, default=True)
    in_cdb: bool = flag(0, 6, default=True)
    in_segment: bool = flag(0, 5, default=False)
    bit_valid: bool = flag(0, 3, default=False)
    bit: int = bits(0, 2, 0, default=0)
    byte: int = u16(1)


@structure(size=18, section="SPC-4 Fixed format sense data")
class FixedSense(Structure):
    """Response code 70h: a current error."""

    information_valid: bool = flag(0, 7)
    response_code: int = bits(0, 6, 0, default=0x70)
    sense_key: int = bits(2, 3, 0)
    information: int = u32(3)
    additional_length: int = u8(7, default=10)
    command_specific: int = u32(8, default=0)
    code: int = u8(12)
    qualifier: int = u8(13)
    sense_key_specific: bytes = raw(15, 3)


@structure(size=8, section="SPC-4 Descriptor format sense data")
class DescriptorSense(Structure):
    """Response code 72h: a current error; descriptors follow."""

    response_code: int = bits(0, 6, 0, default=0x72)
    sense_key: int = bits(1, 3, 0)
    code: int = u8(2)
    qualifier: int = u8(3)
    additional_length: int = u8(7)


@structure(size=12, section="SPC-4 Information sense data descriptor")
class InformationDescriptor(Structure):
    """The INFORMATION field."""

    kind: int = u8(0, default=0x00)
    additional_length: int = u8(1, default=0x0A)
    valid: bool = flag(2, 7, default=True)
    information: int = u64(4)


@structure(size=12, section="SPC-4 Command specific sense data descriptor")
class CommandSpecificDescriptor(Structure):
    """The COMMAND-SPECIFIC INFORMATION field."""

    kind: int = u8(0, default=0x01)
    additional_length: int = u8(1, default=0x0A)
    command_specific: int = u64(4)


@structure(size=8, section="SPC-4 Sense key specific sense data descriptor")
class SenseKeySpecificDescriptor(Structure):
    """Carries a :class:`FieldPointer`."""

    kind: int = u8(0, default=0x02)
    additional_length: int = u8(1, default=0x06)
    sense_key_specific: bytes = raw(4, 3)
