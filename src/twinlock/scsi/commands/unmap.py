"""UNMAP: the initiator gives blocks back."""

from collections.abc import Sequence
from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import Discard, Result, Status
from twinlock.scsi.sense import invalid_field, refuse
from twinlock.scsi.transfer import check_range, data_received
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import UnmapCdb
from twinlock.wire.scsi_data import UnmapDescriptor, UnmapHeader
from twinlock.wire.scsi_sense import SenseCode

_BEHIND_DATA_LENGTH = 2


def unmap(call: Call[Disk], cdb: UnmapCdb) -> Outcome:
    """The ranges of the parameter list, once all of it is found to be in order."""
    if cdb.anchor:  # ANC_SUP is 0 in the Logical Block Provisioning page
        raise invalid_field(cdb, "anchor")
    wanted = cdb.parameter_list_length
    descriptors = _descriptors(data_received(call.data_out, wanted)) if wanted else []
    _check(call.unit, descriptors)
    size = call.unit.geometry.block_size
    ranges = tuple(
        (each.logical_block_address * size, each.number_of_blocks * size)
        for each in descriptors
        if each.number_of_blocks
    )
    return Discard(ranges, wanted) if ranges else Result(Status.GOOD, data_out_used=wanted)


def _descriptors(parameters: memoryview) -> Sequence[UnmapDescriptor]:
    """The block descriptors; an incomplete one at the end does not count (SBC-3)."""
    if parameters.nbytes < UnmapHeader.SIZE:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    header = UnmapHeader.parse(parameters)
    end = UnmapHeader.SIZE + header.descriptor_data_length
    if end > parameters.nbytes or end > header.data_length + _BEHIND_DATA_LENGTH:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    last = end - UnmapDescriptor.SIZE
    starts = range(UnmapHeader.SIZE, last + 1, UnmapDescriptor.SIZE)
    return [UnmapDescriptor.parse(parameters, start) for start in starts]


def _check(disk: Disk, descriptors: Sequence[UnmapDescriptor]) -> None:
    blocks = sum(each.number_of_blocks for each in descriptors)
    if len(descriptors) > disk.limits.unmap_descriptors or blocks > disk.limits.unmap_blocks:
        raise refuse(SenseCode.INVALID_FIELD_IN_PARAMETER_LIST)
    for each in descriptors:
        check_range(disk, each.logical_block_address, each.number_of_blocks)


def _offered(disk: Disk) -> bool:
    return disk.geometry.discard


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("UNMAP", Opcode.UNMAP, UnmapCdb, unmap, writes=True, offered=_offered),
)
