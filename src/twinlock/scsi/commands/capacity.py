"""READ CAPACITY (10) and (16)."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import ReadCapacity10Cdb, ReadCapacity16Cdb
from twinlock.wire.scsi_data import Capacity10, Capacity16

READ_CAPACITY_16 = 0x10
"""Its service action."""
_U32_MAX = (1 << 32) - 1


def read_capacity_10(call: Call[Disk], cdb: ReadCapacity10Cdb) -> Result:
    """The last block, or FFFFFFFFh where only the long form can say it."""
    _check_partial_medium(cdb)
    geometry = call.unit.geometry
    last = min(geometry.blocks - 1, _U32_MAX)
    data = Capacity10(last_logical_block_address=last, block_length=geometry.block_size).build()
    return reply(data, Capacity10.SIZE)


def read_capacity_16(call: Call[Disk], cdb: ReadCapacity16Cdb) -> Result:
    """The last block, the physical block size, and whether blocks can be unmapped (LBPRZ is 0)."""
    _check_partial_medium(cdb)
    geometry = call.unit.geometry
    data = Capacity16(
        last_logical_block_address=geometry.blocks - 1,
        block_length=geometry.block_size,
        physical_block_exponent=geometry.physical_block_exponent,
        provisioning_enabled=geometry.discard,
    )
    return reply(data.build(), cdb.allocation_length)


def _check_partial_medium(cdb: ReadCapacity10Cdb | ReadCapacity16Cdb) -> None:
    """SBC-2: an address makes sense only together with PMI (which then changes nothing for this disk)."""
    if cdb.logical_block_address and not cdb.partial_medium_indicator:
        raise invalid_field(cdb, "logical_block_address")


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command(
        "READ CAPACITY (10)",
        Opcode.READ_CAPACITY_10,
        ReadCapacity10Cdb,
        read_capacity_10,
        access=Access.NOTHING,
    ),
    Command(
        "READ CAPACITY (16)",
        Opcode.SERVICE_ACTION_IN_16,
        ReadCapacity16Cdb,
        read_capacity_16,
        service_action=READ_CAPACITY_16,
        access=Access.NOTHING,
    ),
)
