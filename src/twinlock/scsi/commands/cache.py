"""SYNCHRONIZE CACHE (10) and (16).

The whole cache is flushed whatever range is named, and the status always waits
for it: with IMMED an initiator would take GOOD for a promise that nobody gave.
"""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import Flush
from twinlock.scsi.transfer import check_range
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import SynchronizeCache10Cdb, SynchronizeCache16Cdb


def synchronize_cache(call: Call[Disk], cdb: SynchronizeCache10Cdb | SynchronizeCache16Cdb) -> Flush:
    """A flush; no blocks means all from the address to the end."""
    check_range(call.unit, cdb.logical_block_address, cdb.transfer_length)
    return Flush()


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("SYNCHRONIZE CACHE (10)", Opcode.SYNCHRONIZE_CACHE_10, SynchronizeCache10Cdb, synchronize_cache),
    Command("SYNCHRONIZE CACHE (16)", Opcode.SYNCHRONIZE_CACHE_16, SynchronizeCache16Cdb, synchronize_cache),
)
