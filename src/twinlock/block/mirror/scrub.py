"""Scrub: every copy of every block is read from the medium, and what is wrong with one is put right.

One piece is read at a time, and its range is held meanwhile, so that what a write changes is seen as it
was before on every member, or as it is after on every member.  What the resync has yet to copy, or to
settle after a crash, is left to it.  Holes of sparse files are passed over, unless a checksum says
that there were data.

What is found and done with a block: :mod:`twinlock.block.mirror.inspection`.  What is told, and what
becomes of it after a restart: :mod:`twinlock.block.mirror.scrub_status`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from twinlock.block.mirror.inspection import Inspection
from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.own_records import OwnRecords
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus, Tally
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, NotPossibleNow
from twinlock.units import MIB, round_down

PIECE = MIB
"""Bytes read in one step: what a write to the same place may have to wait for."""
HOLE = 4 * MIB
"""Bytes of a hole whose checksums are looked at together: those of one page of the table."""
HOLES = 256
"""How many such looks one step may take."""


@dataclass(slots=True)
class _Run:
    """One scrub, from its start; ``position`` is where it has come to."""

    repair: bool
    started: float
    total: int
    inspection: Inspection
    tally: Tally
    records: OwnRecords
    position: int = 0
    tables: int | None = None
    """Pages of the tables that are checked; None: nor are superblocks and bitmaps."""
    state: ScrubState = ScrubState.RUNNING
    ended: float | None = None
    reason: str | None = None


class Scrub:
    """Checks the array when told to, a piece per :meth:`step`, which has one caller at a time.

    The others may be called from any thread.  ``clock`` gives seconds since 1970.
    """

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
        self._lock = Lock()
        self._run: _Run | None = None
        self.moved = 0
        """Bytes of the array, and of its checksums, that were read so far; holes are not."""

    # -- for who wants one ----------------------------------------------------------------------

    def start(self, repair: bool) -> None:
        """Begin at the beginning.  Raises NotPossibleNow while one runs.

        With ``repair``, members that differ where no checksum tells who is right are made to agree with
        the one that reads are answered from.
        """
        with self._lock:
            if self.running:
                raise NotPossibleNow(reason="a scrub is running already")
            tally = Tally()
            inspection = Inspection(self._record, self._intent, self._observer, tally, repair=repair)
            records = OwnRecords(self._record, self._note_record)
            self._run = _Run(repair, self._clock(), self._size, inspection, tally, records)

    def cancel(self) -> None:
        """Leave it at what was found so far; nothing happens if none runs."""
        run = self._run
        if run is not None:
            self._end(run, ScrubState.CANCELLED)

    @property
    def running(self) -> bool:
        """True from :meth:`start` until it is over, in whatever way."""
        run = self._run
        return run is not None and run.state is ScrubState.RUNNING

    @property
    def status(self) -> ScrubStatus:
        """The scrub that runs, or the last one."""
        run = self._run
        if run is None:
            return ScrubStatus()
        return run.tally.status(
            state=run.state,
            repair=run.repair,
            started=run.started,
            ended=run.ended,
            done=run.position,
            total=run.total,
            reason=run.reason,
        )

    # -- in the background ----------------------------------------------------------------------

    def step(self) -> bool:
        """Check one piece; True if there is more to check now."""
        run = self._run
        if run is None or not self.running:
            return False
        try:
            self._advance(run)
        except DeviceError as error:
            self._end(run, ScrubState.FAILED, str(error))
        return self.running

    def _advance(self, run: _Run) -> None:
        run.total = size = self._size
        if run.tables is None:
            run.records.check()
            run.tables = 0
        start = self._behind_holes(run.position, size)
        if start == run.position < size:
            start = self._check(run, start, min(PIECE, size - start))
        run.position = start
        if start >= size:
            self._end(run, ScrubState.FINISHED)

    def _check(self, run: _Run, start: int, length: int) -> int:
        """Check a piece; returns where it ends."""
        self._check_tables(start + length)
        with self._ranges.hold(start, start + length):
            if self._due(start, length):
                run.tally.add(skipped=length)
            else:
                self.moved += length
                run.inspection.inspect(start, length)
        return start + length

    def _check_tables(self, end: int) -> None:
        """Check the checksums of the data below ``end``, before anything is judged by them."""
        run = self._run
        while run is not None and run.tables is not None and run.tables * HOLE < end:
            if self._summed:
                self.moved += BLOCK
                run.records.check_table(run.tables)
            run.tables += 1

    def _note_record(self, member: Member, what: str) -> None:
        if self._run is not None:
            self._run.tally.add(records=1)
        self._observer.record_rewritten(member.role or 0, what)

    def _due(self, start: int, length: int) -> bool:
        """True if the resync has yet to be in some chunk of the range."""
        size = self._record.bitmap.header.chunksize
        chunks = range(start // size, (start + length - 1) // size + 1)
        suspects = self._record.suspects.chunks
        if not suspects.isdisjoint(chunks):
            return True
        return self._intent.needy and not set(self._intent.needed()).isdisjoint(chunks)

    def _end(self, run: _Run, state: ScrubState, reason: str | None = None) -> None:
        with self._lock:
            if run.state is not ScrubState.RUNNING:
                return
            run.state, run.reason, run.ended = state, reason, self._clock()
        self._observer.scrub_over(self.status)

    @property
    def _size(self) -> int:
        return self._record.size

    @property
    def _summed(self) -> bool:
        """True if some member has checksums."""
        return any(member.checked is not None for member in self._record.readers)

    # -- holes ----------------------------------------------------------------------------------

    def _behind_holes(self, start: int, size: int) -> int:
        """Where the first data from ``start`` on begin, as far as that can be told in one step."""
        for _ in range(HOLES):
            hole = self._hole(start, size - start) if start < size else 0
            if not hole:
                break
            start += hole
        return start

    def _hole(self, start: int, length: int) -> int:
        """How many bytes from ``start`` on are a hole on every member, and have no checksum anywhere."""
        readers = self._record.readers
        try:
            self._check_tables(start + 1)
            if self._summed:
                length = min(length, HOLE - start % HOLE)
            sizes = [_hole_of(member, start, length) for member in readers]
            found = min(sizes) if min(sizes) == length else round_down(min(sizes), BLOCK)
            return 0 if found and any(_has_checksums(member, start, found) for member in readers) else found
        except DeviceError:
            return 0


def _hole_of(member: Member, start: int, length: int) -> int:
    size, mapped = member.data.allocation(start, length)
    return 0 if mapped else size


def _has_checksums(member: Member, start: int, length: int) -> bool:
    return member.checked is not None and any(member.checked.known(start, length))
