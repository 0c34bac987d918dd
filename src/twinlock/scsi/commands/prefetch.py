"""PRE-FETCH (10) and (16): a hint that blocks will be read.

The answer is GOOD, never CONDITION MET: that would promise that all of the blocks are in the cache,
and the page cache of a whole machine keeps no promises (SBC-3).
"""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import GOOD, Prefetch
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.transfer import check_range
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb_medium import Prefetch10Cdb, Prefetch16Cdb


def prefetch(call: Call[Disk], cdb: Prefetch10Cdb | Prefetch16Cdb) -> Outcome:
    """The range, or the first of it that one transfer could fetch; a length of 0 means to the end."""
    disk, first, count = call.unit, cdb.logical_block_address, cdb.prefetch_length
    check_range(disk, first, count)
    count = min(count or disk.geometry.blocks - first, disk.transfer_blocks)
    size = disk.geometry.block_size
    return Prefetch(first * size, count * size) if count else GOOD


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("PRE-FETCH (10)", Opcode.PRE_FETCH_10, Prefetch10Cdb, prefetch, access=Access.READ),
    Command("PRE-FETCH (16)", Opcode.PRE_FETCH_16, Prefetch16Cdb, prefetch, access=Access.READ),
)
