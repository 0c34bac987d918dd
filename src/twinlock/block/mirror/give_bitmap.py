"""A bitmap for an array that has none: put where ``mdadm --grow --bitmap=internal`` puts it.

mdadm makes none by default where members are small.  The bitmap is on every member, on the medium,
before the first superblock names it: a crash in between leaves superblocks with and without, one event
apart, and both are right (what is not named is not looked at).
"""

from collections.abc import Sequence

from twinlock.block.mirror.bitmap import DAEMON_SLEEP, Bitmap, BitmapHeader
from twinlock.block.mirror.layout import BITMAP_HEADER, bitmap_bytes, chunk_count
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.metadata.served import NO_BITMAP
from twinlock.block.mirror.metadata.version1 import least_extent
from twinlock.block.mirror.stamp import stamp
from twinlock.block.mirror.superblock import Feature, Superblock
from twinlock.errors import ArrayUnsupported
from twinlock.units import KIB, MIB, SECTOR

_BEHIND = 8
"""Sectors from the superblock to a bitmap behind it; that is its only place in 0.90."""
_ROOM_0 = 60 * KIB
_MOST = 128 * KIB
"""What mdadm gives a bitmap if no chunk size is asked for."""
_LOG = 8
"""Sectors kept for a bad-block log."""
_HOT = (2, 6)
"""1.0 with no room before the superblock: offset and room in sectors, inside the superblock's own 4 KiB."""
_CHUNK = 64 * MIB
"""mdadm's chunk, unless the room asks for larger ones."""


def place_for_bitmap(member: Member) -> tuple[int, int] | None:
    """Offset from the superblock (it may be negative) and room of a bitmap, in bytes; None: there is none."""
    rules = {"0.90": _in_reserve, "1.0": _around_the_end}
    offset, room = rules.get(member.metadata.version, _before_the_data)(member.superblock)
    return (offset * SECTOR, room) if room >= SECTOR * 2 else None


def _in_reserve(_superblock: Superblock) -> tuple[int, int]:
    return _BEHIND, _ROOM_0


def _before_the_data(superblock: Superblock) -> tuple[int, int]:
    """1.1 and 1.2: 4 KiB behind the superblock, up to the log or the data."""
    header = superblock.header
    until = header.data_offset - header.super_offset - _LOG
    if header.bblog_size:
        until = min(until, superblock.bad_blocks_start // SECTOR)
    return _BEHIND, min((until - _BEHIND) * SECTOR, _MOST)


def _around_the_end(superblock: Superblock) -> tuple[int, int]:
    """1.0: before the superblock and its log; else 1 KiB behind its beginning, if it is that short."""
    header = superblock.header
    room = header.super_offset - header.data_offset - header.data_size
    log = max(_LOG, -superblock.bad_blocks_start // SECTOR)
    if room < _HOT[1]:
        offset, sectors = _HOT
        return offset, sectors * SECTOR if least_extent(superblock) <= offset * SECTOR else 0
    room = min((room - log) * SECTOR, _MOST)
    if room < SECTOR * 2:
        return 0, 0
    size = header.size * SECTOR
    return -bitmap_bytes(size, _chunk(size, room)) // SECTOR - log, room


def _chunk(size: int, room: int) -> int:
    """64 MiB, or as much more as the room asks for."""
    chunk = _CHUNK
    while BITMAP_HEADER + (chunk_count(size, chunk) + 7) // 8 > room:
        chunk *= 2
    return chunk


def give_bitmap(members: Sequence[Member], now: int) -> None:
    """Give an array a bitmap; ``members`` are all that are in sync, ``now`` is in seconds since 1970.

    If the members may differ anywhere, all of it is marked.  Raises ArrayUnsupported, with nothing written,
    if a member has no room in the place that suits the others; DeviceError.
    """
    places = [place_for_bitmap(member) for member in members]
    if any(place is None or place[0] != (places[0] or place)[0] for place in places):
        raise ArrayUnsupported(path=members[0].path, feature=f"{NO_BITMAP}, and without room for one")
    offset, room = min(place for place in places if place is not None)
    events = max(member.superblock.header.events for member in members) + 1
    bitmap = _new(members, events, room)
    changed = [_with_bitmap(member.superblock, offset, events, now) for member in members]
    for member, superblock in zip(members, changed, strict=True):
        member.superblock = superblock
        for number in bitmap.pages:
            member.store_page(bitmap, number)
        member.device.flush()
    for member, superblock in zip(members, changed, strict=True):
        member.store_superblock(superblock)
        member.bitmap = bitmap.copy()


def _new(members: Sequence[Member], events: int, room: int) -> Bitmap:
    header = members[0].superblock.header
    size = header.size * SECTOR
    bitmap = Bitmap(
        BitmapHeader(
            uuid=header.set_uuid,
            events=events,
            events_cleared=events,
            sync_size=header.size,
            chunksize=_chunk(size, room),
            daemon_sleep=DAEMON_SLEEP,
        )
    )
    if not all(member.superblock.clean for member in members):
        bitmap.mark(range(bitmap.chunks))
    return bitmap


def _with_bitmap(superblock: Superblock, offset: int, events: int, now: int) -> Superblock:
    return superblock.change(
        feature_map=superblock.header.feature_map | int(Feature.BITMAP_OFFSET),
        bitmap_offset=offset // SECTOR % (1 << 32),
        events=events,
        utime=stamp(now),
    )
