"""COMPARE AND WRITE: the initiator's lock on a shared disk."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import GOOD, CompareAndWrite
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import check_range, exact_data
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb_medium import CompareAndWriteCdb


def compare_and_write(call: Call[Disk], cdb: CompareAndWriteCdb) -> Outcome:
    """Data-out is what to compare with, then what to write; no blocks are no error."""
    disk, count = call.unit, cdb.number_of_blocks
    if cdb.protect:
        raise invalid_field(cdb, "protect")
    check_range(disk, cdb.logical_block_address, count)
    if count > disk.limits.compare_blocks or (not count and _bytes_sent(call)):
        raise invalid_field(cdb, "number_of_blocks")  # 256 blocks do not fit into the byte, and become none
    if not count:
        return GOOD
    length = count * disk.geometry.block_size
    data = exact_data(call.data_out, 2 * length)
    offset = cdb.logical_block_address * disk.geometry.block_size
    return CompareAndWrite(offset, data[:length], data[length:], cdb.force_unit_access, 2 * length)


def _bytes_sent(call: Call[Disk]) -> int:
    return memoryview(call.data_out).nbytes


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command(
        "COMPARE AND WRITE", Opcode.COMPARE_AND_WRITE, CompareAndWriteCdb, compare_and_write, writes=True
    ),
)
