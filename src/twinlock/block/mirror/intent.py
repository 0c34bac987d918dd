"""Write intents: no byte reaches a member before its chunk's bit is durable on all of them.

The common case, a chunk that is marked already, costs one look under a lock.  The
others take their turn at the record, and whoever comes first marks the chunks of all
who wait.  A bit is cleared when its chunk rested for a whole period, was flushed after
its last write, and no member is missing; and not while the chunk is suspect, for the bit is what
would make it so again after the next crash.
"""

from collections.abc import Callable, Collection, Iterable
from threading import Lock

from twinlock.block.mirror.bitmap import Bitmap
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.superblock import ACTIVE, CLEAN


class WriteIntent:
    """Which chunks are marked, being written to, written to lately, and in need of a copy.

    ``needed`` chunks may differ between the members that take part; they stay marked until they are
    copied.
    """

    def __init__(self, record: Record, needed: Iterable[int]) -> None:
        self._record = record
        self._shift = record.bitmap.header.chunksize.bit_length() - 1
        self._lock = Lock()
        self._marked = record.bitmap.marked()
        self._busy: dict[int, int] = {}
        self._touched: set[int] = set()
        self._needed = set(needed)
        self._copying: int | None = None
        self._active = record.resync_offset == ACTIVE
        self._quiet = False
        record.lacking = self.lacks

    @property
    def marked(self) -> int:
        """How many chunks are marked."""
        return len(self._marked)

    @property
    def active(self) -> bool:
        """True while the superblocks say that the array is being written to."""
        return self._active

    # -- around each write ----------------------------------------------------------------------

    def enter(self, offset: int, length: int) -> range:
        """Make the range of bytes writable: its chunks, to be given to :meth:`leave` afterwards.

        Raises WriteFailed or SpaceExhausted if the intent cannot be recorded.
        """
        chunks = range(offset >> self._shift, ((offset + length - 1) >> self._shift) + 1)
        busy = self._busy
        with self._lock:
            for chunk in chunks:
                busy[chunk] = busy.get(chunk, 0) + 1
            self._touched.update(chunks)
            ready = self._active and self._record.recorded and self._marked.issuperset(chunks)
        if not ready:
            try:
                self._prepare()
            except BaseException:
                self.leave(chunks)
                raise
        return chunks

    def leave(self, chunks: Iterable[int]) -> None:
        """The write to these chunks is over, well or not."""
        busy = self._busy
        with self._lock:
            for chunk in chunks:
                if busy[chunk] == 1:
                    del busy[chunk]
                else:
                    busy[chunk] -= 1

    def _prepare(self) -> None:
        with self._record.lock:
            if not self._active or not self._record.recorded:
                self._record.commit(resync_offset=ACTIVE)
                self._active = True
            with self._lock:
                unmarked = self._busy.keys() - self._marked
            if unmarked:
                self._record.mark(unmarked)
                with self._lock:
                    self._marked |= unmarked

    # -- chunks in need of a copy ---------------------------------------------------------------

    def need(self, chunks: Collection[int]) -> None:
        """The members may differ in these (marked) chunks."""
        with self._lock:
            self._needed.update(chunks)
            if self._copying in chunks:
                self._copying = None

    def copying(self, chunk: int) -> None:
        """A copy of the chunk begins.  What comes to be needed from now on, it may have passed already."""
        with self._lock:
            self._copying = chunk

    def copied(self, chunk: int) -> None:
        """The copy is over: the members agree in the chunk again, unless it is needed anew."""
        with self._lock:
            if self._copying == chunk:
                self._needed.discard(chunk)
            self._copying = None
            self._touched.add(chunk)  # its copy is not flushed yet

    def forget_needs(self) -> None:
        """There is nobody left to copy to.  Suspect chunks are still to be settled."""
        with self._lock:
            self._needed &= self._record.suspects.chunks

    def adopt(self, bitmap: Bitmap, needed: Iterable[int], *, active: bool) -> None:
        """The array has another bitmap from now on.  The caller keeps writes out meanwhile."""
        with self._lock:
            self._active = active
            self._shift = bitmap.header.chunksize.bit_length() - 1
            self._marked = bitmap.marked()
            self._needed = set(needed)
            self._touched = set(self._marked)
            self._copying = None

    def known_marked(self) -> set[int]:
        """The chunks that are marked."""
        with self._lock:
            return set(self._marked)

    def needed(self) -> list[int]:
        """The chunks in need of a copy, in order."""
        with self._lock:
            return sorted(self._needed)

    def lacks(self, offset: int) -> bool:
        """True if the byte of the array lies in such a chunk."""
        with self._lock:
            return offset >> self._shift in self._needed

    @property
    def needy(self) -> bool:
        """True if any chunk is in need of a copy."""
        return bool(self._needed)

    # -- in the background ----------------------------------------------------------------------

    def sweep(self, flush: Callable[[], None]) -> None:
        """Clear the bits of chunks that rested since the last sweep.  Raises as ``flush`` does."""
        with self._lock:
            resting = self._resting()
            self._quiet = not self._touched
            self._touched.clear()
        if not resting or self._record.degraded:
            return
        flush()
        with self._record.lock:
            if self._record.degraded:
                return
            with self._lock:
                resting &= self._resting()
                self._marked -= resting
            self._record.unmark(resting)

    def rest(self, flush: Callable[[], None]) -> None:
        """Mark the array clean if nothing was written in the period before the last sweep, or since.

        Raises as ``flush`` does.
        """
        if not self._idle():
            return
        flush()
        with self._record.lock:
            with self._lock:
                if not self._idle():
                    return
                self._active = False
            self._record.commit(resync_offset=CLEAN)

    def _resting(self) -> set[int]:
        doubtful = self._needed | self._record.suspects.chunks
        return self._marked - self._touched - doubtful - self._busy.keys()

    def _idle(self) -> bool:
        undecided = (self._needed and len(self._record.readers) > 1) or self._record.suspects.chunks
        written = self._busy or self._touched or not self._quiet
        return self._active and not written and not undecided
