"""READ and WRITE in their four lengths."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import GOOD, Read, Result, Status, Write
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.transfer import blocks_received, check_transfer
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import Transfer6Cdb, Transfer10Cdb, Transfer12Cdb, Transfer16Cdb

TransferCdb = Transfer6Cdb | Transfer10Cdb | Transfer12Cdb | Transfer16Cdb


def read(call: Call[Disk], cdb: TransferCdb) -> Outcome:
    """Blocks from the medium; none at all is no error."""
    disk, count = call.unit, cdb.transfer_length
    check_transfer(disk, cdb)
    if not count:
        return GOOD
    size = disk.geometry.block_size
    return Read(cdb.logical_block_address * size, count * size, cdb.force_unit_access)


def write(call: Call[Disk], cdb: TransferCdb) -> Outcome:
    """Blocks to the medium: as many as came, if the initiator sent fewer than it asked for."""
    disk, count = call.unit, cdb.transfer_length
    check_transfer(disk, cdb)
    size = disk.geometry.block_size
    wanted = count * size
    data = blocks_received(call.data_out, wanted, size)
    if not data:
        return Result(Status.GOOD, data_out_used=wanted)
    return Write(cdb.logical_block_address * size, data, cdb.force_unit_access, wanted)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("READ (6)", Opcode.READ_6, Transfer6Cdb, read, access=Access.READ),
    Command("READ (10)", Opcode.READ_10, Transfer10Cdb, read, access=Access.READ),
    Command("READ (12)", Opcode.READ_12, Transfer12Cdb, read, access=Access.READ),
    Command("READ (16)", Opcode.READ_16, Transfer16Cdb, read, access=Access.READ),
    Command("WRITE (6)", Opcode.WRITE_6, Transfer6Cdb, write, writes=True),
    Command("WRITE (10)", Opcode.WRITE_10, Transfer10Cdb, write, writes=True),
    Command("WRITE (12)", Opcode.WRITE_12, Transfer12Cdb, write, writes=True),
    Command("WRITE (16)", Opcode.WRITE_16, Transfer16Cdb, write, writes=True),
)
