"""Command descriptor blocks: what an initiator asks of a logical unit.

Every command that is served has its CDB declared here, bit by bit, and nowhere
else.  Bits that are not declared are not looked at.  So the CDB USAGE DATA that
REPORT SUPPORTED OPERATION CODES returns, and the field pointer in the sense
data of a refused CDB, both come from these tables.

Sections are cited by the command's heading, because the numbers differ from
revision to revision of SPC-4 and SBC-3.
"""

from typing import ClassVar

from twinlock.wire.structure import Field, Structure, bits, flag, structure, u8, u16, u32, u64


class Cdb(Structure):
    """What all CDBs have in common: the CONTROL byte at their end (SAM-5, CONTROL byte)."""

    __slots__ = ()
    naca: bool


def usage_of(field: Field) -> int:
    """The bits of ``field``, as a number of ``field.size`` bytes."""
    return field.mask << field.shift if field.kind in ("bits", "flag") else (1 << 8 * field.size) - 1


def usage_map(cdb: type[Cdb], opcode: int, service_action: int | None = None) -> bytes:
    """CDB USAGE DATA: a one for each bit that is looked at (SPC-4, one_command parameter data)."""
    usage = bytearray(cdb.SIZE)
    usage[0] = opcode
    if service_action is not None:
        usage[1] = service_action
    for field in cdb.FIELDS.values():
        for index, byte in enumerate(usage_of(field).to_bytes(field.size, "big"), field.offset):
            usage[index] |= byte
    return bytes(usage)


# -- SPC-4 ----------------------------------------------------------------------------------------


@structure(size=6, section="SPC-4 TEST UNIT READY command")
class TestUnitReadyCdb(Cdb):
    """00h."""

    naca: bool = flag(5, 2)


@structure(size=6, section="SPC-4 REQUEST SENSE command")
class RequestSenseCdb(Cdb):
    """03h."""

    descriptor_format: bool = flag(1, 0)
    allocation_length: int = u8(4)
    naca: bool = flag(5, 2)


@structure(size=6, section="SPC-4 INQUIRY command")
class InquiryCdb(Cdb):
    """12h.  CMDDT is of SPC-2; who sets it must not get standard INQUIRY data."""

    vital_product_data: bool = flag(1, 0)
    command_support_data: bool = flag(1, 1)
    page_code: int = u8(2)
    allocation_length: int = u16(3)
    naca: bool = flag(5, 2)


@structure(size=6, section="SPC-4 MODE SENSE(6) command")
class ModeSense6Cdb(Cdb):
    """1Ah."""

    long_lba_accepted: ClassVar[bool] = False
    disable_block_descriptors: bool = flag(1, 3)
    page_control: int = bits(2, 7, 6)
    page_code: int = bits(2, 5, 0)
    subpage_code: int = u8(3)
    allocation_length: int = u8(4)
    naca: bool = flag(5, 2)


@structure(size=10, section="SPC-4 MODE SENSE(10) command")
class ModeSense10Cdb(Cdb):
    """5Ah."""

    long_lba_accepted: bool = flag(1, 4)
    disable_block_descriptors: bool = flag(1, 3)
    page_control: int = bits(2, 7, 6)
    page_code: int = bits(2, 5, 0)
    subpage_code: int = u8(3)
    allocation_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=12, section="SPC-4 REPORT LUNS command")
class ReportLunsCdb(Cdb):
    """A0h."""

    select_report: int = u8(2)
    allocation_length: int = u32(6)
    naca: bool = flag(11, 2)


@structure(size=12, section="SPC-4 REPORT SUPPORTED OPERATION CODES command")
class ReportSupportedOperationCodesCdb(Cdb):
    """A3h/0Ch."""

    return_timeouts: bool = flag(2, 7)
    reporting_options: int = bits(2, 2, 0)
    requested_opcode: int = u8(3)
    requested_service_action: int = u16(4)
    allocation_length: int = u32(6)
    naca: bool = flag(11, 2)


# -- SBC-3: what is not a transfer of blocks ------------------------------------------------------


@structure(size=6, section="SBC-3 START STOP UNIT command")
class StartStopUnitCdb(Cdb):
    """1Bh."""

    power_condition: int = bits(4, 7, 4)
    no_flush: bool = flag(4, 2)
    load_eject: bool = flag(4, 1)
    start: bool = flag(4, 0)
    naca: bool = flag(5, 2)


@structure(size=6, section="SBC-3 PREVENT ALLOW MEDIUM REMOVAL command")
class PreventAllowMediumRemovalCdb(Cdb):
    """1Eh."""

    prevent: int = bits(4, 1, 0)
    naca: bool = flag(5, 2)


