"""The mirror: every byte on all members in sync, and a record of what may not be.

A write holds its range, so overlapping writes reach all members in one order; it
goes to one member after the other, in the caller's thread, for the page cache takes
them in microseconds.  A read is answered by one member.  What runs in the background
(resync, clearing the bitmap, marking clean) is done in :meth:`Mirror.step`, in small
pieces, by whoever drives it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Self

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.assembly import Assembly, Judgement, judge, start
from twinlock.block.mirror.bitmap import DAEMON_SLEEP
from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.reading import read_anywhere, read_everywhere, whole_blocks
from twinlock.block.mirror.resync import Resync
from twinlock.block.mirror.status import ArrayStatus, MemberStatus
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, DeviceGone, SpaceExhausted
from twinlock.units import SECTOR, round_down

PERIOD = float(DAEMON_SLEEP)
"""Seconds between sweeps of the bitmap; the array is clean after one or two without a write."""


class Mirror(BlockDevice):
    """A running array, made by :meth:`assemble`.  ``step`` and ``close`` have one caller at a time."""

    def __init__(self, assembly: Assembly, *, clock: Callable[[], float], observer: Observer) -> None:
        self._record = assembly.record
        self._observer = observer
        self._clock = clock
        self._ranges = RangeLock()
        self._intent = WriteIntent(assembly.record, assembly.needed)
        self._resync = Resync(assembly.record, self._intent, self._ranges, clock=clock, observer=observer)
        self._swept_at = clock()
        self._closed = False
        self.block_size = max(member.data.block_size for member in assembly.record.members)
        self.size = round_down(assembly.record.common.header.size * SECTOR, self.block_size)
        self.uuid = assembly.record.common.header.set_uuid

    @classmethod
    def assemble(
        cls,
        members: Sequence[Member],
        *,
        expected_uuid: bytes | None,
        clock: Callable[[], float],
        observer: Observer,
    ) -> Self:
        """Start the array that ``members`` (from :func:`read_member`) make; some may be missing.

        ``clock`` gives seconds since 1970.  Raises MemberOfOtherArray, MembersDiverged, NotAMember,
        ArrayUnsupported or MemberUnusable with nothing written, and with the devices still open;
        MemberUnusable also if the start cannot be written down.
        """
        return cls.start(judge(members, expected_uuid=expected_uuid), clock=clock, observer=observer)

    @classmethod
    def start(cls, judgement: Judgement, *, clock: Callable[[], float], observer: Observer) -> Self:
        """Start an array that was judged: the second half of :meth:`assemble`."""
        return cls(start(judgement, clock=clock, observer=observer), clock=clock, observer=observer)

    # -- data -----------------------------------------------------------------------------------

    def read(self, offset: int, length: int) -> Buffer:
        """From one member; from the others where that one cannot, which is repaired."""
        self.check_range(offset, length)
        try:
            return self._record.readers[0].data.read(offset, length)
        except DeviceError:
            with self._ranges.hold(*whole_blocks(self._record, offset, length)):
                return read_anywhere(self._record, self._observer, offset, length)

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """None also where a repair is due, for that takes time."""
        self.check_range(offset, length)
        try:
            return self._record.readers[0].data.read_nowait(offset, length)
        except DeviceError:
            return None

    def read_medium(self, offset: int, length: int) -> Buffer:
        """From the medium of every member in sync; what one cannot read is repaired from another.

        Whether members agree is not judged: where nothing was ever written they need not.
        """
        self.check_range(offset, length)
        try:
            copies = [member.data.read_medium(offset, length) for member in self._record.readers]
        except DeviceError:
            with self._ranges.hold(*whole_blocks(self._record, offset, length)):
                return read_everywhere(self._record, self._observer, offset, length)
        return copies[0]

    def prefetch(self, offset: int, length: int) -> None:
        """On the member that answers reads."""
        self._record.readers[0].data.prefetch(offset, length)

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """What takes up room on any member in sync does.

        Members may differ in that: a resync leaves a hole alone where zeros were written.
        """
        self.check_range(offset, length)
        try:
            found = [member.data.allocation(offset, length) for member in self._record.readers]
        except DeviceError:
            return length, True
        taken = [size for size, mapped in found if mapped]
        return (max(taken), True) if taken else (min(size for size, _ in found), False)

    def write(self, offset: int, data: Buffer) -> None:
        """To every member that takes part.

        One that fails is out of the array, on disk, before this returns.  Raises WriteFailed if none in
        sync could be written to, SpaceExhausted if one has no room (nobody fails, and the members
        are made to agree later).
        """
        self._change(offset, memoryview(data).nbytes, lambda device: device.write(offset, data))

    def write_durable(self, offset: int, data: Buffer) -> None:
        """As :meth:`write`, durable on every member when it returns."""
        self._change(offset, memoryview(data).nbytes, lambda device: device.write_durable(offset, data))

    def discard(self, offset: int, length: int) -> None:
        """On every member that takes part; what it reads as afterwards is anything, but the same from each.

        Where members may read differently, they are made to agree later; until then one answers.
        """
        self._change(offset, length, lambda device: device.discard(offset, length), alike=_punch_holes)

    def flush(self) -> None:
        """Every write that returned before is on every member in sync.

        A member that cannot flush is out of the array before this returns; the last one is kept, and
        its error raised.
        """
        self.check_range(0, 0)
        self._flush()

    def _flush(self) -> None:
        broken = _on_each(self._record.readers, lambda device: device.flush())
        if broken:
            self._record.fail(broken)
        self._record.settle()

    def _change(
        self,
        offset: int,
        length: int,
        act: Callable[[BlockDevice], None],
        *,
        alike: Callable[[Sequence[Member]], bool] | None = None,
    ) -> None:
        self.check_range(offset, length)
        if not length:
            return
        ranges, intent = self._ranges, self._intent
        held = ranges.acquire(offset, offset + length)
        try:
            chunks = intent.enter(offset, length)
            try:
                writers = self._record.writers
                broken = _on_each(writers, act)
                if alike is not None and not alike(writers):
                    intent.need(chunks)
                if broken:
                    self._settle(broken, chunks)
                self._record.settle()
            finally:
                intent.leave(chunks)
        finally:
            ranges.release(held)

    def _settle(self, broken: dict[Member, DeviceError], chunks: range) -> None:
        """After a write that did not succeed everywhere: fail who failed, note where members may differ."""
        full = {member: error for member, error in broken.items() if isinstance(error, SpaceExhausted)}
        failed = {member: error for member, error in broken.items() if member not in full}
        wrote = [member for member in self._record.readers if member not in broken]
        if full or not wrote:
            self._intent.need(chunks)
        if wrote or full:
            self._record.fail(failed)
        for member, error in full.items():
            self._observer.space_exhausted(member.role or 0, error)
        if full and any(member.state is MemberState.IN_SYNC for member in full):
            raise next(iter(full.values()))
        if not wrote:
            raise next(iter(failed.values()))

    def check_range(self, offset: int, length: int) -> None:
        """See :meth:`BlockDevice.check_range`; raises DeviceGone once the array is closed."""
        if self._closed:
            raise DeviceGone("the array is closed")
        super().check_range(offset, length)

    # -- in the background ----------------------------------------------------------------------

    def step(self) -> bool:
        """One bounded piece of background work; True if there is more to do now."""
        now = self._clock()
        if not 0 <= now - self._swept_at < PERIOD:
            self._swept_at = now
            self._tidy()
        try:
            return self._resync.step()
        except DeviceError as error:
            self._observer.resync_stalled(error)
            return False

    def _tidy(self) -> None:
        try:
            self._intent.sweep(self._flush)
            self._intent.rest(self._flush)
        except DeviceError:
            # Bits that stay set and an array that stays marked active cost a resync, nothing else;
            # who failed is out by now, and the caller of the next write or flush hears of the rest.
            return

    def close(self) -> None:
        """Flush, clear the bitmap, mark the array clean and close the members.

        Raises WriteFailed if that cannot be put on disk: the array then stays marked active.
        """
        if self._closed:
            return
        self._closed = True
        try:
            for _ in range(2):  # the first sweep forgets what was touched lately, the second clears it
                self._intent.sweep(self._flush)
            self._intent.rest(self._flush)
            self._resync.checkpoint()
        finally:
            for member in self._record.members:
                member.device.close()

    # -- facts ----------------------------------------------------------------------------------

    def status(self) -> ArrayStatus:
        """The array and its members as they are now."""
        record = self._record
        header = record.common.header
        return ArrayStatus(
            uuid=self.uuid,
            name=record.common.name,
            size=self.size,
            events=record.events,
            degraded=record.degraded,
            dirty=self._intent.active,
            resync=self._resync.progress,
            chunk_size=record.bitmap.header.chunksize,
            marked_chunks=self._intent.marked,
            members=_members(record.members, header.raid_disks),
        )


def _on_each(members: Iterable[Member], act: Callable[[BlockDevice], None]) -> dict[Member, DeviceError]:
    """Do it on the data of all; returns who could not."""
    broken: dict[Member, DeviceError] = {}
    for member in members:
        try:
            act(member.data)
        except DeviceError as error:
            broken[member] = error
    return broken


def _punch_holes(members: Sequence[Member]) -> bool:
    """True if what was discarded on all members reads the same from each."""
    return len(members) < 2 or all(member.data.punches_holes for member in members)


def _members(members: Sequence[Member], places: int) -> tuple[MemberStatus, ...]:
    filled = {member.role: member for member in members if member.role is not None}
    spares = [member for member in members if member.role is None]
    missing = MemberState.MISSING
    known = [
        _member(filled[role]) if role in filled else MemberStatus(role, missing) for role in range(places)
    ]
    return (*known, *map(_member, spares))


def _member(member: Member) -> MemberStatus:
    return MemberStatus(
        member.role,
        member.state,
        member.path,
        member.superblock.header.device_uuid,
        member.corrected_reads,
        None if member.error is None else str(member.error),
    )
