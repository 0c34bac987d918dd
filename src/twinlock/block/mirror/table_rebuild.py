"""The walk that gives a member its checksums: a new table, or one that cannot be trusted any more.

It goes through the data once, from the start, while the array is in use.  Where all members in sync hold
the same, that is right, and its checksum is taken.  Where they do not, a checksum that another
member has decides.  Where none has one, nobody can tell which copy is rotten: both are left as they are,
without a checksum, and counted; to take one of them, and destroy the other, is for the user to ask
for (scrub with repair).  A checksum of each member's own copy would make rot look like truth.

Holes are passed over: nothing was ever written there.
"""

from collections.abc import Callable, Iterator, Sequence

from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.progress import Progress
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.reading import mend_copies, read_copies, settle
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.verdict import choose_copy
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, SpaceExhausted
from twinlock.native.checksum import EMPTY, UNKNOWN, entries_of
from twinlock.units import MIB, SECTOR

PIECE = MIB
"""Bytes in one step: what a write to the same place may have to wait for."""
CHECKPOINT = 60.0
"""Seconds between notes on disk of how far the walk has come."""
RETRY = 60.0
"""Seconds until it is tried again, where a table has no room."""


class TableRebuild:
    """A piece per :meth:`step`.  One caller at a time."""

    def __init__(
        self, record: Record, ranges: RangeLock, *, observer: Observer, clock: Callable[[], float]
    ) -> None:
        self._record = record
        self._ranges = ranges
        self._observer = observer
        self._clock = clock
        self._noted_at = clock()
        self._retry_at: float | None = None
        self._reserved: set[Member] = set()
        self.moved = 0
        """Bytes of the array that were read so far; holes are not."""
        self.mismatches = 0
        """Blocks in which members differ, and no checksum says who is right."""

    @property
    def progress(self) -> Progress:
        """How far the member is that is the least far; nothing to do if all tables are whole."""
        waiting = self._waiting()
        return (
            Progress(_reached(waiting), self._record.common.header.size * SECTOR) if waiting else Progress()
        )

    def step(self) -> bool:
        """Cover one piece; True if there is more to do now.  Raises SpaceExhausted, again after a while."""
        waiting = self._waiting()
        if not waiting or self._waits():
            return False
        position = _reached(waiting)
        size = min(PIECE, self._record.common.header.size * SECTOR - position)
        self._reserve(waiting)
        with self._ranges.hold(position, position + size):
            targets = [member for member in waiting if _covered(member) == position]
            self._cover(targets, position, size)
        self._note(targets)
        return bool(self._waiting())

    def _waiting(self) -> list[Member]:
        """The members in sync whose tables are not whole, and are not lost."""
        size = self._record.common.header.size * SECTOR
        held = [m for m in self._record.readers if m.checked is not None and m.checked.lost is None]
        return [member for member in held if _covered(member) < size]

    def _waits(self) -> bool:
        if self._retry_at is not None and 0 <= self._retry_at - self._clock() <= RETRY:
            return True
        self._retry_at = None
        return False

    def _reserve(self, members: Sequence[Member]) -> None:
        for member in members:
            if member in self._reserved or member.checked is None:
                continue
            try:
                member.checked.reserve()
            except SpaceExhausted:
                self._retry_at = self._clock() + RETRY
                raise
            except DeviceError as error:
                self._record.fail({member: error})
            self._reserved.add(member)

    # -- a piece ----------------------------------------------------------------------------------

    def _cover(self, targets: Sequence[Member], offset: int, size: int) -> None:
        entries = self._common_entries(offset, size)
        if entries is None:
            entries = b"".join(self._block_entry(*block) for block in _blocks(offset, size))
        broken: dict[Member, DeviceError] = {}
        for member in targets:
            try:
                if member.checked is not None:
                    member.checked.cover(entries)
            except DeviceError as error:
                broken[member] = error
        if broken:
            self._record.fail(broken)

    def _common_entries(self, offset: int, size: int) -> bytes | None:
        """The entries of a piece that is the same on all; None if it has to be looked at by blocks."""
        readers = self._record.readers
        if self._record.suspects.overlap(offset, size):
            self.moved += size
            return None
        if _is_hole(readers, offset, size):
            return EMPTY * -(-size // BLOCK)
        self.moved += size
        copies, broken = read_copies(readers, offset, size)
        if broken or any(copy.data != copies[0].data for copy in copies):
            return None
        held = [member.checked for member in readers if member.checked is not None]
        if any(checked.first_wrong(offset, copies[0].data) is not None for checked in held):
            return None
        return entries_of(copies[0].data)

    def _block_entry(self, place: int, size: int) -> bytes:
        """The entry of one block; UNKNOWN if nobody can tell.  What is known to be wrong is put right."""
        if self._record.suspects.covers(place):
            settle(self._record, self._observer, place, size)
        copies, broken = read_copies(self._record.readers, place, size)
        right = choose_copy(copies, suspect=False)
        if right is None:
            return UNKNOWN
        entry = entries_of(right.data)
        vouched = any(copy.entry == entry for copy in copies)
        if not vouched and any(copy.data != right.data for copy in copies):
            self.mismatches += 1
            self._observer.copies_differ(place, size)
            return UNKNOWN
        mend_copies(self._record, self._observer, copies, broken, right, place)
        return entry

    # -- on disk ----------------------------------------------------------------------------------

    def _note(self, targets: Sequence[Member]) -> None:
        """Now and then, and at the end: what is covered is flushed, and then it is put down that it is."""
        now = self._clock()
        done = [member for member in targets if member not in self._waiting()]
        if not done and 0 <= now - self._noted_at < CHECKPOINT:
            return
        self._noted_at = now
        self.checkpoint(done or targets)

    def checkpoint(self, members: Sequence[Member] | None = None) -> None:
        """Put down how far the tables are.  A member that cannot take that is failed."""
        broken: dict[Member, DeviceError] = {}
        for member in self._waiting() if members is None else members:
            try:
                member.data.flush()
                if member.checked is not None:
                    member.checked.persist()
            except DeviceError as error:
                broken[member] = error
        if broken:
            self._record.fail(broken)


def _covered(member: Member) -> int:
    return 0 if member.checked is None else member.checked.covered


def _reached(members: Sequence[Member]) -> int:
    return min(map(_covered, members))


def _is_hole(members: Sequence[Member], offset: int, size: int) -> bool:
    """True if the piece takes up no room on any member, and reads as zeros from each."""
    try:
        return all(
            member.data.punches_holes and member.data.allocation(offset, size) == (size, False)
            for member in members
        )
    except DeviceError:
        return False


def _blocks(offset: int, size: int) -> Iterator[tuple[int, int]]:
    end = offset + size
    return ((place, min(BLOCK, end - place)) for place in range(offset, end, BLOCK))
