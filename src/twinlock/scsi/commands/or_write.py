"""ORWRITE (16): sets bits on the medium, for bitmaps that several initiators share."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import OrWrite, Result, Status
from twinlock.scsi.transfer import blocks_received, check_transfer
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import Transfer16Cdb


def or_write(call: Call[Disk], cdb: Transfer16Cdb) -> Outcome:
    """As a write: with what came, if the initiator sent less than it asked for."""
    disk, size = call.unit, call.unit.geometry.block_size
    check_transfer(disk, cdb)
    wanted = cdb.transfer_length * size
    data = blocks_received(call.data_out, wanted, size)
    if not data:
        return Result(Status.GOOD, data_out_used=wanted)
    return OrWrite(cdb.logical_block_address * size, data, cdb.force_unit_access, wanted)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("ORWRITE (16)", Opcode.ORWRITE_16, Transfer16Cdb, or_write, writes=True),
)
