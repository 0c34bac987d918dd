"""MODE SELECT (6) and (10): all of the parameter list is applied, or none of it (SPC-4 6.11, 7.5)."""

from collections.abc import Iterator
from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.mode_pages import PAGES
from twinlock.scsi.mode_values import ModeValues
from twinlock.scsi.operations import Flush, Result, Status
from twinlock.scsi.sense import Refusal, Sense, invalid_field, invalid_parameter, refuse
from twinlock.scsi.transfer import data_received
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb_state import ModeSelect6Cdb, ModeSelect10Cdb
from twinlock.wire.scsi_mode import (
    LongBlockDescriptor,
    ModeHeader6,
    ModeHeader10,
    ModePageHeader,
    ShortBlockDescriptor,
)
from twinlock.wire.scsi_sense import FieldPointer, SenseCode

_SAME_CAPACITY = 0
_MOST_BLOCKS = {ShortBlockDescriptor: (1 << 32) - 1, LongBlockDescriptor: (1 << 64) - 1}


def mode_select(call: Call[Disk], cdb: ModeSelect6Cdb | ModeSelect10Cdb) -> Outcome:
    """Change what is changeable; others than who asked get a unit attention."""
    if cdb.save_pages:  # nothing is saved
        raise invalid_field(cdb, "save_pages")
    wanted = cdb.parameter_list_length
    if not wanted:
        return Result(Status.GOOD)
    if not cdb.page_format:  # pages as vendors had them before SCSI-2
        raise invalid_field(cdb, "page_format")
    header = ModeHeader6 if isinstance(cdb, ModeSelect6Cdb) else ModeHeader10
    try:
        mode = _selected(call.unit, header, bytes(data_received(call.data_out, wanted)))
    except Refusal as refusal:
        raise Refusal(refusal.sense, wanted) from None
    return _apply(call, mode, wanted)


def _apply(call: Call[Disk], mode: ModeValues, wanted: int) -> Outcome:
    before = call.unit.change_mode(mode, call.nexus)
    if mode.software_write_protect and not before.software_write_protect:
        return Flush(wanted)  # SBC-3, SWP: what was written goes to the medium first
    return Result(Status.GOOD, data_out_used=wanted)


def _selected(disk: Disk, header: type[ModeHeader6] | type[ModeHeader10], data: bytes) -> ModeValues:
    """The mode parameters as ``data``, a mode parameter list, would have them."""
    if len(data) < header.SIZE:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    parsed = header.parse(data)
    start = header.SIZE + parsed.block_descriptor_length
    _check_descriptor(disk, parsed, data[header.SIZE : start])
    mode = disk.mode
    for at, code, page in _pages(data, start):
        mode = _page(mode, at, code, page)
    return mode


def _check_descriptor(disk: Disk, header: ModeHeader6 | ModeHeader10, data: bytes) -> None:
    """A block descriptor may only say what is so: there is no FORMAT UNIT that could change it."""
    if not header.block_descriptor_length:
        return
    long = isinstance(header, ModeHeader10) and header.long_lba
    kind = LongBlockDescriptor if long else ShortBlockDescriptor
    if header.block_descriptor_length != kind.SIZE:
        raise invalid_parameter(type(header), "block_descriptor_length")
    if len(data) < kind.SIZE:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    descriptor = kind.parse(data)
    if descriptor.block_length != disk.geometry.block_size:
        raise invalid_parameter(kind, "block_length", header.SIZE)
    if descriptor.number_of_blocks not in (_SAME_CAPACITY, disk.geometry.blocks, _MOST_BLOCKS[kind]):
        raise invalid_parameter(kind, "number_of_blocks", header.SIZE)


def _pages(data: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Where each page lies, its code, and its bytes."""
    while at < len(data):
        if len(data) - at < ModePageHeader.SIZE:
            raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
        header = ModePageHeader.parse(data, at)
        end = at + ModePageHeader.SIZE + header.page_length
        known = PAGES.get(header.page_code)
        if known is None or header.subpage_format:
            raise invalid_parameter(ModePageHeader, "page_code", at)
        if header.page_length != known.size - ModePageHeader.SIZE:
            raise invalid_parameter(ModePageHeader, "page_length", at)
        if end > len(data):
            raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
        yield at, header.page_code, data[at:end]
        at = end


def _page(mode: ModeValues, start: int, code: int, page: bytes) -> ModeValues:
    """``mode`` with the changeable values of ``page``; refused if another value differs."""
    kind = PAGES[code]
    current, mask = kind.current(mode).build(), kind.changeable.build()
    for at in range(ModePageHeader.SIZE, len(page)):
        if wrong := (page[at] ^ current[at]) & ~mask[at]:
            pointer = FieldPointer(in_cdb=False, byte=start + at, bit_valid=True, bit=wrong.bit_length() - 1)
            raise Refusal(Sense(SenseCode.INVALID_FIELD_IN_PARAMETER_LIST, field=pointer))
    return kind.select(mode, page)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("MODE SELECT (6)", Opcode.MODE_SELECT_6, ModeSelect6Cdb, mode_select),
    Command("MODE SELECT (10)", Opcode.MODE_SELECT_10, ModeSelect10Cdb, mode_select),
)
