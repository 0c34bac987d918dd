"""Third-party copy (SPC-4): EXTENDED COPY (LID1), what RECEIVE COPY RESULTS tells, and VPD page 8Fh."""

from enum import IntEnum

from twinlock.wire.structure import Structure, bits, flag, raw, structure, u8, u16, u24, u32, u64

# -- the parameter list ---------------------------------------------------------------------------


class ListIdUsage(IntEnum):
    """LIST ID USAGE: how long results are kept under the list identifier."""

    KEEP = 0b00
    MAY_DISCARD = 0b10
    NONE = 0b11


class DescriptorType(IntEnum):
    """DESCRIPTOR TYPE CODE: below C0h segments, from E0h on CSCDs."""

    BLOCK_TO_BLOCK = 0x02
    IDENTIFICATION = 0xE4


THIS_LOGICAL_UNIT = 0xFFFF
"""CSCD descriptor ID of the logical unit that received the command."""


@structure(size=16, section="SPC-4 EXTENDED COPY (LID1) parameter list")
class CopyHeader(Structure):
    """CSCD descriptors, segment descriptors and inline data follow, in this order; lengths in bytes."""

    list_identifier: int = u8(0)
    list_id_usage: int = bits(1, 4, 3)
    cscd_list_length: int = u16(2)
    segment_list_length: int = u32(8)
    inline_data_length: int = u32(12)


@structure(size=32, section="SPC-4 Identification Descriptor CSCD descriptor")
class IdentificationCscd(Structure):
    """A copy source or copy destination, named by a designator of its page 83h.

    With NUL a device is meant that is none: who asks for it must not get a disk.
    """

    type_code: int = u8(0)
    null_device: bool = flag(1, 5)
    peripheral_device_type: int = bits(1, 4, 0)
    code_set: int = bits(4, 3, 0)
    association: int = bits(5, 5, 4)
    designator_type: int = bits(5, 3, 0)
    designator_length: int = u8(7)
    designator: bytes = raw(8, 20)
    disk_block_length: int = u24(29)


@structure(size=4, section="SPC-4 Segment descriptor header")
class SegmentHeader(Structure):
    """DESCRIPTOR LENGTH counts what follows it."""

    type_code: int = u8(0)
    descriptor_length: int = u16(2)


@structure(size=28, section="SPC-4 Block device to block device segment descriptor")
class BlockToBlockSegment(Structure):
    """Blocks from one place to another.  CAT and DC say nothing where all blocks have one size."""

    type_code: int = u8(0)
    descriptor_length: int = u16(2)
    source: int = u16(4)
    destination: int = u16(6)
    number_of_blocks: int = u16(10)
    source_address: int = u64(12)
    destination_address: int = u64(20)


# -- results --------------------------------------------------------------------------------------


class CopyStatus(IntEnum):
    """COPY MANAGER STATUS."""

    IN_PROGRESS = 0x00
    COMPLETED = 0x01
    FAILED = 0x02


class TransferUnits(IntEnum):
    """TRANSFER COUNT UNITS."""

    BYTES = 0
    KIBIBYTES = 1
    MEBIBYTES = 2


@structure(size=12, section="SPC-4 RECEIVE COPY STATUS (LID1) parameter data")
class CopyStatusData(Structure):
    """What became of a copy."""

    available_data: int = u32(0, default=8)
    held_data_discarded: bool = flag(4, 7, default=True)
    status: int = bits(4, 6, 0)
    segments_processed: int = u16(5)
    transfer_count_units: int = u8(7)
    transfer_count: int = u32(8)


@structure(size=44, section="SPC-4 RECEIVE COPY OPERATING PARAMETERS parameter data")
class OperatingParameters(Structure):
    """Limits; granularities are powers of two.  The implemented descriptor types follow, a byte each."""

    available_data: int = u32(0)
    no_list_id: bool = flag(4, 0, default=True)
    maximum_cscd_count: int = u16(8)
    maximum_segment_count: int = u16(10)
    maximum_descriptor_list_length: int = u32(12)
    maximum_segment_length: int = u32(16)
    maximum_inline_data_length: int = u32(20, default=0)
    held_data_limit: int = u32(24, default=0)
    maximum_stream_transfer_size: int = u32(28, default=0)
    total_concurrent_copies: int = u16(34)
    maximum_concurrent_copies: int = u8(36)
    data_segment_granularity: int = u8(37)
    inline_data_granularity: int = u8(38, default=0)
    held_data_granularity: int = u8(39, default=0)
    implemented_descriptor_list_length: int = u8(43)


@structure(size=60, section="SPC-4 RECEIVE COPY FAILURE DETAILS (LID1) parameter data")
class FailureDetails(Structure):
    """How a copy failed; its sense data follow."""

    available_data: int = u32(0)
    command_status: int = u8(56)
    sense_data_length: int = u16(58)


# -- VPD page 8Fh ---------------------------------------------------------------------------------


class ThirdPartyCopy(IntEnum):
    """THIRD-PARTY COPY DESCRIPTOR TYPE: those that are mandatory with EXTENDED COPY."""

    SUPPORTED_COMMANDS = 0x0001
    PARAMETER_DATA = 0x0004
    SUPPORTED_DESCRIPTORS = 0x0008
    SUPPORTED_CSCD_IDS = 0x000C
    GENERAL_COPY_OPERATIONS = 0x8001
    HELD_DATA = 0xC001


@structure(size=4, section="SPC-4 Third-party copy descriptor")
class ThirdPartyCopyHeader(Structure):
    """DESCRIPTOR LENGTH counts what follows; a multiple of four."""

    descriptor_type: int = u16(0)
    descriptor_length: int = u16(2)


@structure(size=28, section="SPC-4 Parameter Data third-party copy descriptor")
class ParameterDataLimits(Structure):
    """Counted from behind the header of the descriptor, as all of these."""

    maximum_cscd_count: int = u16(4)
    maximum_segment_count: int = u16(6)
    maximum_descriptor_list_length: int = u32(8)
    maximum_inline_data_length: int = u32(12, default=0)


@structure(size=32, section="SPC-4 General Copy Operations third-party copy descriptor")
class GeneralCopyOperations(Structure):
    """Granularities are powers of two."""

    total_concurrent_copies: int = u32(0)
    maximum_identified_copies: int = u32(4)
    maximum_segment_length: int = u32(8)
    data_segment_granularity: int = u8(12)
    inline_data_granularity: int = u8(13, default=0)


@structure(size=28, section="SPC-4 Held Data third-party copy descriptor")
class HeldData(Structure):
    """None: no segment descriptor that is served has data to hold."""

    held_data_limit: int = u32(0, default=0)
    held_data_granularity: int = u8(4, default=0)
