"""WRITE AND VERIFY in its three lengths: on the medium, and read back from it."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.commands.verify import ByteCheck, VerifyCdb
from twinlock.scsi.operations import Result, Status, WriteVerify
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import blocks_received, check_transfer
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import Verify10Cdb, Verify12Cdb, Verify16Cdb

_CHECKS = (ByteCheck.MEDIUM_ONLY, ByteCheck.ALL_BLOCKS)


def write_and_verify(call: Call[Disk], cdb: VerifyCdb) -> Outcome:
    """As a write: of what came, if the initiator sent less than it asked for."""
    disk, size = call.unit, call.unit.geometry.block_size
    if cdb.byte_check not in _CHECKS:
        raise invalid_field(cdb, "byte_check")
    check_transfer(disk, cdb)
    wanted = cdb.transfer_length * size
    data = blocks_received(call.data_out, wanted, size)
    if not data:
        return Result(Status.GOOD, data_out_used=wanted)
    compare = cdb.byte_check == ByteCheck.ALL_BLOCKS
    return WriteVerify(cdb.logical_block_address * size, data, compare, wanted)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("WRITE AND VERIFY (10)", Opcode.WRITE_AND_VERIFY_10, Verify10Cdb, write_and_verify, writes=True),
    Command("WRITE AND VERIFY (12)", Opcode.WRITE_AND_VERIFY_12, Verify12Cdb, write_and_verify, writes=True),
    Command("WRITE AND VERIFY (16)", Opcode.WRITE_AND_VERIFY_16, Verify16Cdb, write_and_verify, writes=True),
)
