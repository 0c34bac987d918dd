"""What a scrub does to one piece of the array: read every copy from the medium, judge, put right, look again.

A block that a member cannot read, or that a checksum proves wrong, is rewritten at once from a copy that
is right, as md's ``check`` does with sectors that it cannot read.  Where nothing but the copies
themselves says that one of them is wrong, it is rewritten only if the scrub is to repair.  Which copy
is right is what reads go by, too: :mod:`twinlock.block.mirror.verdict`.

A copy that members agree on is right; where one of them has no checksum for it (it was written while
the table had no room, say), it is given one, so that rot that comes later is found.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.scrub_status import Tally
from twinlock.block.mirror.verdict import BlockCopy, choose_copy, read_copy
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted
from twinlock.native.checksum import UNKNOWN, entries_of

Pieces: TypeAlias = Sequence[tuple[Member, bytes | None]]
"""A piece as each member gave it; None where it could not be had at once."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A block that a member is to be given; ``broken``: for certain wrong before."""

    member: Member
    offset: int
    data: bytes
    broken: bool

    def write(self) -> None:
        """Hand it to the member.  Raises as :meth:`BlockDevice.write` does."""
        self.member.repair(self.offset, self.data)

    def look(self) -> None:
        """Read it from the medium.  Raises DeviceError if that cannot be done, or gives something else."""
        found = self.member.data.read_medium(self.offset, len(self.data))
        if bytes(found) != self.data:
            raise MediumError(f"{self.member.path} does not keep what is written to it", offset=self.offset)


