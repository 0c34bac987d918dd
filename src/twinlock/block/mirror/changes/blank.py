"""A device that becomes a member of an array that is there already: prepared in the array's own format.

Its superblock comes last, with the commit that takes it in: a crash before that leaves a blank device.
"""

from hashlib import sha256

from twinlock.block.checked.blank import prepare_table, write_table_header
from twinlock.block.checked.header import TableHeader
from twinlock.block.checked.place import entries_bytes
from twinlock.block.device import BlockDevice
from twinlock.block.mirror import layout
from twinlock.block.mirror.create import table_place
from twinlock.block.mirror.layout import MemberLayout, member_layout
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.metadata.like import data_from_start, metadata_like
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.superblock import ROLE_SPARE
from twinlock.block.section import Section
from twinlock.errors import DeviceError, MemberTooSmall, MemberUnusable
from twinlock.units import MIB, SECTOR, format_size, round_down, round_up


def prepare(record: Record, device: BlockDevice, number: int, now: float) -> Member:
    """Make ``device`` a spare of the array, all but its superblock; what it held is lost.

    ``number`` is its device number, ``now`` seconds since 1970: its UUID comes from both, and the array's.

    Raises MemberTooSmall, or MemberUnusable if its blocks are larger than the array's, before anything
    is written; MemberUnusable also if it cannot be written to.
    """
    path = str(getattr(device, "path", "a member"))
    kind = metadata_like(record.live()[0].metadata, device.size, path)
    place = _place(record, device.size, path, kind)
    if device.block_size > max(member.data.block_size for member in record.live()):
        reason = f"its blocks are {device.block_size} bytes, larger than the array's"
        raise MemberUnusable(path=path, reason=reason)
    try:
        _wipe(device, place)
    except DeviceError as error:
        raise MemberUnusable(path=path, reason=f"it cannot be written to ({error})") from error
    superblock = record.common.change(
        roles=(*record.common.roles, *[ROLE_SPARE] * (number + 1 - len(record.common.roles))),
        dev_number=number,
        device_uuid=_uuid(record, number, now),
        devflags=0,
        data_offset=place.data_offset // SECTOR,
        data_size=place.data_size // SECTOR,
        super_offset=kind.offset // SECTOR,
        bblog_shift=0,
        bblog_size=0,
        bblog_offset=0,
        cnt_corrected_read=0,
        events=0,
    )
    plain = Section(device, place.data_offset, record.size)
    member = Member(device, path, superblock, None, plain, metadata=kind)
    try:
        _bind_table(member, place)
    except DeviceError as error:
        raise MemberUnusable(path=path, reason=f"it cannot be written to ({error})") from error
    return member


def refuse_too_small(record: Record, size: int, path: str) -> None:
    """Raise MemberTooSmall if a device of ``size`` bytes has no room for what the array holds."""
    _place(record, size, path, metadata_like(record.live()[0].metadata, size, path))


def _place(record: Record, size: int, path: str, kind: Metadata) -> MemberLayout:
    """Where things go.  A disk that is as large as those of an array that mdadm made is large enough.

    As large a gap as a new array has it gets only if there is room: see :func:`open_data` for where the
    checksums are otherwise.
    """
    from_start = data_from_start(kind, record.common, layout.BLOCK)
    if from_start is not None:
        place = MemberLayout(size, 0, 0, from_start)
    else:
        place = _behind_bitmap(member_layout(size), _bitmap_end(record, kind), record.size)
    if place.data_size < record.size:
        needed = size + record.size - place.data_size
        raise MemberTooSmall(path=path, size=format_size(size), needed=format_size(needed))
    return place


def _behind_bitmap(usual: MemberLayout, end: int, needed: int) -> MemberLayout:
    """The usual layout if the bitmap's ``end`` and ``needed`` bytes of data allow it, else a smaller gap."""
    size = usual.member_size
    moved = max(0, round_up(end - usual.table_offset, layout.DATA_ALIGNMENT))
    start = usual.data_offset + moved
    if size - start >= needed:
        return MemberLayout(size, usual.table_offset + moved, start, round_down(size - start, layout.BLOCK))
    latest = max(round_down(size - needed, layout.BLOCK), round_up(end, layout.BLOCK))
    start = round_down(latest, layout.DATA_ALIGNMENT)
    start = start if start >= end else latest
    table = start - layout.TABLE_HEADER - entries_bytes(size - start)
    return MemberLayout(size, table if table >= end else start, start, round_down(size - start, layout.BLOCK))


def _has_table(place: MemberLayout) -> bool:
    return place.table_offset < place.data_offset


def _bitmap_end(record: Record, kind: Metadata) -> int:
    header = record.bitmap.header
    room = max(len(record.bitmap.pages) * layout.BLOCK, header.sectors_reserved * SECTOR)
    return kind.offset + record.common.header.bitmap_offset * SECTOR + room


def _wipe(device: BlockDevice, place: MemberLayout) -> None:
    """No old signature is left, the checksums say nothing, and what will be written of metadata has room."""
    if _has_table(place):
        prepare_table(table_place(device, place), place.data_size)
    device.allocate(0, min(place.table_end, place.data_offset or place.table_end))
    block = layout.BLOCK
    areas = (
        (0, layout.BITMAP_OFFSET + layout.BITMAP_ROOM + layout.SIGNATURE_AREA),
        ((device.size - layout.SIGNATURE_AREA) // block * block, device.size),
    )
    for start, end in areas:
        for offset in range(start, end, MIB):
            device.write(offset, bytes(min(MIB, end - offset)))
    device.flush()


def _bind_table(member: Member, place: MemberLayout) -> None:
    """A table of which nothing is known, bound to the zeros that are where the superblock will be."""
    if not _has_table(place):
        return
    header = member.superblock.header
    table = TableHeader(
        array_uuid=header.set_uuid,
        device_uuid=header.device_uuid,
        data_offset=place.data_offset,
        covered=place.data_size,
    )
    found = member.device.read(member.metadata.offset, member.metadata.extent(member.superblock))
    write_table_header(table_place(member.device, place), table, found)


def _uuid(record: Record, number: int, now: float) -> bytes:
    """There is no randomness here; of one array, no two devices are made with one number at one time."""
    named = record.common.header.set_uuid + f"{number} {record.events} {now!r}".encode()
    return sha256(named).digest()[:16]
