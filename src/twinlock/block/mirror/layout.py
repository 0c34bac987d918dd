"""Where things lie on a member: arithmetic only, all of it in bytes.

    0           4 KiB        8 KiB            44 KiB                              data_offset
    | blank     | superblock | bitmap (36 KiB) | spare, 1 MiB or more | table room | data ...
                                                                      ^ table_offset

The spare begins at superblock + 80 sectors, the first place where ``mdadm
--assemble --update=bbl`` puts a bad-block log behind a bitmap of up to 36 KiB.  The
table room holds a header and 4 bytes (a CRC32C) for each 4 KiB of the member, for
a member of up to four times the size, and ends where the data begin.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from twinlock.units import KIB, MIB, round_down, round_up

BLOCK = 4 * KIB
"""What every part but the data is aligned to, so that disks with 4096-byte sectors fit."""
SUPERBLOCK_OFFSET = 4 * KIB
SUPERBLOCK_SIZE = 4 * KIB
BITMAP_OFFSET = 8 * KIB
BITMAP_ROOM = 36 * KIB
BITMAP_HEADER = 256
SPARE_SIZE = MIB
TABLE_HEADER = 4 * KIB
TABLE_ENTRY = 4
GROWTH = 4
DATA_ALIGNMENT = MIB
MINIMUM_DATA = MIB
SIGNATURE_AREA = MIB
"""How much at a member's beginning and end is wiped, for that is where old signatures lie."""

MINIMUM_CHUNK = 4 * MIB
USUAL_CHUNK = 64 * MIB
FINE_CHUNKS = 16384


@dataclass(frozen=True, slots=True)
class MemberLayout:
    """The areas of one member of ``member_size`` bytes."""

    member_size: int
    table_offset: int
    data_offset: int
    data_size: int

    @property
    def table_end(self) -> int:
        """Where the checksum table ends that the member's present size needs (growth has the rest)."""
        return self.table_offset + TABLE_HEADER + _table(self.member_size)


def member_layout(member_size: int) -> MemberLayout:
    """The layout of a new member; ``data_size`` is not positive if the member is too small for any."""
    room = TABLE_HEADER + GROWTH * _table(member_size)
    data_offset = round_up(BITMAP_OFFSET + BITMAP_ROOM + SPARE_SIZE + room, DATA_ALIGNMENT)
    data_size = round_down(member_size - data_offset, BLOCK)
    return MemberLayout(member_size, data_offset - room, data_offset, data_size)


def array_size(member_sizes: Iterable[int]) -> int:
    """Bytes of the array that members of these sizes make: the data of the smallest."""
    return min(member_layout(size).data_size for size in member_sizes)


def minimum_member_size(data_size: int = MINIMUM_DATA) -> int:
    """The least size of a member that has ``data_size`` bytes for data."""
    size = data_size + DATA_ALIGNMENT
    while (missing := data_size - member_layout(size).data_size) > 0:
        size += round_up(missing, BLOCK)
    return size


def bitmap_chunk(data_size: int) -> int:
    """Bytes of the array that one bit of a new bitmap stands for.

    A bit that is not set yet costs a durable write before the data: few, large chunks suit random
    writes.  A crash, or a member that was away, costs a copy of each chunk that is marked: many, small
    chunks suit resync.  So: as fine as 16384 chunks allow, from 4 MiB up to mdadm's usual 64 MiB,
    and coarser only when the bitmap's room is full (beyond 17 TiB).
    """
    chunk = MINIMUM_CHUNK
    while chunk < USUAL_CHUNK and chunk * FINE_CHUNKS < data_size:
        chunk *= 2
    while bitmap_bytes(data_size, chunk) > BITMAP_ROOM:
        chunk *= 2
    return chunk


def bitmap_bytes(data_size: int, chunk: int) -> int:
    """Bytes on disk of a bitmap, with its header, in whole blocks."""
    return round_up(BITMAP_HEADER + round_up(chunk_count(data_size, chunk), 8) // 8, BLOCK)


def chunk_count(data_size: int, chunk: int) -> int:
    """How many chunks the data have; the last one may be cut short."""
    return round_up(data_size, chunk) // chunk


def _table(member_size: int) -> int:
    """Bytes of checksums for a member of ``member_size``, in whole blocks."""
    return round_up(round_up(member_size, BLOCK) // BLOCK * TABLE_ENTRY, BLOCK)
