"""From members on a table to an array that runs, in two steps.

:func:`judge` decides who is right and writes nothing, so that a caller can look
into the array (is the passphrase right?) before anything changes; :func:`start`
writes down who takes part.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.bitmap import DAEMON_SLEEP, Bitmap, BitmapHeader, differing_pages
from twinlock.block.mirror.layout import bitmap_bytes, bitmap_chunk
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.metadata.served import NO_BITMAP
from twinlock.block.mirror.reading import peek
from twinlock.block.mirror.reconcile import Plan, Verdict, View, account, choice, reconcile
from twinlock.block.mirror.record import FAILURE_STEP, Record
from twinlock.block.mirror.stack import close_table, disown_tables, open_data
from twinlock.block.mirror.superblock import Feature, format_uuid
from twinlock.block.mirror.suspects import Suspects
from twinlock.block.observer import Observer
from twinlock.errors import (
    ArrayUnsupported,
    DeviceError,
    MemberOfOtherArray,
    MembersDiverged,
    MemberUnusable,
    NotAMember,
    SpaceExhausted,
)
from twinlock.units import SECTOR

_STATES = {
    Verdict.IN_SYNC: MemberState.IN_SYNC,
    Verdict.CATCH_UP: MemberState.REBUILDING,
    Verdict.CONTINUE: MemberState.REBUILDING,
    Verdict.REBUILD: MemberState.REBUILDING,
    Verdict.SPARE: MemberState.SPARE,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Who is right is decided; nothing is written yet."""

    members: Sequence[Member]
    plan: Plan
    bitmap: Bitmap
    tables: Path | None = None
    """The folder for checksums of members that have no gap for them."""
    checksums: bool = True

    @property
    def freshest(self) -> Member:
        """The member that knows most of the array."""
        return self.members[self.plan.freshest]

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return self.freshest.superblock.header.size * SECTOR

    def read(self, offset: int, length: int) -> Buffer:
        """The array's data, by the rule that the running array will go by; MediumError if none can answer."""
        sources, suspects = self._sources(), self._suspects()
        try:
            for member in sources:
                open_data(member, self.size, self.tables, checksums=self.checksums, make=False)
            if not suspects.overlap(offset, length):
                with contextlib.suppress(DeviceError):
                    return sources[0].data.read(offset, length)
            return peek(sources, suspects, offset, length)
        finally:
            for member in sources:
                close_table(member)

    def copies(self) -> tuple[BlockDevice, ...]:
        """What each member in sync holds, as it is: checksums are not asked.  The preferred one's first."""
        sources = self._sources()
        for member in sources:
            open_data(member, self.size, checksums=False)
        return tuple(member.data for member in sources)

    def _sources(self) -> list[Member]:
        """The members in sync, in the order in which the running array will ask them."""
        in_sync = sorted(self.plan.having(Verdict.IN_SYNC), key=self._preference)
        return [self.members[index] for index in in_sync]

    def _suspects(self) -> Suspects:
        """What :func:`start` will take for suspect; nothing is united yet."""
        bitmap = self.bitmap.copy()
        pairs = zip(self.members, self.plan.roles, strict=True)
        _unite([member for member, role in pairs if role is not None], bitmap)
        return Suspects(() if self.plan.clean else bitmap.marked(), bitmap.header.chunksize)

    def _preference(self, index: int) -> tuple[bool, int]:
        return self.members[index].superblock.write_mostly, self.plan.roles[index] or 0


@dataclass(frozen=True, slots=True)
class Assembly:
    """A record that is true on disk, and the chunks that have to be copied."""

    record: Record
    needed: frozenset[int]


def judge(
    members: Sequence[Member],
    *,
    expected_uuid: bytes | None,
    tables: Path | None = None,
    checksums: bool = True,
) -> Judgement:
    """Decide who is right; what cannot be decided is refused, by the errors of :meth:`Mirror.assemble`.

    ``tables`` and ``checksums`` are for :meth:`Judgement.read`.
    """
    if not members:
        raise ValueError("an array has at least one member")
    views = [View(m.path, m.superblock, None if m.bitmap is None else m.bitmap.header) for m in members]
    _refuse_strangers(members, expected_uuid)
    plan = reconcile(views, expected_uuid)
    if plan is None:
        raise NotAMember(
            path=members[0].path, reason="it was never filled completely; connect the other member"
        )
    _refuse_other_arrays(members, plan)
    if plan.having(Verdict.DIVERGED):
        raise MembersDiverged(account=account(views, plan), choice=choice(views, plan))
    _promise_bitmaps(members, plan)
    bitmap = _bitmap(members[plan.freshest], plan)
    _refuse_other_geometry(members, plan, bitmap)
    return Judgement(members, plan, bitmap, tables, checksums)


# -- refusals -------------------------------------------------------------------------------------


def _refuse_strangers(members: Sequence[Member], expected: bytes | None) -> None:
    for member in members:
        found = member.superblock.header.set_uuid
        if expected is not None and found != expected:
            raise MemberOfOtherArray(
                path=member.path, found=format_uuid(found), expected=format_uuid(expected)
            )


def _refuse_other_arrays(members: Sequence[Member], plan: Plan) -> None:
    expected = members[plan.freshest].superblock.header.set_uuid
    for index in plan.having(Verdict.OTHER_ARRAY):
        found = members[index].superblock.header.set_uuid
        raise MemberOfOtherArray(
            path=members[index].path, found=format_uuid(found), expected=format_uuid(expected)
        )


