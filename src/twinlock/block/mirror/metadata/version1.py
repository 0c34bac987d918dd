"""Metadata 1.0, 1.1 and 1.2: one structure in three places."""

from collections.abc import Iterator
from dataclasses import dataclass

from typing_extensions import Buffer

from twinlock.block.mirror.layout import SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE
from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.superblock import MAX_DEVICES, Superblock, SuperblockHeader, checksum
from twinlock.units import SECTOR

MAJOR = 1


@dataclass(frozen=True, slots=True)
class Version1(Metadata):
    """The structure is the neutral form's own."""

    def build(self, superblock: Superblock) -> bytes:
        """See :meth:`Metadata.build`."""
        return superblock.build()

    def bitmap_area(self, superblock: Superblock, device_size: int) -> range:
        """From the bitmap's beginning to whatever comes next."""
        start = self.bitmap_offset(superblock)
        ends = (place for place in self._places(superblock, device_size) if place > start)
        return range(start, min(ends, default=start))

    def _places(self, superblock: Superblock, device_size: int) -> Iterator[int]:
        yield from (self.offset, self.data(superblock).start, device_size)
        if superblock.header.bblog_size:
            yield self.bad_blocks_offset(superblock)


def at_end(device_size: int) -> int:
    """The place of 1.0: a whole 4 KiB, at least 8 KiB and less than 12 KiB from the device's end."""
    return (device_size // SECTOR - 16) // 8 * 8 * SECTOR


VERSION_1_2 = Version1("1.2", SUPERBLOCK_OFFSET)
VERSION_1_1 = Version1("1.1", 0)


def version_1_0(device_size: int) -> Version1:
    """The place depends on the size of the device."""
    return Version1("1.0", at_end(device_size))


def read(page: Buffer, offset: int) -> tuple[Superblock, str | None]:
    """What 4 KiB from byte ``offset`` say, and why they cannot be believed, if so."""
    found = Superblock.parse(page)
    return found, _fault(found.header, page, offset)


def _fault(header: SuperblockHeader, page: Buffer, offset: int) -> str | None:
    if header.super_offset * SECTOR != offset:
        return "its superblock is not in its place"
    if header.max_dev > MAX_DEVICES:
        return "its superblock is damaged (too many devices)"
    end = SuperblockHeader.SIZE + 2 * header.max_dev
    summed = header.replace(sb_csum=0).build() + bytes(memoryview(page)[SuperblockHeader.SIZE : end])
    if checksum(summed) != header.sb_csum:
        return "its superblock is damaged (wrong checksum)"
    return None


def least_extent(superblock: Superblock) -> int:
    """Bytes of a superblock with its roles, in whole sectors: what mdadm and the kernel write of it."""
    needed = SuperblockHeader.SIZE + 2 * len(superblock.roles)
    return min(-(-needed // SECTOR) * SECTOR, SUPERBLOCK_SIZE)
