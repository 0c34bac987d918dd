"""The array becomes larger: its members were enlarged, or replaced by larger ones.

The order of what is written, a crash after any of which leaves an array that starts:

1. a commit says how much room each member has, and that the array is active if there is something to copy;
2. the bits of the bitmap, with its old header.  If its chunks stay, bits are only added, behind those
   that count.  If they become larger, for the bitmap must not outgrow ``sectors_reserved``, every bit is
   set first: so whoever reads bits of one chunk size by the header of the other copies too much, never
   too little;
3. a commit with the new size, in the bitmap's header and then in the superblocks.  A member that has the
   one and not the other has no valid bitmap: all of it is compared;
4. the bits as they should be, where all were set.

The kernel does the same in ``raid1_resize`` and ``md_bitmap_resize``: chunks double until the bitmap fits
its space, and the new part is resynced.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twinlock.block.mirror.bitmap import Bitmap, BitmapHeader
from twinlock.block.mirror.changes.enlist import store_stale_bitmap
from twinlock.block.mirror.layout import BLOCK, bitmap_bytes
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.metadata.like import metadata_like
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.running import Running
from twinlock.block.mirror.superblock import ACTIVE
from twinlock.block.mirror.suspects import Suspects
from twinlock.errors import CannotGrow, DeviceError, NotPossibleNow
from twinlock.native.checksum import UNKNOWN
from twinlock.units import SECTOR, format_size, round_down, round_up


@dataclass(frozen=True, slots=True)
class _Plan:
    """Sizes in bytes; ``rooms`` is what each member has for data, ``marked`` what the new bitmap marks."""

    rooms: dict[Member, int]
    size: int
    chunk: int
    marked: frozenset[int]
    needed: frozenset[int]
    suspects: frozenset[int]
    copies: bool


def grow(running: Running, size: int | None, renew: Callable[[], None]) -> None:
    """Let the array have ``size`` bytes (rounded down to 4 KiB), or all there is room for.

    ``renew`` is called when members have their data anew.  Raises CannotGrow, NotPossibleNow while a member
    is missing or being filled, or DeviceError.
    """
    record = running.record
    with running.still(), record.lock:
        if record.degraded or len(record.writers) > len(record.readers):
            reason = "not every member is complete, and one that came later might be too small; which it is"
            raise NotPossibleNow(reason=f"{reason}: twinlock member list {_name(record)}")
        _refuse_lost_ends(record)
        rooms = {member: room_of(member) for member in (*record.writers, *record.spares())}
        wanted = _size(record, rooms, size)
        if wanted == record.size:
            return
        _carry_out(running, _plan(running, rooms, wanted))
        running.resync.begin_anew()
        renew()


def room_of(member: Member) -> int:
    """Bytes that the member has for data, as large as it is now; what its superblock says, if it is last."""
    header = member.superblock.header
    if _ends_with_superblock(member):
        return header.data_size * SECTOR
    room = round_down(member.device.measure() - header.data_offset * SECTOR, BLOCK)
    return max(room, header.data_size * SECTOR)


def refuse_longer(record: Record) -> None:
    """Raise CannotGrow if a member has its superblock at its end, where nobody finds it in a longer one."""
    for member in (*record.writers, *record.spares()):
        if _ends_with_superblock(member):
            version = member.metadata.version
            reason = (
                f"metadata {version} has its superblock at the end of a member, so {member.path} has to "
                "stay as long as it is; put in larger ones by twinlock member replace"
            )
            raise CannotGrow(name=_name(record), reason=reason)


def _refuse_lost_ends(record: Record) -> None:
    """Raise CannotGrow if that has happened to a member already."""
    for member in (*record.writers, *record.spares()):
        size = member.device.measure()
        if metadata_like(member.metadata, size, member.path).offset != member.metadata.offset:
            reason = (
                f"{member.path} was made longer, and its superblock (metadata {member.metadata.version}) is "
                "not at its end any more; make it as long as before, or it is not found at the next start"
            )
            raise CannotGrow(name=_name(record), reason=reason)


def _ends_with_superblock(member: Member) -> bool:
    header = member.superblock.header
    return header.super_offset > header.data_offset


def _name(record: Record) -> str:
    return record.common.name.rpartition(":")[2]


def _size(record: Record, rooms: dict[Member, int], size: int | None) -> int:
    smallest = min(rooms, key=lambda member: rooms[member])
    most = round_down(rooms[smallest], BLOCK)
    wanted = most if size is None else round_down(size, BLOCK)
    name = _name(record)
    if wanted < record.size:
        if size is None:
            return record.size
        raise CannotGrow(name=name, reason=f"it has {format_size(record.size)}, and is never made smaller")
    if wanted > most:
        reason = f"{smallest.path} has room for {format_size(most)} of it"
        raise CannotGrow(name=name, reason=reason)
    return wanted


# -- what is to be marked ---------------------------------------------------------------------------


def _plan(running: Running, rooms: dict[Member, int], size: int) -> _Plan:
    record, intent = running.record, running.intent
    old = record.bitmap.header.chunksize
    chunk = _chunk(record, size)
    recut = chunk // old
    added: set[int] = set()
    if not _alike(record.readers, record.size, size):
        added = set(range(record.size // chunk, round_up(size, chunk) // chunk))
    return _Plan(
        rooms,
        size,
        chunk,
        marked=_recut(intent.known_marked(), recut) | added,
        needed=_recut(intent.needed(), recut) | added,
        suspects=_recut(record.suspects.chunks, recut),
        copies=bool(added),
    )


def _chunk(record: Record, size: int) -> int:
    """Bytes of a chunk with which the bitmap fits the room that it has."""
    header = record.bitmap.header
    room = header.sectors_reserved * SECTOR or len(record.bitmap.pages) * BLOCK
    room = min(room, *(member.bitmap_room for member in (*record.writers, *record.spares())))
    chunk = header.chunksize
    while bitmap_bytes(size, chunk) > max(room, BLOCK):
        chunk *= 2
    return chunk


def _recut(chunks: Iterable[int], factor: int) -> frozenset[int]:
    return frozenset(chunk // factor for chunk in chunks)


def _alike(members: Iterable[Member], start: int, end: int) -> bool:
    """True if the new part is a hole on all members: it reads as zeros."""
    return all(_is_hole(member, start, end) for member in members)


def _is_hole(member: Member, start: int, end: int) -> bool:
    offset = member.superblock.header.data_offset * SECTOR
    if not member.device.punches_holes:
        return False
    try:
        length, mapped = member.device.allocation(offset + start, end - start)
    except DeviceError:
        return False
    return not mapped and length == end - start


# -- what is written ------------------------------------------------------------------------------


def _carry_out(running: Running, plan: _Plan) -> None:
    record = running.record
    _open_data(record, plan.size)
    _make_room(plan)
    record.commit(resync_offset=ACTIVE if plan.copies else None)
    old = record.bitmap
    header = old.header.replace(sync_size=plan.size // SECTOR, chunksize=plan.chunk)
    kept = plan.chunk == old.header.chunksize
    _store_bits(record, old, _bitmap(header, plan.marked if kept else range(Bitmap(header).chunks)))
    record.common = record.common.change(size=plan.size // SECTOR)
    _take_in(running, plan)
    record.commit()
    if not kept:
        record.bitmap.unmark(set(range(record.bitmap.chunks)) - plan.marked)
        record.store_pages(record.bitmap.pages, durable=True)
        _take_in(running, plan)
    for spare in record.spares():
        store_stale_bitmap(record, spare)


def _take_in(running: Running, plan: _Plan) -> None:
    """From now on all count in the new chunks: whatever fails later, they are never taken for old ones."""
    record = running.record
    record.suspects = Suspects(plan.suspects, plan.chunk)
    running.intent.adopt(record.bitmap, plan.needed, active=record.resync_offset == ACTIVE)


def _open_data(record: Record, size: int) -> None:
    """Each member's way to the larger data, with room for their checksums.  Raises CannotGrow, or as a flush.

    What is on the old way is on the medium before, and how far its checksums count: they are read from there.
    """
    before = record.size
    for member in record.writers:
        try:
            _put_down(member, before)
        except DeviceError as error:
            record.fail({member: error})
    for member in record.writers:
        record.attach(member, size)
        try:
            if member.checked is not None:
                member.checked.reserve()
        except DeviceError as error:
            _return(record, before)
            reason = f"there is no room for the checksums of {member.path} ({error})"
            raise CannotGrow(name=_name(record), reason=reason) from error


def _put_down(member: Member, size: int) -> None:
    """All that is known of the member's data; a last block that is short loses its checksum, for it grows."""
    checked = member.checked
    if checked is not None and size % BLOCK:
        checked.forget(round_down(size, BLOCK), size % BLOCK, UNKNOWN)
    member.data.flush()
    if checked is not None:
        checked.persist()


def _return(record: Record, size: int) -> None:
    for member in record.writers:
        record.attach(member, size)


def _make_room(plan: _Plan) -> None:
    """Each member's own superblock shall say what room it has, from the next commit on."""
    for member, room in plan.rooms.items():
        member.superblock = member.superblock.change(data_size=room // SECTOR)


def _bitmap(header: BitmapHeader, marked: Iterable[int]) -> Bitmap:
    bitmap = Bitmap(header)
    bitmap.mark(marked)
    return bitmap


def _store_bits(record: Record, old: Bitmap, new: Bitmap) -> None:
    """Write the new bits under the old header; the header follows with the commit.

    Raises WriteFailed or SpaceExhausted with the old bitmap in use; on the media are more bits than it has.
    """
    header = new.header
    record.bitmap = new
    new.header = old.header
    try:
        record.store_pages(new.pages, durable=True)
    except BaseException:
        old.change(events=new.header.events, events_cleared=new.header.events_cleared)
        record.bitmap = old
        raise
    new.header = header
