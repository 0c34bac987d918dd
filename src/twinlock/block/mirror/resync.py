"""Resync: chunks in which the members may differ are copied, while the array is in use.

One piece is copied at a time, and its range is held meanwhile, so a write to it comes
either before the copy or after it on every member.  The source is the member that
reads are answered from, so what a reader has seen stays true.  Members in sync are
compared before they are written to: after a crash most of a marked chunk agrees, and
a hole of a sparse file stays one.  A member that rebuilds is just written to, the first
time.  What no member can read is left out, and its chunk is tried again later.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from typing_extensions import Buffer

from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.reading import read_anywhere, whole_blocks
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.superblock import CLEAN
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, MediumError, SpaceExhausted
from twinlock.units import KIB, MIB, SECTOR

PIECE = MIB
"""Bytes copied in one step: what a write to the same place may have to wait for."""
SLICE = 64 * KIB
"""Bytes compared at once, and written if they differ."""
RETRY = 60.0
"""Seconds until chunks that could not be copied are tried again."""
CHECKPOINT = 60.0
"""Seconds between notes on disk of how far a rebuild has come."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes copied, of those in need of it when the work began (and since)."""

    done: int = 0
    total: int = 0


class Resync:
    """Copies what ``intent`` says is needed, a piece per :meth:`step`.  One caller at a time."""

    def __init__(
        self,
        record: Record,
        intent: WriteIntent,
        ranges: RangeLock,
        *,
        clock: Callable[[], float],
        observer: Observer,
    ) -> None:
        self._record = record
        self._intent = intent
        self._ranges = ranges
        self._clock = clock
        self._observer = observer
        self._size = record.common.header.size * SECTOR
        self._chunk_size = record.bitmap.header.chunksize
        self._queue: list[int] = []
        self._position: int | None = None
        self._unread: MediumError | None = None
        self._tried: set[int] = set()
        self._retry_at: float | None = None
        self._noted_at = clock()
        self.progress = Progress()

    def step(self) -> bool:
        """Copy one piece; True if there is more to copy now."""
        targets = self._record.writers
        if len(targets) < 2:
            self._intent.forget_needs()
            self._stop()
            return False
        if self._waits():
            return False
        position = self._next_chunk() if self._position is None else self._position
        if position is None:
            self._finish()
            return False
        self._copy_or_postpone(position)
        self._note_progress()
        return True

    def checkpoint(self) -> None:
        """Put down on disk how far each rebuild of a whole member has come, if nobody writes.

        During writes the members may differ below any offset.  We would find these chunks in the bitmap
        after a crash, but the kernel begins at the offset, and looks at nothing below.  Raises as
        :meth:`Record.commit` does.
        """
        record = self._record
        rebuilding = [member for member in self._rebuilding() if not member.by_bitmap]
        if not rebuilding or record.resync_offset != CLEAN:
            return
        reached = self._reached()
        flushed = self._flushed(rebuilding)
        with record.lock:
            if flushed and record.resync_offset == CLEAN:  # still: only our driver marks the array clean
                for member in flushed:
                    member.recovered = reached
                record.commit()

    # -- which chunk ----------------------------------------------------------------------------

    def _waits(self) -> bool:
        if self._retry_at is not None and self._clock() < self._retry_at:
            return True
        self._retry_at = None
        return False

    def _next_chunk(self) -> int | None:
        """Where the next chunk begins, of this round or a new one; None if none is needed."""
        if not self._queue:
            self._queue = self._intent.needed()[::-1]
            if not self._queue:
                return None
            if self.progress.done == self.progress.total:
                self.progress = Progress()
            remaining = sum(self._length(chunk) for chunk in self._queue)
            self.progress = Progress(self.progress.done, self.progress.done + remaining)
        chunk = self._queue.pop()
        self._unread = None
        self._intent.copying(chunk)
        return chunk * self._chunk_size

    def _length(self, chunk: int) -> int:
        return min((chunk + 1) * self._chunk_size, self._size) - chunk * self._chunk_size

    def _copy_or_postpone(self, position: int) -> None:
        chunk = position // self._chunk_size
        end = chunk * self._chunk_size + self._length(chunk)
        size = min(PIECE, end - position)
        last = position + size == end
        try:
            self._copy(position, size)
            if last and self._unread is not None:
                raise self._unread
        except DeviceError as error:
            self._postpone(chunk, position, error)
            return
        self._position = None if last else position + size
        if last:
            self._tried.discard(chunk)
            self._intent.copied(chunk)
        self._advance(size)

    def _advance(self, size: int) -> None:
        self.progress = Progress(self.progress.done + size, self.progress.total)
        self._observer.resync_progress(self.progress.done, self.progress.total)

    def _postpone(self, chunk: int, reached: int, error: DeviceError) -> None:
        """Leave the chunk needed and go on with the next; the next round waits."""
        self._position = None
        self._tried.add(chunk)
        self._advance(chunk * self._chunk_size - reached)
        self._observer.resync_stalled(error)
        if not self._queue:
            self._retry_at = self._clock() + RETRY

    def _stop(self) -> None:
        self._queue, self._position, self.progress = [], None, Progress()
        self._tried.clear()

    # -- the copy -------------------------------------------------------------------------------

    def _copy(self, offset: int, size: int) -> None:
        with self._ranges.hold(*whole_blocks(self._record, offset, size)):
            source = self._record.readers[0]
            for place, data in self._read(source, offset, size):
                for target in self._record.writers:
                    if target is not source:
                        self._bring(target, place, data)

    def _read(self, source: Member, offset: int, size: int) -> Iterable[tuple[int, Buffer]]:
        """What can be read of the piece, and where it belongs."""
        try:
            return [(offset, source.data.read(offset, size))]
        except DeviceError:
            return self._read_blocks(offset, size)

    def _read_blocks(self, offset: int, size: int) -> Iterator[tuple[int, Buffer]]:
        for place in range(offset, offset + size, BLOCK):
            length = min(BLOCK, offset + size - place)
            try:
                yield place, read_anywhere(self._record, self._observer, place, length)
            except MediumError as error:
                self._unread = self._unread or error

    def _bring(self, target: Member, offset: int, data: Buffer) -> None:
        """What was written once, and is copied again for one block of it, is compared too."""
        fresh = offset // self._chunk_size not in self._tried
        if fresh and target.state is MemberState.REBUILDING:
            self._write(target, offset, data)
        else:
            self._write_differences(target, offset, memoryview(data))

    def _write_differences(self, target: Member, offset: int, data: memoryview) -> None:
        for start in range(0, data.nbytes, SLICE):
            part = bytes(data[start : start + SLICE])  # views are compared byte by byte, bytes all at once
            if not self._agrees(target, offset + start, part):
                self._write(target, offset + start, part)

    def _agrees(self, target: Member, offset: int, part: bytes) -> bool:
        try:
            return bytes(target.data.read(offset, len(part))) == part
        except DeviceError:
            return False

    def _write(self, target: Member, offset: int, data: Buffer) -> None:
        try:
            target.data.write(offset, data)
        except SpaceExhausted as error:
            self._observer.space_exhausted(target.role or 0, error)
            raise
        except DeviceError as error:
            self._record.fail({target: error})

    # -- the end --------------------------------------------------------------------------------

    def _rebuilding(self) -> list[Member]:
        return [member for member in self._record.writers if member.state is MemberState.REBUILDING]

    def _reached(self) -> int:
        """Bytes of the array, from its start, in which no copy is needed."""
        needed = self._intent.needed()
        return needed[0] * self._chunk_size if needed else self._size

    def _note_progress(self) -> None:
        now = self._clock()
        if not 0 <= now - self._noted_at < CHECKPOINT:
            self._noted_at = now
            try:
                self.checkpoint()
            except DeviceError as error:
                self._observer.resync_stalled(error)

    def _finish(self) -> None:
        """Nothing is needed any more: who was rebuilding is in sync once that is on its medium."""
        if not self._flushed(self._rebuilding()):
            return
        # No write is on its way now: one that found no room on a member would need that chunk again.
        # Those that came during the flush, which may have taken long, were perhaps flushed by their
        # writer since, on members in sync only; so there is another flush, which is short.
        with self._ranges.hold(0, self._size):
            flushed = self._flushed(self._rebuilding())
            if flushed and not self._intent.needy:
                self._record.complete(flushed)

    def _flushed(self, members: list[Member]) -> list[Member]:
        """The members that could be flushed; the others are failed."""
        flushed = []
        for member in members:
            try:
                member.data.flush()
            except DeviceError as error:
                self._record.fail({member: error})
            else:
                flushed.append(member)
        return flushed
