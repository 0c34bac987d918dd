"""Where a header's copies and key material lie, read from the bytes alone.

What a crash left behind has to be judged before libcryptsetup repairs it: which copies are whole,
and which areas they name.  LUKS2 on-disk format, sections 2 and 3; LUKS1 on-disk format, section 2.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from twinlock.units import KIB, MIB, SECTOR, round_up
from twinlock.wire.structure import Malformed, Structure, raw, structure, u16, u32, u64

BLOCK = 4 * KIB
"""Bytes; copies and areas begin and end at multiples of it."""
_MAGIC, _SECOND_MAGIC = b"LUKS\xba\xbe", b"SKUL\xba\xbe"
_SECOND_PLACES = tuple(16 * KIB << shift for shift in range(9))
"""Where LUKS2's second copy may begin: the sizes that a copy may have (section 2.3)."""
_LARGEST = 2 * _SECOND_PLACES[-1] + 128 * MIB
"""Bytes of the largest header area: two copies, and the keyslots that libcryptsetup allows at most."""
_CHECKSUM, _CHECKSUM_SIZE = 448, 64
_SLOTS_1, _SLOT_1_SIZE, _SLOTS_1_START, _ENABLED_1 = 8, 48, 208, 0x00AC71F3


@structure(size=4096, section="LUKS2 on-disk format section 2.1")
class BinaryHeader(Structure):
    """The binary part of one copy; ``header_size`` counts it and the JSON behind it."""

    magic: bytes = raw(0, 6)
    version: int = u16(6)
    header_size: int = u64(8)
    sequence: int = u64(16)
    checksum_algorithm: bytes = raw(72, 32)
    header_offset: int = u64(256)
    checksum: bytes = raw(_CHECKSUM, _CHECKSUM_SIZE)


@structure(size=592, section="LUKS1 on-disk format section 2.2")
class Header1(Structure):
    """The part of LUKS1's one header that tells where the key material is."""

    magic: bytes = raw(0, 6)
    version: int = u16(6)
    key_bytes: int = u32(108)


@structure(size=_SLOT_1_SIZE, section="LUKS1 on-disk format section 2.2")
class Slot1(Structure):
    """A keyslot of LUKS1; ``offset`` in sectors."""

    state: int = u32(0)
    offset: int = u32(40)
    stripes: int = u32(44)


@dataclass(frozen=True, slots=True)
class Area:
    """A run of bytes from the start of the container."""

    offset: int
    size: int

    @property
    def blocks(self) -> range:
        """The numbers of the blocks of :data:`BLOCK` bytes that it touches."""
        return range(self.offset // BLOCK, round_up(self.offset + self.size, BLOCK) // BLOCK)


@dataclass(frozen=True, slots=True)
class Copy:
    """A whole copy of a header: its place, its age (a larger ``sequence`` is newer), what it names."""

    place: Area
    sequence: int
    slots: tuple[tuple[int, Area], ...]
    """The keyslots that hold something, and where their key material is."""


def whole_copies(header: bytes) -> tuple[Copy, ...]:
    """The copies in ``header`` that are whole, the first one first; LUKS1 has one, without a checksum."""
    if (
        len(header) >= Header1.SIZE
        and (first := Header1.parse(header)).magic == _MAGIC
        and first.version == 1
    ):
        return (Copy(Area(0, BLOCK), 0, tuple(_slots_1(header, first))),)
    primary = _copy_2(header, 0)
    places = _SECOND_PLACES if primary is None else (primary.place.size,)
    second = next((copy for place in places if (copy := _copy_2(header, place)) is not None), None)
    return tuple(copy for copy in (primary, second) if copy is not None)


def named(copies: tuple[Copy, ...]) -> set[int]:
    """The blocks that hold key material for one of ``copies``."""
    return {block for copy in copies for _, area in copy.slots for block in area.blocks}


def slot_blocks(header: bytes) -> dict[int, frozenset[int]]:
    """The blocks on which each keyslot of the newest copy depends: its key material.

    In LUKS1 the header, too: it has no checksum, so damage to it shows nowhere else.
    """
    newest = max(whole_copies(header), key=lambda copy: copy.sequence, default=None)
    if newest is None:
        return {}
    also = () if is_luks2(header) else newest.place.blocks
    return {number: frozenset((*area.blocks, *also)) for number, area in newest.slots}


def header_places(header: bytes) -> tuple[Area, ...]:
    """Where the copies lie, whole or not; empty if no copy is whole."""
    copies = whole_copies(header)
    if not copies:
        return ()
    size = copies[0].place.size
    return (Area(0, size), Area(size, size)) if is_luks2(header) else (Area(0, size),)


def copy_blocks(target: bytearray, source: bytes, blocks: Iterable[int]) -> None:
    """Copy blocks of :data:`BLOCK` bytes; those that either does not have in whole are left out."""
    end = min(len(target), len(source)) // BLOCK
    for number in blocks:
        if number < end:
            block = slice(number * BLOCK, (number + 1) * BLOCK)
            target[block] = source[block]


def is_luks2(header: bytes) -> bool:
    """True unless the first bytes are those of LUKS1."""
    return not (header[:6] == _MAGIC and header[6:8] == b"\0\1")


def _slots_1(header: bytes, first: Header1) -> Iterator[tuple[int, Area]]:
    for number in range(_SLOTS_1):
        slot = Slot1.parse(header, _SLOTS_1_START + number * _SLOT_1_SIZE)
        if slot.state == _ENABLED_1:
            offset = slot.offset * SECTOR  # without a checksum it may be anything
            yield number, Area(offset, max(0, min(first.key_bytes * slot.stripes, len(header) - offset)))


def _copy_2(header: bytes, offset: int) -> Copy | None:
    try:
        binary = BinaryHeader.parse(header, offset)
    except Malformed:
        return None
    magic = _SECOND_MAGIC if offset else _MAGIC
    if (binary.magic, binary.version, binary.header_offset) != (magic, 2, offset):
        return None
    place = Area(offset, binary.header_size)
    if binary.header_size not in _SECOND_PLACES or (offset and offset != binary.header_size):
        return None
    content = header[offset : offset + place.size]
    if len(content) < place.size or not _sum_is_right(binary, content):
        return None
    try:
        return Copy(place, binary.sequence, tuple(_slots_2(content)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # a sum proves no sense
        return None


def _sum_is_right(binary: BinaryHeader, content: bytes) -> bool:
    """The checksum is made with zeros in its own place (section 2.4)."""
    try:
        digest = hashlib.new(binary.checksum_algorithm.rstrip(b"\0").decode("ascii"))
    except (TypeError, ValueError):  # a damaged name, also one with a NUL in it
        return False
    if not digest.digest_size:  # a name that means something else (SHAKE)
        return False
    for part in (content[:_CHECKSUM], bytes(_CHECKSUM_SIZE), content[_CHECKSUM + _CHECKSUM_SIZE :]):
        digest.update(part)
    return digest.digest() == binary.checksum[: digest.digest_size]


def _slots_2(content: bytes) -> Iterator[tuple[int, Area]]:
    metadata: dict[str, Any] = json.loads(content[BinaryHeader.SIZE :].partition(b"\0")[0])
    for number, keyslot in metadata["keyslots"].items():
        area = Area(int(keyslot["area"]["offset"]), int(keyslot["area"]["size"]))
        if min(area.offset, area.size) < 0 or area.offset + area.size > _LARGEST:
            raise ValueError("key material where none can be")
        yield int(number), area
