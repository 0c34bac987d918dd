"""How one piece is copied, while its range is held.

The source is the member that reads are answered from, so what a reader has seen stays true.  How the
others are given its bytes is :mod:`twinlock.block.mirror.bringing`.  What is a hole on all of them, of
which no checksum claims anything, is passed over: it reads as zeros everywhere.

In a suspect chunk (a crash may have come between data and checksums) the members in sync are
made to agree first, and their checksums true, by the rule that readers go by.
"""

from collections.abc import Callable, Iterable, Iterator

from twinlock.block.mirror import reading
from twinlock.block.mirror.bringing import Bringing, Piece
from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.record import Record
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, DeviceGone, MediumError
from twinlock.units import round_down


class Copying:
    """Copies the pieces of one chunk after the other: :meth:`begin`, :meth:`copy` ..., :meth:`end`."""

    def __init__(self, record: Record, ranges: RangeLock, observer: Observer) -> None:
        self._record = record
        self._ranges = ranges
        self._observer = observer
        self._bringing = Bringing(record, observer)
        self._chunk = 0
        self._suspect = False
        self._unread: MediumError | None = None
        self._dense: dict[Member, range] = {}
        self.moved = 0
        """Bytes of the array that were read for copies so far; what is passed over is not among them."""

    def begin(self, chunk: int, *, again: bool) -> None:
        """The pieces that follow are of this chunk; ``again``: some of it was copied before."""
        self._chunk, self._unread = chunk, None
        self._bringing.again = again
        self._suspect = chunk in self._record.suspects.chunks

    def end(self) -> None:
        """The chunk is through; raises the first MediumError if something of it was left out."""
        if self._unread is not None:
            raise self._unread
        if self._suspect:
            self._record.suspects.settled(self._chunk)

    def copy(self, offset: int, size: int, rest: int) -> int:
        """Copy ``size`` bytes, or pass over up to ``rest`` that need no copy; how many are behind it now."""
        passed = self._pass_over(offset, rest)
        if passed:
            return passed
        self.moved += size
        with self._ranges.hold(*reading.whole_blocks(self._record, offset, size)):
            if self._suspect:
                self._blockwise(offset, size, self._settle)
            source = self._record.readers[0]
            for target in self._targets(source):
                if self._clear(source, target, offset, size):
                    continue
                for piece in self._read(source, offset, size):
                    self._bringing.bring(target, piece)
        return size

    def _targets(self, source: Member) -> list[Member]:
        """Who is to be given the source's bytes; members in sync are not, where they were settled."""
        targets = [member for member in self._record.writers if member is not source]
        return [m for m in targets if m.state is MemberState.REBUILDING] if self._suspect else targets

    # -- holes ----------------------------------------------------------------------------------

    def _pass_over(self, offset: int, rest: int) -> int:
        """How much of the rest of the chunk is a hole on all members: nobody writes there meanwhile."""
        if not self._hole(offset, rest):
            return 0
        with self._ranges.hold(*reading.whole_blocks(self._record, offset, rest)):
            return self._hole(offset, rest)

    def _hole(self, offset: int, rest: int) -> int:
        for member in self._record.writers:
            rest = min(rest, self._hole_of(member, offset, rest))
            if not rest:
                break
        return rest

    def _hole_of(self, member: Member, offset: int, rest: int) -> int:
        """As :func:`_hole`; a file is asked only once where a run of data ends: it may look at all of it."""
        if offset in self._dense.get(member, range(0)):
            return 0
        found = _hole(member, offset, rest)
        if not found:
            self._dense[member] = _run(member, offset)
        return found

    def _clear(self, source: Member, target: Member, offset: int, size: int) -> bool:
        """Make a hole where the source has one, so that sparse files stay so; False if that cannot be."""
        if target.state is not MemberState.REBUILDING or self._hole_of(source, offset, size) < size:
            return False
        try:
            target.data.discard(offset, size)
        except DeviceError as error:
            self._record.fail({target: error})
            return True
        return _hole(target, offset, size) == size

    # -- data -----------------------------------------------------------------------------------

    def _settle(self, offset: int, size: int) -> None:
        if not self._settle_unknown(offset, size):
            reading.settle(self._record, self._observer, offset, size)

    def _settle_unknown(self, offset: int, size: int) -> bool:
        """Where no member knows a checksum the preferred one's bytes are right, all of them at once.

        False if the range is to be looked at block by block: there a member that is gone is failed.
        """
        source, *targets = self._record.readers
        try:
            if not targets or any(_knows(member, offset, size) for member in (source, *targets)):
                return False
            piece = Piece(offset, source.data.read(offset, size))
            for target in targets:
                self._bringing.level(target, piece)
        except (MediumError, DeviceGone):
            return False
        return True

    def _blockwise(self, offset: int, size: int, act: Callable[[int, int], None]) -> None:
        """All at once, or what can be had of it: a block that cannot be read is noted and left out."""
        try:
            act(offset, size)
        except DeviceError:
            for place, length in _blocks(offset, size):
                try:
                    act(place, length)
                except MediumError as error:
                    self._unread = self._unread or error

    def _read(self, source: Member, offset: int, size: int) -> Iterable[Piece]:
        """What can be read of it, verified, and where it belongs."""
        try:
            if source.checked is None:
                return [Piece(offset, source.data.read(offset, size))]
            return [Piece(offset, *source.checked.read_with_entries(offset, size))]
        except DeviceError:
            return self._read_blocks(offset, size)

    def _read_blocks(self, offset: int, size: int) -> Iterator[Piece]:
        for place, length in _blocks(offset, size):
            try:
                yield Piece(place, reading.read_anywhere(self._record, self._observer, place, length))
            except MediumError as error:
                self._unread = self._unread or error


def _blocks(offset: int, size: int) -> Iterator[tuple[int, int]]:
    return ((place, min(BLOCK, offset + size - place)) for place in range(offset, offset + size, BLOCK))


def _knows(member: Member, offset: int, size: int) -> bool:
    """True if there is a checksum for any block of the range."""
    return member.checked is not None and any(member.checked.known(offset, size))


def _run(member: Member, offset: int) -> range:
    """The bytes from ``offset`` on that take up room, as far as that was looked at."""
    try:
        length, mapped = member.data.allocation(offset, member.data.size - offset)
    except DeviceError:
        return range(0)
    return range(offset, offset + length) if mapped else range(0)


def _hole(member: Member, offset: int, rest: int) -> int:
    """How many bytes from ``offset`` on, in whole blocks, read as zeros, and no checksum denies it."""
    data = member.data
    if not data.punches_holes:
        return 0
    try:
        length, mapped = data.allocation(offset, rest)
        length = length if length == rest else round_down(length, BLOCK)
        return 0 if mapped or not length or _knows(member, offset, length) else length
    except DeviceError:
        return 0
