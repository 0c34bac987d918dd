"""GET LBA STATUS: which blocks take up room under the members."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import BlockStatus, Extent
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.results import lba_status
from twinlock.scsi.sense import refuse
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb_medium import GetLbaStatusCdb
from twinlock.wire.scsi_data import LbaStatusDescriptor, LbaStatusHeader
from twinlock.wire.scsi_sense import SenseCode

GET_LBA_STATUS = 0x12
"""Its service action."""
_MOST_BLOCKS = (1 << 32) - 1


def get_lba_status(call: Call[Disk], cdb: GetLbaStatusCdb) -> Outcome:
    """From the address on, as many extents as the initiator has room for; at least one."""
    disk, first, size = call.unit, cdb.logical_block_address, call.unit.geometry.block_size
    if first >= disk.geometry.blocks:
        raise refuse(SenseCode.LBA_OUT_OF_RANGE)
    length = min(disk.geometry.blocks - first, _MOST_BLOCKS) * size
    if not disk.geometry.discard:  # fully provisioned, as far as initiators are told
        whole = Extent(first * size, length, mapped=True)
        return reply(lba_status([whole], size), cdb.allocation_length)
    room = (cdb.allocation_length - LbaStatusHeader.SIZE) // LbaStatusDescriptor.SIZE
    most = max(1, min(room, disk.limits.status_extents))
    return BlockStatus(first * size, length, most, cdb.allocation_length)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command(
        "GET LBA STATUS",
        Opcode.SERVICE_ACTION_IN_16,
        GetLbaStatusCdb,
        get_lba_status,
        service_action=GET_LBA_STATUS,
        access=Access.READ,
    ),
)