def _promise_bitmaps(members: Sequence[Member], plan: Plan) -> None:
    """A member that was away when the array was given its bitmap will have it in the same place."""
    freshest = members[plan.freshest]
    if not freshest.superblock.has_bitmap:
        raise ArrayUnsupported(path=freshest.path, feature=NO_BITMAP)
    offset = freshest.superblock.header.bitmap_offset
    for member in members:
        if not member.superblock.has_bitmap:
            features = member.superblock.header.feature_map | int(Feature.BITMAP_OFFSET)
            member.superblock = member.superblock.change(feature_map=features, bitmap_offset=offset)


def _refuse_other_geometry(members: Sequence[Member], plan: Plan, bitmap: Bitmap) -> None:
    """Members that cannot hold what the freshest says an array holds."""
    common = members[plan.freshest].superblock.header
    for member, role in zip(members, plan.roles, strict=True):
        header = member.superblock.header
        if role is None:
            continue
        if header.data_size < common.size:
            raise MemberUnusable(path=member.path, reason="it is smaller than the array")
        if not member.has_room_for(bitmap):
            raise ArrayUnsupported(path=member.path, feature="a bitmap for which this member has no room")


# -- the start ------------------------------------------------------------------------------------


def _bitmap(freshest: Member, plan: Plan) -> Bitmap:
    """The freshest member's bitmap, or a new one in its place if that one says nothing."""
    if freshest.bitmap is not None and plan.bitmap_valid:
        return freshest.bitmap.copy()
    superblock = freshest.superblock.header
    old = None if freshest.bitmap is None else freshest.bitmap.header
    size = superblock.size * SECTOR
    chunk = bitmap_chunk(size) if old is None else old.chunksize
    header = BitmapHeader(
        uuid=superblock.set_uuid,
        events=superblock.events,
        events_cleared=superblock.events,
        sync_size=superblock.size,
        chunksize=chunk,
        daemon_sleep=DAEMON_SLEEP,
        sectors_reserved=bitmap_bytes(size, chunk) // SECTOR if old is None else old.sectors_reserved,
    )
    bitmap = Bitmap(header)
    if not plan.clean:
        bitmap.mark(range(bitmap.chunks))
    return bitmap


def start(
    judgement: Judgement,
    attach: Callable[[Member, int], None],
    *,
    clock: Callable[[], float],
    observer: Observer,
) -> Assembly:
    """Write down who takes part; raises MemberUnusable if that cannot be written.

    ``attach`` gives a member its ``data``, of so many bytes.
    """
    members, plan, bitmap = judgement.members, judgement.plan, judgement.bitmap
    common = judgement.freshest.superblock
    for member, verdict, role in zip(members, plan.verdicts, plan.roles, strict=True):
        member.state, member.role = _STATES[verdict], role
        member.by_bitmap = verdict is Verdict.CATCH_UP
        going_on = verdict is Verdict.CONTINUE
        member.recovered = member.superblock.header.recovery_offset * SECTOR if going_on else 0
        if role is not None or _waits(member, common.header.size):
            attach(member, common.header.size * SECTOR)
    _unite([member for member in members if member.role is not None], bitmap)
    checked = any(member.checked is not None for member in members)
    suspects = bitmap.marked() if checked and not plan.clean else ()
    record = Record(members, common, bitmap, attach=attach, suspects=suspects, clock=clock, observer=observer)
    try:
        _write_down(record)
    except DeviceError as error:
        reason = f"it cannot be written to ({error})"
        raise MemberUnusable(path=judgement.freshest.path, reason=reason) from error
    disown_tables(record)
    return Assembly(record, frozenset(_needed(record, plan, bitmap)))


def _waits(member: Member, size: int) -> bool:
    """True for a spare that may be filled later: its checksums are kept bound, to be good by then."""
    superblock = member.superblock
    spare = member.state is MemberState.SPARE and not superblock.active
    return spare and superblock.header.data_size >= size


def _unite(members: Sequence[Member], bitmap: Bitmap) -> None:
    """Mark what any member has marked: a crash may have come between the members' bitmaps."""
    for member in members:
        own = member.bitmap
        if own is None or own is bitmap:
            continue
        if own.header.chunksize == bitmap.header.chunksize and own.chunks == bitmap.chunks:
            bitmap.mark(own.marked())


def _write_down(record: Record) -> None:
    """Make the record true on disk, unless it is: all in sync, with one bitmap and one event count."""
    broken: dict[Member, DeviceError] = {}
    for member in record.live():
        try:
            for number in _outdated_pages(member, record.bitmap):
                member.store_page(record.bitmap, number)
        except SpaceExhausted:
            raise  # nothing is broken; a member is not thrown out for want of room
        except DeviceError as error:
            broken[member] = error
    record.fail(broken)
    record.finish()
    behind = any(member.superblock.header.events != record.events for member in record.live())
    if record.roles() != record.common.roles:
        record.commit(step=FAILURE_STEP)
    elif behind or len(record.writers) > len(record.readers):
        record.commit()


def _outdated_pages(member: Member, bitmap: Bitmap) -> Collection[int]:
    own = member.bitmap
    if own is None or len(own.pages) != len(bitmap.pages):
        return bitmap.pages
    return differing_pages(own, bitmap)


def _needed(record: Record, plan: Plan, bitmap: Bitmap) -> set[int]:
    """Chunks to be copied: the marked ones after a crash and for a member that rebuilds, or all of them."""
    needed: set[int] = set(record.suspects.chunks)
    rebuilding = [member for member in record.live() if member.state is MemberState.REBUILDING]
    if rebuilding or (len(record.readers) > 1 and not plan.clean):
        needed |= bitmap.marked()
    for member in rebuilding:
        if not member.by_bitmap:
            needed |= set(range(member.recovered // bitmap.header.chunksize, bitmap.chunks))
    return needed
