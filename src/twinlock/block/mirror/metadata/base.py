"""What the versions of metadata have in common: a place, and 4 KiB that say what the member is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from twinlock.block.mirror.layout import SUPERBLOCK_SIZE
from twinlock.block.mirror.superblock import Superblock
from twinlock.units import SECTOR


@dataclass(frozen=True, slots=True)
class Metadata(ABC):
    """One member's kind of superblock: its ``version`` as mdadm calls it, and its ``offset`` in bytes."""

    version: str
    offset: int

    @abstractmethod
    def build(self, superblock: Superblock) -> bytes:
        """The 4 KiB that say on disk what ``superblock`` says."""

    @abstractmethod
    def bitmap_area(self, superblock: Superblock, device_size: int) -> range:
        """The bytes of the device that a bitmap may take where this superblock has it."""

    def unserved(self) -> str | None:
        """What is used that the neutral form does not know and twinlock does not serve, or None."""
        return None

    def extent(self, superblock: Superblock) -> int:
        """How many of the 4 KiB are the superblock's own: a bitmap may begin 1 KiB behind its beginning."""
        header = superblock.header
        begins = [superblock.bitmap_start] if superblock.has_bitmap else []
        begins += [superblock.bad_blocks_start] if header.bblog_size else []
        return min((start for start in begins if 0 < start < SUPERBLOCK_SIZE), default=SUPERBLOCK_SIZE)

    def bitmap_page(self, page: bytes) -> bytes:
        """A bitmap's first page turned into what goes to disk, or back: the two are the same."""
        return page

    def bitmap_offset(self, superblock: Superblock) -> int:
        """Where the bitmap begins, in bytes of the device."""
        return self.offset + superblock.bitmap_start

    def bad_blocks_offset(self, superblock: Superblock) -> int:
        """Where the bad-block log begins, in bytes of the device."""
        return self.offset + superblock.bad_blocks_start

    def data(self, superblock: Superblock) -> range:
        """The bytes of the device that hold the array's data."""
        start = superblock.header.data_offset * SECTOR
        return range(start, start + superblock.header.size * SECTOR)
