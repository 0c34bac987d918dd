"""One member: a device, what its superblock and bitmap say, and what has become of it.

Data is reached through ``data``, a device that begins where the array's data do.
What checks or transforms a member's data goes between the two: it is ``data``.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.bitmap import Bitmap, BitmapHeader, header_fault
from twinlock.block.mirror.layout import BITMAP_HEADER, BLOCK, SUPERBLOCK_OFFSET, bitmap_bytes
from twinlock.block.mirror.superblock import Superblock, read_superblock
from twinlock.block.section import Section
from twinlock.errors import ArrayUnsupported, DeviceError, MemberUnusable
from twinlock.units import SECTOR


class MemberState(StrEnum):
    """What a member is to the array."""

    IN_SYNC = "in sync"
    REBUILDING = "rebuilding"
    SPARE = "spare"
    FAULTY = "faulty"
    MISSING = "missing"


@dataclass(slots=True, eq=False)
class Member:
    """A device with a valid superblock.  ``bitmap`` is None where the member's own cannot be used."""

    device: BlockDevice
    path: str
    superblock: Superblock
    bitmap: Bitmap | None
    data: BlockDevice
    state: MemberState = MemberState.SPARE
    role: int | None = None
    by_bitmap: bool = False
    """While rebuilding: only marked chunks have to be copied."""
    recovered: int = 0
    """While rebuilding: bytes of the array, from its start, known to be on the medium; 0 from a write on."""
    corrected_reads: int = 0
    error: DeviceError | None = field(default=None)

    @property
    def dev_number(self) -> int:
        """The member's number among all devices the array ever had."""
        return self.superblock.header.dev_number

    def store_superblock(self, superblock: Superblock) -> None:
        """Write the superblock, durably."""
        self.device.write_durable(SUPERBLOCK_OFFSET, superblock.build())
        self.superblock = superblock

    def store_page(self, bitmap: Bitmap, number: int, *, durable: bool = True) -> None:
        """Write one page of the bitmap to this member."""
        offset = SUPERBLOCK_OFFSET + self.superblock.header.bitmap_offset * SECTOR + number * BLOCK
        (self.device.write_durable if durable else self.device.write)(offset, bitmap.page(number))


def read_member(device: BlockDevice) -> Member:
    """What ``device`` (with a ``path`` in messages, if it has one) is a member of.

    Raises NotAMember, ArrayUnsupported, or MemberUnusable if the device cannot be read.  Writes nothing.
    """
    path = str(getattr(device, "path", "a member"))
    try:
        superblock = read_superblock(device, path)
        bitmap = _read_bitmap(device, superblock, path)
    except DeviceError as error:
        raise MemberUnusable(path=path, reason=f"it cannot be read ({error})") from error
    header = superblock.header
    if (header.data_offset | header.size) * SECTOR % device.block_size:
        raise ArrayUnsupported(
            path=path, feature=f"data that do not fit its blocks of {device.block_size} bytes"
        )
    data = open_data(device, superblock, header.size * SECTOR)
    return Member(device, path, superblock, bitmap, data, corrected_reads=header.cnt_corrected_read)


def open_data(device: BlockDevice, superblock: Superblock, size: int) -> BlockDevice:
    """The ``size`` bytes of the array's data on a member."""
    return Section(device, superblock.header.data_offset * SECTOR, size)


def _read_bitmap(device: BlockDevice, superblock: Superblock, path: str) -> Bitmap | None:
    header = superblock.header
    if header.bitmap_offset % (BLOCK // SECTOR) or header.bitmap_offset >> 31:
        raise ArrayUnsupported(path=path, feature="a bitmap that does not begin on a 4 KiB boundary")
    offset = SUPERBLOCK_OFFSET + header.bitmap_offset * SECTOR
    end = header.data_offset * SECTOR
    if offset + BLOCK > end:
        raise ArrayUnsupported(path=path, feature="a bitmap behind the data")
    first = device.read(offset, BLOCK)
    found = BitmapHeader.parse(memoryview(first)[:BITMAP_HEADER])
    if header_fault(found, header.set_uuid) is not None or found.sync_size != header.size:
        return None
    size = bitmap_bytes(found.sync_size * SECTOR, found.chunksize)
    return Bitmap.parse(device.read(offset, size)) if offset + size <= end else None
