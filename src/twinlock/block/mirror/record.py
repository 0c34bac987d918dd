"""What the members say about the array: the record, kept by all of them and changed durably.

Every change of state is one commit: the event count grows, the bitmap's header is
written to each member, then the superblocks, each write on the medium before the
next.  A member that cannot take a commit is failed, and the others are told so by
the next; nobody above hears of success before that.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import RLock

from twinlock.block.checked.device import CheckedDevice
from twinlock.block.mirror.bitmap import Bitmap
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.stamp import stamp
from twinlock.block.mirror.superblock import (
    CLEAN,
    ROLE_FAULTY,
    ROLE_MAX,
    ROLE_SPARE,
    Feature,
    Superblock,
)
from twinlock.block.mirror.suspects import Suspects
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, DeviceGone, SpaceExhausted, WriteFailed
from twinlock.units import SECTOR

FAILURE_STEP = 2
"""Events of a commit that takes a place away: a member one event behind would still count as in sync."""

_LIVE = (MemberState.IN_SYNC, MemberState.REBUILDING)


class Record:
    """The members in their states, with the bitmap and the event count that are true of all.

    ``lock`` is held through every change.  ``writers`` get every write, in sync ones first; ``readers``
    are those in sync, the preferred one first: it is also whom resync copies from.  Both are tuples
    that are replaced, never changed.
    """

    def __init__(
        self,
        members: Iterable[Member],
        common: Superblock,
        bitmap: Bitmap,
        *,
        attach: Callable[[Member, int], None],
        suspects: Iterable[int] = (),
        clock: Callable[[], float],
        observer: Observer,
    ) -> None:
        self.lock = RLock()
        self._attach = attach
        self._again = False
        self.suspects = Suspects(suspects, bitmap.header.chunksize)
        self.members = list(members)
        self.common = common
        self.bitmap = bitmap
        self.events = max(common.header.events, *(member.superblock.header.events for member in self.live()))
        self.resync_offset = common.header.resync_offset
        self.readers: tuple[Member, ...] = ()
        self.writers: tuple[Member, ...] = ()
        self.lacking: Callable[[int], bool] = lambda _offset: True
        """Whether members that rebuild may lack the byte at an offset; who knows what is needed says so."""
        self.recorded = True
        """False while members failed that no superblock calls faulty yet: no write may be acknowledged."""
        self._clock = clock
        self._observer = observer
        self._untold: list[Member] = []
        self._closed = False
        for member in self.members:
            self._heed(member)
        self._refresh()

    def attach(self, member: Member, size: int) -> None:
        """Give a member its way to so many bytes of the array's data."""
        self._attach(member, size)
        self._heed(member)

    def live(self) -> list[Member]:
        """The members that take part."""
        return [member for member in self.members if member.state in _LIVE]

    def holders(self, offset: int) -> tuple[Member, ...]:
        """Who holds what the array holds there: the readers, then those that rebuild and do not lack it."""
        rebuilding = () if self.lacking(offset) else self.writers
        return (*self.readers, *(each for each in rebuilding if each.state is MemberState.REBUILDING))

    @property
    def degraded(self) -> bool:
        """True if a place in the array has no member in sync."""
        return len(self.readers) < self.common.header.raid_disks

    @property
    def places(self) -> int:
        """How many members the array should have."""
        return self.common.header.raid_disks

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return self.common.header.size * SECTOR

    def free_places(self) -> list[int]:
        """The places that have no member, or one that failed."""
        taken = {member.role for member in self.live()}
        return [place for place in range(self.places) if place not in taken]

    def spares(self) -> list[Member]:
        """The members that wait, and are known to all by a number of their own.

        A stale member for which there was no place at the start is none: what it holds is left alone.
        """
        numbers = {member.dev_number for member in self.live()}
        waiting = [m for m in self.members if m.state is MemberState.SPARE and not m.superblock.active]
        return [member for member in waiting if member.dev_number not in numbers]

    def roles(self) -> tuple[int, ...]:
        """The role of every device number: a place for the live, faulty for who had one and is not."""
        places = dict.fromkeys((member.dev_number for member in self.spares()), ROLE_SPARE)
        places |= {member.dev_number: member.role for member in self.live() if member.role is not None}
        known = self.common.roles + (ROLE_SPARE,) * (max(places, default=-1) + 1 - len(self.common.roles))
        gone = (ROLE_FAULTY if role <= ROLE_MAX else role for role in known)
        return tuple(places.get(number, role) for number, role in enumerate(gone))

    # -- changes of state -----------------------------------------------------------------------

    def commit(self, *, resync_offset: int | None = None, step: int = 1) -> None:
        """Write the present state to all live members.

        Raises WriteFailed if no member in sync can take it, SpaceExhausted if one has no room.
        """
        try:
            with self.lock:
                if resync_offset is not None:
                    self._begin_period(resync_offset)
                self._commit(step if self.recorded else FAILURE_STEP)
        finally:
            self._tell()

    def fail(self, broken: dict[Member, DeviceError]) -> None:
        """Fail members, and return once the others' superblocks say so of all who failed so far.

        Raises the first error instead if no member in sync would be left: the last is never failed.
        Raises as :meth:`commit` does if it cannot be said: the members are out nevertheless.
        """
        with self.lock:
            self._expel({member: error for member, error in broken.items() if member.state in _LIVE})
            self.settle()

    def expel(self, broken: dict[Member, DeviceError]) -> None:
        """As :meth:`fail`, but who cannot be told of it now is told later: for reads, which do not wait.

        What cannot be said stays due (``recorded``): no write or flush is acknowledged before it is said.
        Raises WriteFailed only if no member in sync would be left.
        """
        with self.lock:
            self._expel({member: error for member, error in broken.items() if member.state in _LIVE})
            with suppress(DeviceError):
                self.settle()

    def settle(self) -> None:
        """Return once every failure is on disk.  Raises as :meth:`commit` does.

        Who found a member out of the array already has not heard that this was written down.
        """
        if not self.recorded:
            with self.lock:
                if not self.recorded:
                    self.commit()

    def finish(self) -> None:
        """Finish a commit that a crash cut off: members in sync that lack its superblock are given it.

        With a further commit instead a second crash might leave such a member two events behind, as if it
        had missed a write.  Raises WriteFailed if no member in sync can take it.
        """
        broken: dict[Member, DeviceError] = {}
        with self.lock:
            for member in self.readers:
                if member.superblock.header.events < self.events:
                    superblock = self._superblock_of(member).change(roles=self.common.roles)
                    self._attempt(broken, member, partial(_store_page, self.bitmap, 0, True))
                    self._attempt(broken, member, partial(_store_superblock, superblock))
            if broken:
                self.fail(broken)

    def flush_without(self, leaving: Member) -> None:
        """Flush the others before a member is let go of: after a crash they may be asked what it was asked.

        What was chosen for a reader in a suspect chunk is then on their media, too.
        """
        broken: dict[Member, DeviceError] = {}
        for member in self.readers:
            if member is not leaving:
                self._attempt(broken, member, lambda other: other.data.flush())
        if broken:
            self.fail(broken)

    def complete(self, members: Collection[Member]) -> None:
        """Members hold everything, on the medium: those that still rebuild are in sync."""
        with self.lock:
            for member in members:
                if member.state is MemberState.REBUILDING:
                    member.state = MemberState.IN_SYNC
            self._refresh()
            self.commit()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Within, members, places and common fields may be changed; on leaving that is on disk.

        Nothing is acknowledged before it is.  Raises as :meth:`commit` does.
        """
        try:
            with self.lock:
                before = self.common if self.recorded else None
                yield
                step = FAILURE_STEP if before is None or self._takes_away(before) else 1
                self.recorded = False
                self._refresh()
                self._commit(step)
        finally:
            self._tell()

    def restore(self, members: Collection[Member], common: Superblock) -> None:
        """Members and places are those of before a change that failed; who failed meanwhile stays out."""
        with self.lock:
            self.members[:] = members
            self.common = self.common.change(raid_disks=common.header.raid_disks)
            self._refresh()

    def close(self) -> None:
        """Nothing is written down any more: whoever finds a member closed must not call it faulty."""
        with self.lock:
            self._closed = True

    # -- the bitmap -----------------------------------------------------------------------------

    def mark(self, chunks: Iterable[int]) -> None:
        """Set bits, durably on all live members."""
        with self.lock:
            self.store_pages(self.bitmap.mark(chunks), durable=True)

    def unmark(self, chunks: Collection[int]) -> None:
        """Clear bits.  That the bitmap forgot something (``events_cleared``) is durable first."""
        if not chunks:
            return
        with self.lock:
            if self.bitmap.header.events_cleared < self.events:
                self.bitmap.change(events_cleared=self.events, events=self.events)
                self.store_pages([0], durable=True)
            self.store_pages(self.bitmap.unmark(chunks), durable=False)

    def store_pages(self, pages: Iterable[int], *, durable: bool) -> None:
        """Write pages of the bitmap to all live members; a member that cannot take them is failed."""
        broken: dict[Member, DeviceError] = {}
        numbers = sorted(pages)
        with self.lock:
            for member in self.writers:
                for number in numbers:
                    self._attempt(broken, member, partial(_store_page, self.bitmap, number, durable))
            if broken:
                self.fail(broken)

    # -- how ------------------------------------------------------------------------------------

    def _begin_period(self, resync_offset: int) -> None:
        """A time of writes begins or ends: how far rebuilds have come has to be found out anew."""
        self.resync_offset = resync_offset
        for member in self.members:
            member.recovered = 0

    def _takes_away(self, before: Superblock) -> bool:
        """True if a device has not the place any more that it had, or there are fewer places.

        A change that only adds leaves every member as good as it was: one that a crash kept from hearing
        of it has missed nothing, and counts as in sync.
        """
        now = dict(enumerate(self.roles()))
        moved = any(role <= ROLE_MAX and now.get(at) != role for at, role in enumerate(before.roles))
        return moved or self.places < before.header.raid_disks

    def _commit(self, step: int) -> None:
        while True:
            self.events += step
            self._again = False
            broken = self._store()
            if not broken and not self._again:
                break
            self._expel(broken)
            step = FAILURE_STEP
        self.common = self.common.change(roles=self.roles())
        self.recorded = True

    def _store(self) -> dict[Member, DeviceError]:
        """One commit to every live member; returns those that could not take it."""
        broken: dict[Member, DeviceError] = {}
        cleared = min(self.bitmap.header.events_cleared, self.events)
        self.bitmap.change(events=self.events, events_cleared=cleared)
        for member in self.writers:
            self._attempt(broken, member, partial(_store_page, self.bitmap, 0, True))
        for member in (*self.writers, *self.spares()):
            self._attempt(broken, member, partial(_store_superblock, self._superblock_of(member)))
        return broken

    def _attempt(
        self, broken: dict[Member, DeviceError], member: Member, act: Callable[[Member], None]
    ) -> None:
        if member in broken:
            return
        try:
            act(member)
        except SpaceExhausted:
            raise
        except DeviceError as error:
            broken[member] = error

    def _expel(self, broken: dict[Member, DeviceError]) -> None:
        """Make members faulty, unless that leaves none in sync; the record on disk is the caller's."""
        if broken and self._closed:
            raise DeviceGone("the array is closed")
        if broken and all(member in broken for member in self.readers):
            error = next(iter(broken.values()))
            raise WriteFailed(
                f"no member is left that can be written to: {error}", offset=error.offset
            ) from error
        for member, error in broken.items():
            member.state, member.error = MemberState.FAULTY, error
            self.recorded = False
        self._untold += broken
        self._refresh()

    def _heed(self, member: Member) -> None:
        if member.checked is not None:
            member.checked.when_lost = self._lose_table

    def _lose_table(self, checked: CheckedDevice, error: DeviceError) -> None:
        """Let no table be trusted later that is not kept now: a superblock that it does not name is due.

        It is due before the table is given up, so whoever finds it gone waits for that superblock.
        """
        with self.lock:
            for member in self.live():
                if member.checked is checked and checked.lost is None:
                    self.recorded, self._again = False, True
                    self._observer.checksums_lost(member.role or 0, error)
            checked.give_up(error)

    def _tell(self) -> None:
        """Pass on who failed, be it on disk or not."""
        with self.lock:
            untold, self._untold = self._untold, []
        for member in untold:
            if member.error is not None and member.role is not None:
                self._observer.member_failed(member.role, member.error)

    def _refresh(self) -> None:
        in_sync = [member for member in self.members if member.state is MemberState.IN_SYNC]
        rebuilding = [member for member in self.members if member.state is MemberState.REBUILDING]
        self.readers = tuple(sorted(in_sync, key=lambda m: (m.superblock.write_mostly, m.role)))
        self.writers = (*in_sync, *rebuilding)

    def _superblock_of(self, member: Member) -> Superblock:
        """The common fields, with what is the member's own."""
        own = member.superblock.header
        rebuilding = member.state is MemberState.REBUILDING
        features = Feature.BITMAP_OFFSET
        if rebuilding:
            features |= Feature.RECOVERY_OFFSET | (
                Feature.RECOVERY_BITMAP if member.by_bitmap else Feature(0)
            )
        return self.common.change(
            roles=self.roles(),
            waiting=self._waiting(),
            feature_map=int(features),
            events=self.events,
            utime=stamp(self._clock()),
            resync_offset=self.resync_offset,
            dev_number=own.dev_number,
            device_uuid=own.device_uuid,
            devflags=own.devflags,
            bitmap_offset=own.bitmap_offset,
            data_offset=own.data_offset,
            data_size=own.data_size,
            super_offset=own.super_offset,
            bblog_shift=own.bblog_shift,
            bblog_size=own.bblog_size,
            bblog_offset=own.bblog_offset,
            recovery_offset=self._recovery_offset(member),
            cnt_corrected_read=member.corrected_reads,
        )

    def _waiting(self) -> frozenset[int]:
        """The numbers of spares, and of members that have a place and not yet all of the data."""
        rebuilding = [member for member in self.live() if member.state is MemberState.REBUILDING]
        return frozenset(member.dev_number for member in (*rebuilding, *self.spares()))

    def _recovery_offset(self, member: Member) -> int:
        """Sectors that the kernel need not look at, whatever the bitmap says of them: none during writes."""
        rebuilding = member.state is MemberState.REBUILDING
        return member.recovered // SECTOR if rebuilding and self.resync_offset == CLEAN else 0


def _store_page(bitmap: Bitmap, number: int, durable: bool, member: Member) -> None:
    member.store_page(bitmap, number, durable=durable)


def _store_superblock(superblock: Superblock, member: Member) -> None:
    member.store_superblock(superblock)
