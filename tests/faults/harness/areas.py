"""Where a write to a member goes: told from the layout alone."""

from enum import StrEnum

from twinlock.block.mirror import layout
from twinlock.block.mirror.layout import MemberLayout


class Area(StrEnum):
    """The parts of a member that twinlock made."""

    BLANK = "blank"
    SUPERBLOCK = "superblock"
    BITMAP = "bitmap"
    SPARE = "spare"
    TABLE = "checksum table"
    TABLE_HEADER = "table header"
    DATA = "data"


def area_of(place: MemberLayout, offset: int) -> Area:
    """The area of the byte at ``offset``."""
    ends = (
        (layout.SUPERBLOCK_OFFSET, Area.BLANK),
        (layout.BITMAP_OFFSET, Area.SUPERBLOCK),
        (layout.BITMAP_OFFSET + layout.BITMAP_ROOM, Area.BITMAP),
        (place.table_offset, Area.SPARE),
        (place.data_offset - layout.TABLE_HEADER, Area.TABLE),
        (place.data_offset, Area.TABLE_HEADER),
    )
    return next((area for end, area in ends if offset < end), Area.DATA)
