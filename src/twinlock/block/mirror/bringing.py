"""How a member is given the bytes of a piece that was read from another.

A member that rebuilds is just written to, the first time.  One in sync is compared before, for after a
crash most of a marked chunk agrees.  Where nothing at all agrees (a first build onto disks that held
something else) the next few pieces are written unseen: to read what is replaced anyway would cost as much
as the copy.

Checksums that were computed to verify the source go along with the bytes, to be those of the target.
"""

from dataclasses import dataclass

from typing_extensions import Buffer

from twinlock.block.checked.device import TableState
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.record import Record
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, SpaceExhausted
from twinlock.native.checksum import entries_of
from twinlock.units import KIB

SLICE = 64 * KIB
"""Bytes that are written if they differ."""
UNSEEN = 15
"""Pieces that are written without a look after one in which every slice differed."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that are right, and their checksums; None if nobody has computed them yet."""

    offset: int
    data: Buffer
    entries: bytes | None = None


class Bringing:
    """Writes pieces to members.  Whoever calls holds the range, and calls from one thread at a time."""

    def __init__(self, record: Record, observer: Observer) -> None:
        self._record = record
        self._observer = observer
        self._unseen: dict[Member, int] = {}
        self.again = False
        """True for what may have been copied before: it is compared on a member that rebuilds, too."""

    def bring(self, target: Member, piece: Piece) -> None:
        """Let the target have the piece; what it cannot read counts as differing.  Raises SpaceExhausted."""
        if target.state is MemberState.REBUILDING and not self.again:
            self._write(target, piece)
            self._vouch(target, piece)
            return
        try:
            self.level(target, piece)
        except SpaceExhausted:
            raise
        except DeviceError:
            self._write_slices(target, piece)

    def level(self, target: Member, piece: Piece) -> None:
        """Write what differs.  Raises as a read of the target does, or SpaceExhausted."""
        if self._unseen.get(target) and not self.again:
            self._unseen[target] -= 1
            self._write(target, piece)
            return
        ours = bytes(piece.data)
        theirs = bytes(target.data.read(piece.offset, len(ours)))
        if theirs == ours:
            return
        starts = range(0, len(ours), SLICE)
        differing = [at for at in starts if theirs[at : at + SLICE] != ours[at : at + SLICE]]
        if len(differing) == len(starts):
            self._unseen[target] = UNSEEN
            self._write(target, piece)
            return
        for at in differing:
            self._write(target, Piece(piece.offset + at, ours[at : at + SLICE]))

    def _write_slices(self, target: Member, piece: Piece) -> None:
        data = memoryview(piece.data)
        for start in range(0, data.nbytes, SLICE):
            part = bytes(data[start : start + SLICE])  # views are compared byte by byte, bytes all at once
            if not _agrees(target, piece.offset + start, part):
                self._write(target, Piece(piece.offset + start, part))

    def _vouch(self, target: Member, piece: Piece) -> None:
        """A member that is filled from the start, in order, has its checksums at once: no walk is needed."""
        checked = target.checked
        if checked is None or target.by_bitmap or target.state is not MemberState.REBUILDING:
            return
        if checked.covered != piece.offset or checked.state is TableState.ON:
            return
        try:
            checked.cover(piece.entries or entries_of(piece.data))
        except SpaceExhausted as error:
            self._observer.space_exhausted(target.role or 0, error)
        except DeviceError as error:
            self._record.fail({target: error})

    def _write(self, target: Member, piece: Piece) -> None:
        try:
            if target.checked is None or piece.entries is None:
                target.data.write(piece.offset, piece.data)
            else:
                target.checked.write_with_entries(piece.offset, piece.data, piece.entries)
        except SpaceExhausted as error:
            self._observer.space_exhausted(target.role or 0, error)
            raise
        except DeviceError as error:
            self._record.fail({target: error})


def _agrees(target: Member, offset: int, part: bytes) -> bool:
    try:
        return bytes(target.data.read(offset, len(part))) == part
    except DeviceError:
        return False
