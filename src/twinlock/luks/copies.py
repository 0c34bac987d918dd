"""Where a header's copies and key material lie, read from the bytes alone.

What a crash left behind has to be judged before libcryptsetup repairs it: which copies are whole,
and which areas they name.  LUKS2 on-disk format, sections 2 and 3; LUKS1 on-disk format, section 2.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twinlock.units import KIB, SECTOR, round_up
from twinlock.wire.structure import Malformed, Structure, raw, structure, u16, u32, u64

BLOCK = 4 * KIB
"""Bytes; copies and areas begin and end at multiples of it."""
_MAGIC, _SECOND_MAGIC = b"LUKS\xba\xbe", b"SKUL\xba\xbe"
_SECOND_PLACES = tuple(16 * KIB << shift for shift in range(9))
"""Where LUKS2's second copy may begin: the sizes that a copy may have (section 2.3)."""
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
    areas: tuple[Area, ...]


def whole_copies(header: bytes) -> tuple[Copy, ...]:
    """The copies in ``header`` that are whole, the first one first; LUKS1 has one, without a checksum."""
    if (
        len(header) >= Header1.SIZE
        and (first := Header1.parse(header)).magic == _MAGIC
        and first.version == 1
    ):
        return (Copy(Area(0, BLOCK), 0, tuple(_areas_1(header, first))),)
    primary = _copy_2(header, 0)
    places = _SECOND_PLACES if primary is None else (primary.place.size,)
    second = next((copy for place in places if (copy := _copy_2(header, place)) is not None), None)
    return tuple(copy for copy in (primary, second) if copy is not None)


def named(copies: tuple[Copy, ...]) -> set[int]:
    """The blocks that hold key material for one of ``copies``."""
    return {block for copy in copies for area in copy.areas for block in area.blocks}


def header_places(header: bytes) -> tuple[Area, ...]:
    """Where the copies lie, whole or not; empty if no copy is whole."""
    copies = whole_copies(header)
    if not copies:
        return ()
    size = copies[0].place.size
    return (Area(0, size), Area(size, size)) if is_luks2(header) else (Area(0, size),)


def is_luks2(header: bytes) -> bool:
    """True unless the first bytes are those of LUKS1."""
    return not (header[:6] == _MAGIC and header[6:8] == b"\0\1")


def _areas_1(header: bytes, first: Header1) -> Iterator[Area]:
    for number in range(_SLOTS_1):
        slot = Slot1.parse(header, _SLOTS_1_START + number * _SLOT_1_SIZE)
        if slot.state == _ENABLED_1:
            offset = slot.offset * SECTOR  # without a checksum it may be anything
            yield Area(offset, max(0, min(first.key_bytes * slot.stripes, len(header) - offset)))


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
    return Copy(place, binary.sequence, tuple(_areas_2(content)))


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


def _areas_2(content: bytes) -> Iterator[Area]:
    metadata: dict[str, Any] = json.loads(content[BinaryHeader.SIZE :].partition(b"\0")[0])
    for keyslot in metadata["keyslots"].values():
        yield Area(int(keyslot["area"]["offset"]), int(keyslot["area"]["size"]))
