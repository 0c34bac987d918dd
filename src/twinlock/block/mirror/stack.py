"""What lies between the array and one member's medium, put together: the way of a member's data.

A member's checksums lie in the gap before its data, if it has one that md leaves alone; else in a file of
their own, in a folder that whoever opens the array names; else there are none.
"""

import os
from pathlib import Path

from twinlock.block.checked.device import CheckedDevice
from twinlock.block.checked.header import HEADER_SIZE, TableHeader, digest, parse_header
from twinlock.block.checked.place import TablePlace, entries_bytes
from twinlock.block.device import BlockDevice
from twinlock.block.file import FileDevice
from twinlock.block.mirror.badblocks import with_bad_blocks
from twinlock.block.mirror.layout import BLOCK, GROWTH, SUPERBLOCK_SIZE, bitmap_bytes
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.superblock import ACTIVE
from twinlock.block.section import Section
from twinlock.errors import DeviceError, MemberUnusable, TwinlockError
from twinlock.native.checksum import ENTRY
from twinlock.units import KIB, SECTOR, round_down, round_up

RESERVE = 128 * KIB
"""Bytes from the superblock on that are left alone: ``mdadm`` puts a bad-block log there any time."""


def open_data(
    member: Member, size: int, tables: Path | None = None, *, checksums: bool = True, make: bool = True
) -> None:
    """Set ``member.data`` (and ``member.checked``) to the ``size`` bytes of the array's data on it.

    ``tables`` is the folder for the checksums of members without a gap; without ``make`` no file is made
    there.  Nothing is written to a member; a table that is not bound to its superblock is not trusted, and
    waits to be rebuilt.
    """
    start = member.superblock.header.data_offset * SECTOR
    plain = with_bad_blocks(member.bad_blocks, Section(member.device, start, size), start // SECTOR)
    checked = _checked(member, plain, tables, make=make) if checksums else None
    if checked is None:
        _let_go(member)
    member.data, member.checked = checked or plain, checked


def disown_tables(record: Record) -> None:
    """Let no table be trusted later that is not kept now.

    A table is bound to the superblock, and a superblock is written before the first write, unless the array
    was left active: then it is now.  Raises MemberUnusable if that fails.
    """
    without = any(member.checked is None for member in record.writers)
    if not without or record.resync_offset != ACTIVE:
        return
    try:
        record.commit()
    except DeviceError as error:
        path = record.readers[0].path
        raise MemberUnusable(path=path, reason=f"it cannot be written to ({error})") from error


def close_table(member: Member) -> None:
    """Let go of the file of the member's checksums, if they are in one; its data are not checked then."""
    if member.checked is not None and member.checked.place.own:
        _let_go(member)
        member.data, member.checked = member.checked.lower, None


def _let_go(member: Member) -> None:
    """Close the file of a table that is not used any more."""
    if member.checked is not None and member.checked.place.own:
        member.checked.place.device.close()


def _checked(member: Member, plain: Section, tables: Path | None, *, make: bool) -> CheckedDevice | None:
    """The data with their checksums; None if there is no place for a table, or the member does not answer."""
    header = member.superblock.header
    try:
        page = memoryview(member.device.read(_superblock_offset(member), SUPERBLOCK_SIZE))
        place = _gap(member, plain.size) or _file(member, plain.size, tables, make=make)
        found = None if place is None else place.read_header()
    except DeviceError:
        return None
    if place is None:
        return None
    mine = TableHeader(
        array_uuid=header.set_uuid, device_uuid=header.device_uuid, data_offset=header.data_offset * SECTOR
    )
    size = _superblock_size(member)
    superblock = digest(page[:size])
    known = found if found is not None and _belongs(found, mine, superblock) else mine
    return CheckedDevice(plain, place, known, superblock=superblock, superblock_size=size)


def _belongs(found: TableHeader, mine: TableHeader, superblock: bytes) -> bool:
    """True if the table is this member's, and nobody else wrote to the member since."""
    same = (found.array_uuid, found.device_uuid, found.data_offset) == (
        mine.array_uuid,
        mine.device_uuid,
        mine.data_offset,
    )
    return same and superblock in (found.written, found.coming)


# -- places ---------------------------------------------------------------------------------------


def _gap(member: Member, size: int) -> TablePlace | None:
    """Directly before the data: the entries, then the header.  None if there is not enough room."""
    end = member.superblock.header.data_offset * SECTOR
    floor = gap_start(member)
    if end % BLOCK or floor is None:
        return None
    header = end - HEADER_SIZE
    room = round_down(header - floor, BLOCK)
    needed = entries_bytes(size)
    if room < needed:
        return None
    if (there := _there(member.device, header, floor)) is not None and there.capacity >= needed // ENTRY:
        return there
    length = min(room, max(needed, GROWTH * entries_bytes(member.device.size)))
    return TablePlace(member.device, header, header - length, length // ENTRY)


def _there(device: BlockDevice, header: int, floor: int) -> TablePlace | None:
    """The place of the table whose header lies there, if that is between ``floor`` and the header."""
    found = parse_header(device.read(header, HEADER_SIZE))
    if found is None or found.entries_offset < floor or found.entries_offset % BLOCK:
        return None
    if found.entries_offset + found.capacity * ENTRY > header:
        return None
    return TablePlace(device, header, found.entries_offset, found.capacity)


def gap_start(member: Member) -> int | None:
    """Where md's room before the data ends, in bytes of the member; None if all of it is behind them."""
    header = member.superblock.header
    superblock = _superblock_offset(member)
    end = header.data_offset * SECTOR
    if superblock >= end:
        return None
    areas = [(superblock, RESERVE)]
    if member.superblock.has_bitmap:
        areas.append((member.bitmap_start, _bitmap_room(member)))
    if header.bblog_size:
        log = member.metadata.bad_blocks_offset(member.superblock)
        areas.append((log, header.bblog_size * SECTOR))
    return round_up(max(start + length for start, length in areas if start < end), BLOCK)


def _bitmap_room(member: Member) -> int:
    if member.bitmap is None:
        return bitmap_bytes(member.superblock.header.size * SECTOR, 64 * KIB)
    own = member.bitmap.header
    return max(own.sectors_reserved * SECTOR, len(member.bitmap.pages) * BLOCK)


def _superblock_offset(member: Member) -> int:
    return member.metadata.offset


def _superblock_size(member: Member) -> int:
    """How many of its 4 KiB are its own: in some old arrays the bitmap begins within."""
    return member.metadata.extent(member.superblock)


def _file(member: Member, size: int, tables: Path | None, *, make: bool) -> TablePlace | None:
    """A file named by array and device; the one that is open already, if there is one."""
    if tables is None:
        return None
    opened = member.checked
    length = entries_bytes(size)
    if opened is not None and opened.place.own:
        if opened.place.capacity >= length // ENTRY and opened.lost is None:
            return opened.place
        opened.place.device.close()
    header = member.superblock.header
    path = tables / f"{header.set_uuid.hex()}-{header.device_uuid.hex()}.checksums"
    device = _open_file(path, HEADER_SIZE + length) if make or path.is_file() else None
    capacity = 0 if device is None else (device.size - HEADER_SIZE) // BLOCK * BLOCK // ENTRY
    return None if device is None else TablePlace(device, 0, HEADER_SIZE, capacity, own=True)


def _open_file(path: Path, size: int) -> FileDevice | None:
    """The file, at least ``size`` bytes long, with room for its header; None if it cannot be had.

    One of an array that has grown since becomes longer; what it says stays true.
    The header is written with each superblock: where there is no room for it, no superblock could be.
    """
    device = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size < size:
            os.truncate(path, size)
        device = FileDevice.open(path, size=size)
        device.allocate(0, HEADER_SIZE)
    except (TwinlockError, DeviceError, OSError):
        if device is not None:
            device.close()
        return None
    return device
