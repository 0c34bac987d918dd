"""Where a write to a member goes: told from the layout alone."""

from enum import StrEnum

from twinlock.block.mirror import layout
from twinlock.block.mirror.layout import MemberLayout
from twinlock.units import KIB


class Area(StrEnum):
    """The parts of a member that twinlock made."""

    BLANK = "blank"
    SUPERBLOCK = "superblock"
    BITMAP = "bitmap"
    SPARE = "spare"
    TABLE = "checksum table"
    TABLE_HEADER = "table header"
    DATA = "data"
    COPY_1 = "first copy of the container's header"
    COPY_2 = "second copy of the container's header"
    KEYS = "key material"


COPY = 16 * KIB
"""A copy of the header, as it is in a container of ours."""


def area_of(place: MemberLayout, offset: int, container: int = 0) -> Area:
    """The area of the byte at ``offset``; ``container``: bytes of the data that are a container's header."""
    ends = (
        (layout.SUPERBLOCK_OFFSET, Area.BLANK),
        (layout.BITMAP_OFFSET, Area.SUPERBLOCK),
        (layout.BITMAP_OFFSET + layout.BITMAP_ROOM, Area.BITMAP),
        (place.table_offset, Area.SPARE),
        (place.data_offset - layout.TABLE_HEADER, Area.TABLE),
        (place.data_offset, Area.TABLE_HEADER),
    )
    header = (
        (place.data_offset + COPY, Area.COPY_1),
        (place.data_offset + 2 * COPY, Area.COPY_2),
        (place.data_offset + container, Area.KEYS),
    )
    everything = (*ends, *header) if container else ends
    return next((area for end, area in everything if offset < end), Area.DATA)
