"""What every read, write, flush and discard of an array does: the part of a mirror that is on the hot path.

A write holds its range, so overlapping writes reach all members in one order; it
goes to one member after the other, in the caller's thread, for the page cache takes
them in microseconds.  A read is answered by one member, and takes no range: where its
checksums do not fit, it is looked at again with the range held, for a write that raced explains it.

Members with checksums are written to in whole blocks of 4 KiB.  A write that covers part of one reads the
rest, verified and if need be repaired, before anything changes; a discard leaves such an edge alone.
"""

from collections.abc import Callable, Iterable, Sequence

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.reading import read_anywhere, read_everywhere, whole_blocks
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.stack import disown_tables
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, DeviceGone, SpaceExhausted
from twinlock.units import SECTOR, round_down, round_up


class DataPath(BlockDevice):
    """The array's data, on members whose record and write intents are kept by others."""

    def __init__(self, record: Record, intent: WriteIntent, ranges: RangeLock, observer: Observer) -> None:
        self._record = record
        self._intent = intent
        self._ranges = ranges
        self._observer = observer
        self._closed = False
        self.foreground = 0
        """How many commands came so far; what runs in the background yields to them."""
        self.block_size = max(member.data.block_size for member in record.members)
        self.size = round_down(record.common.header.size * SECTOR, self.block_size)
        disown_tables(record)

    def read(self, offset: int, length: int) -> Buffer:
        """From one member; from the others where that one cannot, which is repaired."""
        self.check_range(offset, length)
        self.foreground += 1
        record = self._record
        if not record.suspects.overlap(offset, length):
            try:
                return record.readers[0].data.read(offset, length)
            except DeviceError:
                pass
        with self._ranges.hold(*whole_blocks(record, offset, length)):
            self._refuse_closed()
            return read_anywhere(record, self._observer, offset, length)

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """None also where a repair is due, for that takes time."""
        self.check_range(offset, length)
        record = self._record
        if record.suspects.overlap(offset, length):
            return None
        try:
            found = record.readers[0].data.read_nowait(offset, length)
        except DeviceError:
            return None
        self.foreground += found is not None
        return found

    def read_medium(self, offset: int, length: int) -> Buffer:
        """From the medium of every member in sync; what one cannot read is repaired from another.

        Whether members agree is not judged: where nothing was ever written they need not.
        """
        self.check_range(offset, length)
        self.foreground += 1
        record = self._record
        if not record.suspects.overlap(offset, length):
            try:
                copies = [member.data.read_medium(offset, length) for member in record.readers]
            except DeviceError:
                pass
            else:
                return copies[0]
        with self._ranges.hold(*whole_blocks(record, offset, length)):
            self._refuse_closed()
            return read_everywhere(record, self._observer, offset, length)

    def copies(self) -> tuple[BlockDevice, ...]:
        """What each member in sync holds, as it is: checksums are not asked.  The preferred one's first."""
        readers = self._record.readers
        return tuple(each.data if each.checked is None else each.checked.lower for each in readers)

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
        are made to agree later), MediumError if it covers part of a block whose rest no member can give.
        """
        self._write(offset, data, lambda device, place, whole: device.write(place, whole))

    def write_durable(self, offset: int, data: Buffer) -> None:
        """As :meth:`write`, durable on every member when it returns."""
        self._write(offset, data, lambda device, place, whole: device.write_durable(place, whole))

    def _write(self, offset: int, data: Buffer, act: Callable[[BlockDevice, int, Buffer], None]) -> None:
        length = memoryview(data).nbytes
        if (offset | length) % BLOCK == 0:
            self._change(offset, length, lambda device: act(device, offset, data))
            return
        self.check_range(offset, length)
        if not length:
            return
        start, end = whole_blocks(self._record, offset, length)
        with self._ranges.hold(start, end):
            self._refuse_closed()
            if not self._has_checksums():  # asked in here: a member that has some may have come meanwhile
                self._change_held(offset, length, lambda device: act(device, offset, data))
                return
            whole = self._completed(start, end, offset, data)
            self._change_held(start, end - start, lambda device: act(device, start, whole))

    def _completed(self, start: int, end: int, offset: int, data: Buffer) -> bytearray:
        """The blocks from ``start`` to ``end``: ``data`` at ``offset``, and what is there around them."""
        whole = bytearray(end - start)
        behind = offset + memoryview(data).nbytes
        for place, kept in ((start, offset > start), (round_down(end - 1, BLOCK), behind < end)):
            if kept:
                size = min(BLOCK, end - place)
                found = read_anywhere(self._record, self._observer, place, size)
                whole[place - start : place - start + size] = memoryview(found)
        whole[offset - start : behind - start] = memoryview(data).cast("B")
        return whole

    def _has_checksums(self) -> bool:
        return any(member.checked is not None for member in self._record.writers)

    def discard(self, offset: int, length: int) -> None:
        """On every member that takes part; what it reads as afterwards is anything, but the same from each.

        Where members may read differently, they are made to agree later; until then one answers.
        """
        self.check_range(offset, length)
        if (offset | length) % BLOCK == 0:
            self._change(offset, length, lambda device: device.discard(offset, length), alike=_punch_holes)
            return
        with self._ranges.hold(*whole_blocks(self._record, offset, length)):
            self._refuse_closed()
            self._discard_held(offset, offset + length)

    def _discard_held(self, start: int, end: int) -> None:
        """Blocks that are covered in part stay, where there are checksums; asked for as in :meth:`_write`."""
        if self._has_checksums():
            start = round_up(start, BLOCK)
            end = end if end == self._record.size else round_down(end, BLOCK)
        size = end - start
        if size > 0:
            self._change_held(start, size, lambda device: device.discard(start, size), alike=_punch_holes)

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
        held = self._ranges.acquire(offset, offset + length)
        try:
            self._change_held(offset, length, act, alike=alike)
        finally:
            self._ranges.release(held)

    def _change_held(
        self,
        offset: int,
        length: int,
        act: Callable[[BlockDevice], None],
        *,
        alike: Callable[[Sequence[Member]], bool] | None = None,
    ) -> None:
        """With the range held: the intent first, then the members one after the other."""
        self._refuse_closed()  # it may have been closed while this waited
        self.foreground += 1
        intent = self._intent
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
        self._refuse_closed()
        super().check_range(offset, length)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise DeviceGone("the array is closed")


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
