"""WRITE SAME (10) and (16): one block, over and over.

With UNMAP a device server may give the blocks back instead, if they then read as what
was sent (SBC-3).  Here they would read as noise (LBPRZ is 0), so the block is written, whatever it is.
"""

from typing import Any

from typing_extensions import Buffer

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import WriteSame
from twinlock.scsi.sense import invalid_field, refuse
from twinlock.scsi.transfer import check_range, exact_data
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb_medium import WriteSame10Cdb, WriteSame16Cdb
from twinlock.wire.scsi_sense import SenseCode

WriteSameCdb = WriteSame10Cdb | WriteSame16Cdb
_UNSUPPORTED = ("protect", "anchor", "physical_block_data", "logical_block_data")


def write_same(call: Call[Disk], cdb: WriteSameCdb) -> Outcome:
    """A number of 0 means all blocks to the end (WSNZ is 0)."""
    disk, size = call.unit, call.unit.geometry.block_size
    _check_flags(disk, cdb)
    first, count = cdb.logical_block_address, cdb.number_of_blocks
    if first >= disk.geometry.blocks:
        raise refuse(SenseCode.LBA_OUT_OF_RANGE)
    check_range(disk, first, count)
    count = count or disk.geometry.blocks - first
    if count > disk.write_same_blocks:
        raise invalid_field(cdb, "number_of_blocks")
    block, wanted = _block(call, cdb)
    return WriteSame(first * size, count * size, block, wanted)


def _check_flags(disk: Disk, cdb: WriteSameCdb) -> None:
    for name in _UNSUPPORTED:  # no protection information; ANC_SUP is 0
        if getattr(cdb, name):
            raise invalid_field(cdb, name)
    if cdb.unmap and not disk.geometry.discard:  # LBPWS and LBPWS10 are 0
        raise invalid_field(cdb, "unmap")


def _block(call: Call[Disk], cdb: WriteSameCdb) -> tuple[Buffer, int]:
    """What is written, and how much of it the initiator sends."""
    size = call.unit.geometry.block_size
    if isinstance(cdb, WriteSame16Cdb) and cdb.no_data_out:
        return bytes(size), 0
    return exact_data(call.data_out, size), size


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("WRITE SAME (10)", Opcode.WRITE_SAME_10, WriteSame10Cdb, write_same, writes=True),
    Command("WRITE SAME (16)", Opcode.WRITE_SAME_16, WriteSame16Cdb, write_same, writes=True),
)
