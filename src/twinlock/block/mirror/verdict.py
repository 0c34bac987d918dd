"""The copies of one block on the members in sync, and which of them is the block: a decision, no I/O.

All of them should be the same, so what one member's checksum says is good for every copy.

==========================================  ==========================  =============================
what there is, in the order of preference   outside suspect chunks      in a suspect chunk
==========================================  ==========================  =============================
a copy that fits its own checksum           it is right                 it is right
a copy that fits another's checksum         it is right                 it is right
only copies without any checksum            the preferred member's      the preferred member's
some without, some that contradict theirs   a copy of the former that   the preferred member's of the
                                            one of the latter equals    former
only copies that contradict theirs          none: the block is lost     the preferred member's
==========================================  ==========================  =============================

In a suspect chunk a crash may have come between a block and its checksum, so a checksum that does not
fit proves nothing; and each copy is one that the array may hold after a crash.  Outside, data and
checksums were flushed together, and what contradicts its checksum is rotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from twinlock.block.mirror.member import Member
from twinlock.native.checksum import EMPTY, UNKNOWN, entries_of


@dataclass(frozen=True, slots=True)
class BlockCopy:
    """What one member gave for a block, and the entry it keeps for it; UNKNOWN if it has no checksums."""

    member: Member
    data: bytes
    entry: bytes

    @property
    def unknown(self) -> bool:
        """True if the member has no checksum for it."""
        return self.entry in (EMPTY, UNKNOWN)

    @property
    def empty(self) -> bool:
        """True if the member's checksums say that nothing was written there, or that it was discarded."""
        return self.entry == EMPTY

    @property
    def fits(self) -> bool:
        """True if it is what its checksum says."""
        return self.entry == entries_of(self.data)


def read_copy(member: Member, place: int, size: int, *, medium: bool = False) -> BlockCopy:
    """The member's copy of a block, as it is.  Raises DeviceError."""
    checked = member.checked
    if checked is None:
        data = (member.data.read_medium if medium else member.data.read)(place, size)
        return BlockCopy(member, bytes(data), UNKNOWN)
    data = bytes(checked.read_raw(place, size, medium=medium))
    return BlockCopy(member, data, checked.entries(place, size))


def choose_copy(copies: Sequence[BlockCopy], *, suspect: bool) -> BlockCopy | None:
    """Which copy is the block, by the table above; None if none is.  The preferred member's comes first."""
    for copy in copies:
        if copy.fits:
            return copy
    said = {copy.entry for copy in copies if not copy.unknown}
    if not said:
        return copies[0] if copies else None
    for copy in copies:
        if entries_of(copy.data) in said:
            return copy
    unknown = [copy for copy in copies if copy.unknown]
    if suspect:
        return (unknown or list(copies))[0]
    contradicting = {copy.data for copy in copies if not copy.unknown}
    return next((copy for copy in unknown if copy.data in contradicting), None)
