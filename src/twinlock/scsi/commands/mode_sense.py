"""MODE SENSE (6) and (10): header, block descriptor, pages."""

from collections.abc import Iterable
from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.mode_pages import PAGES, page_values
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field, refuse
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import ModeSense6Cdb, ModeSense10Cdb
from twinlock.wire.scsi_mode import (
    ALL_SUBPAGES,
    LongBlockDescriptor,
    ModeHeader6,
    ModeHeader10,
    ModePage,
    PageControl,
    ShortBlockDescriptor,
)
from twinlock.wire.scsi_sense import SenseCode

_U32_MAX = (1 << 32) - 1

ModeSenseCdb = ModeSense6Cdb | ModeSense10Cdb


def mode_sense_6(call: Call[Disk], cdb: ModeSense6Cdb) -> Result:
    """The short form; its lengths are single bytes."""
    pages, descriptor = _parameters(call.unit, cdb)
    header = ModeHeader6(
        mode_data_length=ModeHeader6.SIZE - 1 + len(descriptor) + len(pages),
        write_protect=call.unit.write_protection is not None,
        dpo_fua=True,
        block_descriptor_length=len(descriptor),
    )
    return reply(header.build() + descriptor + pages, cdb.allocation_length)


def mode_sense_10(call: Call[Disk], cdb: ModeSense10Cdb) -> Result:
    """The long form, which also knows long block descriptors."""
    pages, descriptor = _parameters(call.unit, cdb)
    header = ModeHeader10(
        mode_data_length=ModeHeader10.SIZE - 2 + len(descriptor) + len(pages),
        write_protect=call.unit.write_protection is not None,
        dpo_fua=True,
        long_lba=len(descriptor) == LongBlockDescriptor.SIZE,
        block_descriptor_length=len(descriptor),
    )
    return reply(header.build() + descriptor + pages, cdb.allocation_length)


def _parameters(disk: Disk, cdb: ModeSenseCdb) -> tuple[bytes, bytes]:
    """The pages asked for, and the block descriptor unless it is not wanted."""
    which = PageControl(cdb.page_control)
    selected = _selected_pages(cdb)
    if which is PageControl.SAVED:
        raise refuse(SenseCode.SAVING_PARAMETERS_NOT_SUPPORTED)
    pages = b"".join(page_values(disk, page, which) for page in selected)
    return pages, _block_descriptor(disk, cdb)


def _selected_pages(cdb: ModeSenseCdb) -> Iterable[int]:
    if cdb.subpage_code not in (0, ALL_SUBPAGES):
        raise invalid_field(cdb, "subpage_code")
    if cdb.page_code == ModePage.ALL:
        return tuple(PAGES)
    if cdb.page_code not in PAGES:
        raise invalid_field(cdb, "page_code")
    return (cdb.page_code,)


def _block_descriptor(disk: Disk, cdb: ModeSenseCdb) -> bytes:
    if cdb.disable_block_descriptors:
        return b""
    blocks, length = disk.geometry.blocks, disk.geometry.block_size
    if cdb.long_lba_accepted:
        return LongBlockDescriptor(number_of_blocks=blocks, block_length=length).build()
    return ShortBlockDescriptor(number_of_blocks=min(blocks, _U32_MAX), block_length=length).build()


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("MODE SENSE (6)", Opcode.MODE_SENSE_6, ModeSense6Cdb, mode_sense_6, access=Access.READ),
    Command("MODE SENSE (10)", Opcode.MODE_SENSE_10, ModeSense10Cdb, mode_sense_10, access=Access.READ),
)
