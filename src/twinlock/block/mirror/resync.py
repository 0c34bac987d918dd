"""Resync: chunks in which the members may differ are copied, while the array is in use.

One piece is copied at a time, and its range is held meanwhile, so a write to it comes
either before the copy or after it on every member.  How a piece is copied is
:mod:`twinlock.block.mirror.copying`; here is decided which, and when a copy is over.
What no member can read is left out, and its chunk is tried again later.
"""

from collections.abc import Callable

from twinlock.block.mirror.copying import Copying
from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.progress import Progress
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.superblock import CLEAN
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError
from twinlock.units import MIB

PIECE = MIB
"""Bytes copied in one step: what a write to the same place may have to wait for."""
RETRY = 60.0
"""Seconds until chunks that could not be copied are tried again."""
CHECKPOINT = 60.0
"""Seconds between notes on disk of how far a rebuild has come."""


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
        self._copying = Copying(record, ranges, observer)
        self._queue: list[int] = []
        self._position: int | None = None
        self._tried: set[int] = set()
        self._retry_at: float | None = None
        self._noted_at = clock()
        self.progress = Progress()

    def step(self) -> bool:
        """Copy one piece; True if there is more to copy now."""
        if len(self._record.writers) < 2 and not self._record.suspects.chunks:
            self._intent.forget_needs()
            self.begin_anew()
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

    @property
    def moved(self) -> int:
        """Bytes of the array that were copied or compared so far: what the pace is about."""
        return self._copying.moved

    def begin_anew(self) -> None:
        """The members, or what they need, are others now: what is to be copied is found out again."""
        self._queue, self._position, self.progress = [], None, Progress()
        self._retry_at = None
        self._tried.clear()

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

    @property
    def _chunk_size(self) -> int:
        return self._record.bitmap.header.chunksize

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
        self._copying.begin(chunk, again=chunk in self._tried)
        self._intent.copying(chunk)
        return chunk * self._chunk_size

    def _length(self, chunk: int) -> int:
        return min((chunk + 1) * self._chunk_size, self._record.size) - chunk * self._chunk_size

    def _copy_or_postpone(self, position: int) -> None:
        chunk = position // self._chunk_size
        end = chunk * self._chunk_size + self._length(chunk)
        try:
            done = self._copying.copy(position, min(PIECE, end - position), end - position)
            last = position + done == end
            if last:
                self._copying.end()
        except DeviceError as error:
            self._postpone(chunk, position, error)
            return
        self._position = None if last else position + done
        if last:
            self._tried.discard(chunk)
            self._intent.copied(chunk)
        self._advance(done)

    def _advance(self, size: int) -> None:
        self.progress = Progress(self.progress.done + size, self.progress.total)
        self._observer.resync_progress(self.progress.done, self.progress.total)

    def _postpone(self, chunk: int, reached: int, error: DeviceError) -> None:
        """Leave the chunk needed and go on with the next; the next round waits."""
        self._position = None
        self._tried.add(chunk)
        self._advance(chunk * self._chunk_size - reached)  # the next round counts all of it again
        self._observer.resync_stalled(error)
        if not self._queue:
            self._retry_at = self._clock() + RETRY

    # -- the end --------------------------------------------------------------------------------

    def _rebuilding(self) -> list[Member]:
        return [member for member in self._record.writers if member.state is MemberState.REBUILDING]

    def _reached(self) -> int:
        """Bytes of the array, from its start, in which no copy is needed."""
        needed = self._intent.needed()
        return needed[0] * self._chunk_size if needed else self._record.size

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
        with self._ranges.hold(0, self._record.size):
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