@structure(size=10, section="SBC-3 READ CAPACITY (10) command")
class ReadCapacity10Cdb(Cdb):
    """25h.  LOGICAL BLOCK ADDRESS and PMI are of SBC-2."""

    logical_block_address: int = u32(2)
    partial_medium_indicator: bool = flag(8, 0)
    naca: bool = flag(9, 2)


@structure(size=16, section="SBC-3 READ CAPACITY (16) command")
class ReadCapacity16Cdb(Cdb):
    """9Eh/10h.  LOGICAL BLOCK ADDRESS and PMI are of SBC-2."""

    logical_block_address: int = u64(2)
    allocation_length: int = u32(10)
    partial_medium_indicator: bool = flag(14, 0)
    naca: bool = flag(15, 2)


@structure(size=10, section="SBC-3 UNMAP command")
class UnmapCdb(Cdb):
    """42h."""

    anchor: bool = flag(1, 0)
    parameter_list_length: int = u16(7)
    naca: bool = flag(9, 2)


# -- SBC-3: reads and writes, one layout per length -----------------------------------------------


@structure(size=6, section="SBC-2 READ (6) command, WRITE (6) command")
class Transfer6Cdb(Cdb):
    """08h, 0Ah.  The address has 21 bits: five of byte 1, then two bytes."""

    protect: ClassVar[int] = 0
    force_unit_access: ClassVar[bool] = False
    address_high: int = bits(1, 4, 0)
    address_low: int = u16(2)
    length: int = u8(4)
    naca: bool = flag(5, 2)

    @property
    def logical_block_address(self) -> int:
        """The whole address."""
        return self.address_high << 16 | self.address_low

    @property
    def transfer_length(self) -> int:
        """Blocks; a length of 0 stands for 256."""
        return self.length or 256


@structure(size=10, section="SBC-3 READ (10) command, WRITE (10) command")
class Transfer10Cdb(Cdb):
    """28h, 2Ah."""

    protect: int = bits(1, 7, 5)
    disable_page_out: bool = flag(1, 4)
    force_unit_access: bool = flag(1, 3)
    logical_block_address: int = u32(2)
    transfer_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=12, section="SBC-3 READ (12) command, WRITE (12) command")
class Transfer12Cdb(Cdb):
    """A8h, AAh."""

    protect: int = bits(1, 7, 5)
    disable_page_out: bool = flag(1, 4)
    force_unit_access: bool = flag(1, 3)
    logical_block_address: int = u32(2)
    transfer_length: int = u32(6)
    naca: bool = flag(11, 2)


@structure(size=16, section="SBC-3 READ (16) command, WRITE (16) command")
class Transfer16Cdb(Cdb):
    """88h, 8Ah."""

    protect: int = bits(1, 7, 5)
    disable_page_out: bool = flag(1, 4)
    force_unit_access: bool = flag(1, 3)
    logical_block_address: int = u64(2)
    transfer_length: int = u32(10)
    naca: bool = flag(15, 2)


# -- SBC-3: VERIFY and SYNCHRONIZE CACHE ----------------------------------------------------------


@structure(size=10, section="SBC-3 VERIFY (10) command")
class Verify10Cdb(Cdb):
    """2Fh."""

    protect: int = bits(1, 7, 5)
    disable_page_out: bool = flag(1, 4)
    byte_check: int = bits(1, 2, 1)
    logical_block_address: int = u32(2)
    transfer_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=12, section="SBC-3 VERIFY (12) command")
class Verify12Cdb(Cdb):
    """AFh."""

    protect: int = bits(1, 7, 5)
    disable_page_out: bool = flag(1, 4)
    byte_check: int = bits(1, 2, 1)
    logical_block_address: int = u32(2)
    transfer_length: int = u32(6)
    naca: bool = flag(11, 2)


@structure(size=16, section="SBC-3 VERIFY (16) command")
class Verify16Cdb(Cdb):
    """8Fh."""

    protect: int = bits(1, 7, 5)
    disable_page_out: bool = flag(1, 4)
    byte_check: int = bits(1, 2, 1)
    logical_block_address: int = u64(2)
    transfer_length: int = u32(10)
    naca: bool = flag(15, 2)


@structure(size=10, section="SBC-3 SYNCHRONIZE CACHE (10) command")
class SynchronizeCache10Cdb(Cdb):
    """35h.  IMMED is not looked at: the status always waits for the flush."""

    logical_block_address: int = u32(2)
    transfer_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=16, section="SBC-3 SYNCHRONIZE CACHE (16) command")
class SynchronizeCache16Cdb(Cdb):
    """91h.  IMMED is not looked at: the status always waits for the flush."""

    logical_block_address: int = u64(2)
    transfer_length: int = u32(10)
    naca: bool = flag(15, 2)
