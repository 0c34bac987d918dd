"""A header of which two disks hold copies that differ: what is damaged in one may be whole in the other.

Key material has no checksum: damage shows only in that a key does not open its keyslot.  So each keyslot
whose blocks differ is put together with what another disk holds for it, and tried: a key that opens it
proves the copy.  Nothing is merged that was not proved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from twinlock.luks.copies import copy_blocks, header_places, slot_blocks


@dataclass(frozen=True, slots=True)
class Candidate:
    """The header with one keyslot as another disk has it."""

    number: int
    header: bytes = field(repr=False)


def candidates(header: bytes, others: Sequence[bytes]) -> Iterator[Candidate]:
    """Each keyslot as each of the ``others`` has it, if that differs; all are header areas of one length."""
    for number, blocks in slot_blocks(header).items():
        for other in others:
            found = _with_blocks(header, other, blocks)
            if found != header:
                yield Candidate(number, found)


def with_header_of(header: bytes, other: bytes) -> bytes:
    """The area ``header`` with both copies of the header of ``other``; the key material stays."""
    blocks = {block for place in header_places(other) for block in place.blocks}
    return _with_blocks(header, other, frozenset(blocks))


def _with_blocks(header: bytes, other: bytes, blocks: frozenset[int]) -> bytes:
    result = bytearray(header)
    copy_blocks(result, other, blocks)
    return bytes(result)