class Inspection:
    """Inspects pieces, and counts in ``tally`` what it finds.  One caller at a time."""

    def __init__(
        self, record: Record, intent: WriteIntent, observer: Observer, tally: Tally, *, repair: bool
    ) -> None:
        self._record = record
        self._intent = intent
        self._observer = observer
        self._tally = tally
        self._repair = repair
        self._given: set[Member] = set()

    def inspect(self, offset: int, length: int) -> None:
        """Check ``length`` bytes of the array from ``offset`` on, whole blocks, which the caller holds.

        Members that are gone, or that do not keep what they are given, are failed.  Raises DeviceError
        if no member is left to go on with.
        """
        pieces = [(member, _piece(member, offset, length)) for member in self._record.readers]
        if not _agree(pieces) or _lacks_checksums(pieces, offset, length):
            found = (self._block(pieces, offset, *block) for block in _blocks(offset, length))
            self._rewrite([each for rewrites in found for each in rewrites], offset, length)
            self._save_checksums()
        self._tally.add(checked=length)

    # -- one block ------------------------------------------------------------------------------

    def _block(self, pieces: Pieces, start: int, offset: int, length: int) -> Iterable[Rewrite]:
        """Judge one block of the pieces that begin at ``start``; returns what is to be rewritten."""
        cut = slice(offset - start, offset - start + length)
        datas = [(member, None if piece is None else piece[cut]) for member, piece in pieces]
        copies, unreadable = self._copies(datas, offset, length)
        self._give_checksums(copies, offset)
        if _agree(datas):
            return []
        wrong = [copy for copy in copies if not copy.unknown and not copy.fits]
        self._note_wrong(wrong, offset)
        right = choose_copy(copies, suspect=False)
        if right is None:
            self._tally.lose(offset, length)
            self._observer.block_lost(offset, length)
            return []
        broken, differing = self._others(copies, right)
        self._tally.add(mismatches=bool(differing))
        given = [*unreadable, *(copy.member for copy in (*wrong, *broken))]
        rewrites = [Rewrite(member, offset, right.data, broken=True) for member in given]
        if self._repair:
            rewrites += [Rewrite(copy.member, offset, right.data, broken=False) for copy in differing]
        return rewrites

    def _copies(self, datas: Pieces, offset: int, length: int) -> tuple[list[BlockCopy], list[Member]]:
        """The copies, read anew unless they are there, and who could not give one; who is gone is failed."""
        copies: list[BlockCopy] = []
        unreadable: list[Member] = []
        for member, data in datas:
            try:
                copies.append(_copy(member, data, offset, length))
            except DeviceGone as error:
                self._record.fail({member: error})
            except DeviceError:
                unreadable.append(member)
        self._tally.add(unreadable=len(unreadable))
        return copies, unreadable

    def _note_wrong(self, wrong: Iterable[BlockCopy], offset: int) -> None:
        for copy in wrong:
            self._tally.add(wrong=1)
            copy.member.wrong_checksums += 1
            self._observer.checksum_wrong(copy.member.role or 0, offset, len(copy.data))

    def _others(
        self, copies: Sequence[BlockCopy], right: BlockCopy
    ) -> tuple[list[BlockCopy], list[BlockCopy]]:
        """Copies that are not the right one, though their own checksum does not say so.

        First those that another member's checksum proves wrong, then those of which nobody can tell.  A
        block of which a member knows that it holds nothing may be another on each.
        """
        entry = entries_of(right.data)
        vouched = any(copy.entry == entry for copy in copies)
        others = [copy for copy in copies if copy.data != right.data and (copy.unknown or copy.fits)]
        broken = [copy for copy in others if vouched and copy.unknown]
        self._tally.add(wrong=len(broken))
        if not vouched and any(copy.empty for copy in copies):
            return broken, []
        return broken, [copy for copy in others if copy not in broken]

    # -- checksums that are missing -------------------------------------------------------------

    def _give_checksums(self, copies: Sequence[BlockCopy], offset: int) -> None:
        """What members agree on gets the checksum that one of them lacks.

        The copies come from the medium, so the entry is true at any moment from now on: no chunk is marked.
        One copy alone proves nothing: it may be the wrong one of two that differed.
        """
        alike = len({copy.data for copy in copies}) == 1 and len(copies) > 1
        if not alike or any(not copy.unknown and not copy.fits for copy in copies):
            return
        for copy in copies:
            if copy.entry == UNKNOWN and _covers(copy.member, offset, len(copy.data)):
                self._adopt(copy, offset)

    def _adopt(self, copy: BlockCopy, offset: int) -> None:
        checked = copy.member.checked
        if checked is not None and self._done(copy.member, lambda: checked.adopt(offset, copy.data)):
            self._given.add(copy.member)

    def _save_checksums(self) -> None:
        """Nobody else may ever flush them, for no chunk is marked."""
        given, self._given = self._given, set()
        for member in given:
            if member.checked is not None:
                self._done(member, member.checked.save)

    # -- putting right --------------------------------------------------------------------------

    def _rewrite(self, rewrites: Sequence[Rewrite], offset: int, length: int) -> None:
        """Give the members what they lack.  As before any write, the chunk is marked first."""
        if not rewrites:
            return
        try:
            chunks = self._intent.enter(offset, length)
        except SpaceExhausted as error:
            self._observer.space_exhausted(0, error)
            return
        try:
            self._write_and_look(rewrites)
        finally:
            self._intent.leave(chunks)

    def _write_and_look(self, rewrites: Sequence[Rewrite]) -> None:
        written = [each for each in rewrites if self._done(each.member, each.write)]
        for member in {each.member: None for each in written}:
            self._done(member, member.data.flush)
        for each in written:
            if self._done(each.member, each.look):
                self._repaired(each)

    def _done(self, member: Member, act: Callable[[], None]) -> bool:
        """True if it succeeded; a member that is out of the array is left alone, one that fails is out."""
        if member not in self._record.readers:
            return False
        try:
            act()
        except SpaceExhausted as error:
            self._observer.space_exhausted(member.role or 0, error)
            return False
        except DeviceError as error:
            self._record.fail({member: error})
            return False
        return True

    def _repaired(self, rewrite: Rewrite) -> None:
        self._tally.add(repaired=1)
        if rewrite.broken:
            member = rewrite.member
            member.corrected_reads += 1
            self._observer.read_repaired(member.role or 0, rewrite.offset, len(rewrite.data))


def _agree(pieces: Pieces) -> bool:
    first = pieces[0][1]
    return first is not None and all(data == first for _, data in pieces)


def _lacks_checksums(pieces: Pieces, offset: int, length: int) -> bool:
    """True if a block may have no checksum on a member; UNKNOWN found across two entries costs a look."""
    held = (member for member, _ in pieces if _covers(member, offset, length))
    return any(UNKNOWN in member.checked.entries(offset, length) for member in held if member.checked)


def _covers(member: Member, offset: int, length: int) -> bool:
    """True if the member keeps checksums there; what is not covered yet is the table's rebuild's."""
    checked = member.checked
    return checked is not None and checked.lost is None and offset + length <= checked.covered


def _piece(member: Member, offset: int, length: int) -> bytes | None:
    try:
        return bytes(member.data.read_medium(offset, length))
    except DeviceError:
        return None


def _blocks(offset: int, length: int) -> list[tuple[int, int]]:
    end = offset + length
    return [(place, min(BLOCK, end - place)) for place in range(offset, end, BLOCK)]


def _copy(member: Member, data: bytes | None, offset: int, length: int) -> BlockCopy:
    if data is None:
        return read_copy(member, offset, length, medium=True)
    entry = UNKNOWN if member.checked is None else member.checked.entries(offset, length)
    return BlockCopy(member, data, entry)
