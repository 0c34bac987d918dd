"""INQUIRY data: the standard 96 bytes and the vital product data pages (SPC-4, SBC-3).

Offsets count from the start of the page, as in the standards' tables, so each
fixed page includes its four bytes of header.
"""

from enum import IntEnum

from twinlock.wire.structure import Structure, bits, flag, raw, structure, u8, u16, u32, u64


class Peripheral(IntEnum):
    """PERIPHERAL QUALIFIER and PERIPHERAL DEVICE TYPE, as they share byte 0."""

    DISK = 0x00
    WELL_KNOWN_LOGICAL_UNIT = 0x1E
    NOTHING_HERE = 0x7F
    """Qualifier 011b, type 1Fh: no device can be at this LUN."""


class VersionDescriptor(IntEnum):
    """Standards claimed (SPC-4, version descriptor values; "no version claimed" forms)."""

    SAM_5 = 0x00A0
    SPC_4 = 0x0460
    SBC_3 = 0x04C0
    ISCSI = 0x0960


class VpdPage(IntEnum):
    """PAGE CODE of INQUIRY with EVPD."""

    SUPPORTED_PAGES = 0x00
    UNIT_SERIAL_NUMBER = 0x80
    DEVICE_IDENTIFICATION = 0x83
    EXTENDED_INQUIRY = 0x86
    THIRD_PARTY_COPY = 0x8F
    BLOCK_LIMITS = 0xB0
    BLOCK_DEVICE_CHARACTERISTICS = 0xB1
    LOGICAL_BLOCK_PROVISIONING = 0xB2


class ProvisioningType(IntEnum):
    """PROVISIONING TYPE of the Logical Block Provisioning page."""

    FULL_OR_UNKNOWN = 0
    THIN = 2


@structure(size=96, section="SPC-4 Standard INQUIRY data")
class StandardInquiry(Structure):
    """VERSION 06h is SPC-4.  Text fields are padded with spaces by the caller."""

    peripheral: int = u8(0)
    removable_medium: bool = flag(1, 7, default=False)
    version: int = u8(2, default=0x06)
    hierarchical_luns: bool = flag(3, 4, default=True)
    response_data_format: int = bits(3, 3, 0, default=2)
    additional_length: int = u8(4, default=91)
    target_port_group_support: int = bits(5, 5, 4, default=0)
    third_party_copy: bool = flag(5, 3)
    protection: bool = flag(5, 0, default=False)
    multiple_ports: bool = flag(6, 4, default=False)
    command_queuing: bool = flag(7, 1, default=True)
    vendor: bytes = raw(8, 8)
    product: bytes = raw(16, 16)
    revision: bytes = raw(32, 4)
    architecture: int = u16(58, default=VersionDescriptor.SAM_5)
    transport: int = u16(60, default=VersionDescriptor.ISCSI)
    primary_commands: int = u16(62, default=VersionDescriptor.SPC_4)
    block_commands: int = u16(64, default=VersionDescriptor.SBC_3)


@structure(size=4, section="SPC-4 Vital product data parameters")
class VpdHeader(Structure):
    """In front of pages 00h, 80h and 83h, whose length varies."""

    peripheral: int = u8(0)
    page_code: int = u8(1)
    page_length: int = u16(2)


@structure(size=64, section="SPC-4 Extended INQUIRY Data VPD page")
class ExtendedInquiry(Structure):
    """Tasks are simple ones, whatever they say; the cache is volatile; sense data stay below 64 bytes."""

    peripheral: int = u8(0)
    page_code: int = u8(1, default=VpdPage.EXTENDED_INQUIRY)
    page_length: int = u16(2, default=60)
    head_of_queue: bool = flag(5, 2, default=False)
    ordered: bool = flag(5, 1, default=False)
    simple: bool = flag(5, 0, default=True)
    non_volatile_cache: bool = flag(6, 1, default=False)
    volatile_cache: bool = flag(6, 0, default=True)
    maximum_sense_length: int = u8(13, default=64)


class Association(IntEnum):
    """What a designator names."""

    LOGICAL_UNIT = 0
    TARGET_PORT = 1
    TARGET_DEVICE = 2


class DesignatorType(IntEnum):
    """DESIGNATOR TYPE of a designation descriptor."""

    T10_VENDOR_ID = 1
    NAA = 3
    RELATIVE_TARGET_PORT = 4
    SCSI_NAME_STRING = 8


class CodeSet(IntEnum):
    """CODE SET of a designation descriptor."""

    BINARY = 1
    ASCII = 2
    UTF_8 = 3


PROTOCOL_ISCSI = 5
"""PROTOCOL IDENTIFIER (SPC-4, protocol identifiers)."""


@structure(size=4, section="SPC-4 Designation descriptor")
class DesignationHeader(Structure):
    """In front of each designator of page 83h; PROTOCOL IDENTIFIER counts only with PIV."""

    protocol: int = bits(0, 7, 4)
    code_set: int = bits(0, 3, 0)
    protocol_valid: bool = flag(1, 7)
    association: int = bits(1, 5, 4)
    designator_type: int = bits(1, 3, 0)
    designator_length: int = u8(3)


@structure(size=64, section="SBC-3 Block Limits VPD page")
class BlockLimits(Structure):
    """All counts in logical blocks; 0 in a maximum means "not reported", and "not supported" for UNMAP."""

    peripheral: int = u8(0)
    page_code: int = u8(1, default=VpdPage.BLOCK_LIMITS)
    page_length: int = u16(2, default=60)
    maximum_compare_and_write_length: int = u8(5)
    optimal_transfer_length_granularity: int = u16(6)
    maximum_transfer_length: int = u32(8)
    optimal_transfer_length: int = u32(12)
    maximum_prefetch_length: int = u32(16, default=0)
    maximum_unmap_lba_count: int = u32(20)
    maximum_unmap_descriptor_count: int = u32(24)
    optimal_unmap_granularity: int = u32(28)
    unmap_granularity_alignment_valid: bool = flag(32, 7)
    maximum_write_same_length: int = u64(36)


@structure(size=64, section="SBC-3 Block Device Characteristics VPD page")
class BlockDeviceCharacteristics(Structure):
    """A rotation rate of 0 means "not reported": the members may be anything."""

    peripheral: int = u8(0)
    page_code: int = u8(1, default=VpdPage.BLOCK_DEVICE_CHARACTERISTICS)
    page_length: int = u16(2, default=60)
    medium_rotation_rate: int = u16(4, default=0)
    nominal_form_factor: int = bits(7, 3, 0, default=0)


@structure(size=8, section="SBC-3 Logical Block Provisioning VPD page")
class LogicalBlockProvisioning(Structure):
    """Which commands unmap, and what unmapped blocks read as (LBPRZ 0: anything)."""

    peripheral: int = u8(0)
    page_code: int = u8(1, default=VpdPage.LOGICAL_BLOCK_PROVISIONING)
    page_length: int = u16(2, default=4)
    unmap: bool = flag(5, 7)
    write_same_16: bool = flag(5, 6)
    write_same_10: bool = flag(5, 5)
    reads_zeros: int = bits(5, 4, 2, default=0)
    anchor: bool = flag(5, 1, default=False)
    provisioning_type: int = bits(6, 2, 0)


@structure(size=4, section="SPC-4 Relative target port identifier designator format")
class RelativeTargetPort(Structure):
    """The port's number within the target, from 1."""

    number: int = u16(2)
