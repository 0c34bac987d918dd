"""CDBs that do more with blocks than move them: compare, repeat, copy, and ask where they lie."""

from twinlock.wire.scsi_cdb import Cdb
from twinlock.wire.structure import bits, flag, structure, u8, u16, u32, u64


@structure(size=10, section="SBC-3 WRITE SAME (10) command")
class WriteSame10Cdb(Cdb):
    """41h.  PBDATA and LBDATA are of SBC-2; who sets one must not get plain blocks."""

    protect: int = bits(1, 7, 5)
    anchor: bool = flag(1, 4)
    unmap: bool = flag(1, 3)
    physical_block_data: bool = flag(1, 2)
    logical_block_data: bool = flag(1, 1)
    logical_block_address: int = u32(2)
    number_of_blocks: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=16, section="SBC-3 WRITE SAME (16) command")
class WriteSame16Cdb(Cdb):
    """93h.  With NDOB no data-out comes, and zeros are meant."""

    protect: int = bits(1, 7, 5)
    anchor: bool = flag(1, 4)
    unmap: bool = flag(1, 3)
    physical_block_data: bool = flag(1, 2)
    logical_block_data: bool = flag(1, 1)
    no_data_out: bool = flag(1, 0)
    logical_block_address: int = u64(2)
    number_of_blocks: int = u32(10)
    naca: bool = flag(15, 2)


@structure(size=16, section="SBC-3 COMPARE AND WRITE command")
class CompareAndWriteCdb(Cdb):
    """89h."""

    protect: int = bits(1, 7, 5)
    disable_page_out: bool = flag(1, 4)
    force_unit_access: bool = flag(1, 3)
    logical_block_address: int = u64(2)
    number_of_blocks: int = u8(13)
    naca: bool = flag(15, 2)


@structure(size=10, section="SBC-3 PRE-FETCH (10) command")
class Prefetch10Cdb(Cdb):
    """34h.  IMMED is not looked at: nothing is waited for in any case."""

    logical_block_address: int = u32(2)
    prefetch_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=16, section="SBC-3 PRE-FETCH (16) command")
class Prefetch16Cdb(Cdb):
    """90h.  IMMED is not looked at: nothing is waited for in any case."""

    logical_block_address: int = u64(2)
    prefetch_length: int = u32(10)
    naca: bool = flag(15, 2)


@structure(size=16, section="SBC-3 GET LBA STATUS command")
class GetLbaStatusCdb(Cdb):
    """9Eh/12h."""

    logical_block_address: int = u64(2)
    allocation_length: int = u32(10)
    naca: bool = flag(15, 2)


@structure(size=16, section="SPC-4 EXTENDED COPY (LID1) command")
class ExtendedCopyCdb(Cdb):
    """83h/00h."""

    parameter_list_length: int = u32(10)
    naca: bool = flag(15, 2)


@structure(size=16, section="SPC-4 RECEIVE COPY STATUS (LID1) command and its kin")
class ReceiveCopyResultsCdb(Cdb):
    """84h/00h, 84h/03h, 84h/04h."""

    list_identifier: int = u8(2)
    allocation_length: int = u32(10)
    naca: bool = flag(15, 2)
