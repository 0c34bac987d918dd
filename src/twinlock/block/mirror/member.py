"""One member: a device, what its superblock and bitmap say, and what has become of it.

Data is reached through ``data``, a device that begins where the array's data do.
What checks or transforms a member's data goes between the two: it is ``data``.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from typing_extensions import Buffer

from twinlock.block.checked.device import CheckedDevice
from twinlock.block.device import BlockDevice
from twinlock.block.mirror.badblocks import BadBlockLog
from twinlock.block.mirror.bitmap import Bitmap, read_bitmap
from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.metadata.find import read_superblock
from twinlock.block.mirror.metadata.served import NO_BITMAP
from twinlock.block.mirror.metadata.version1 import VERSION_1_2
from twinlock.block.mirror.superblock import Feature, Superblock
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
    """The array's data on this member; ``checked`` is the same if they have checksums."""
    checked: CheckedDevice | None = None
    metadata: Metadata = VERSION_1_2
    """Which version the member has, and where its superblock lies."""
    bad_blocks: BadBlockLog | None = None
    """Its bad-block log, if that had entries when the member was read."""
    state: MemberState = MemberState.SPARE
    role: int | None = None
    by_bitmap: bool = False
    """While rebuilding: only marked chunks have to be copied."""
    recovered: int = 0
    """While rebuilding: bytes of the array, from its start, known to be on the medium; 0 from a write on."""
    corrected_reads: int = 0
    wrong_checksums: int = 0
    """Blocks whose checksum did not match, since the array was started."""
    error: DeviceError | None = field(default=None)

    @property
    def dev_number(self) -> int:
        """The member's number among all devices the array ever had."""
        return self.superblock.header.dev_number

    @property
    def bitmap_start(self) -> int:
        """Where the bitmap begins, in bytes of the device."""
        return self.metadata.bitmap_offset(self.superblock)

    @property
    def bitmap_room(self) -> int:
        """How many bytes from there a bitmap may take."""
        return len(self.metadata.bitmap_area(self.superblock, self.device.size))

    @property
    def image(self) -> bytes:
        """The superblock as it was last written, or would be now: 4 KiB."""
        return self.metadata.build(self.superblock)

    def close(self) -> None:
        """Close the device, and the file of its checksums if they have one.  Idempotent."""
        if self.checked is not None and self.checked.place.own:
            self.checked.place.device.close()
        self.device.close()

    def release(self) -> None:
        """Let go of both under the feet of whoever still uses them; see :meth:`BlockDevice.release`."""
        if self.checked is not None and self.checked.place.own:
            self.checked.place.device.release()
        self.device.release()

    def forget(self) -> None:
        """The array has it no more: nothing is kept that refers back to it, so that its device is closed.

        That is once the last call to it has ended (:meth:`FileDevice.release`).  What an error refers to,
        the calls that met it, is left to the collector of garbage.
        """
        self.error = None
        if self.checked is not None:
            self.checked.when_lost = CheckedDevice.give_up

    def repair(self, offset: int, data: Buffer) -> None:
        """Give it what is right for certain in the place of what was wrong.  Raises as a write does."""
        write = self.data.write if self.checked is None else self.checked.repair
        write(offset, data)

    def store_superblock(self, superblock: Superblock) -> None:
        """Write the superblock, durably."""
        superblock = self._with_own_features(superblock)
        content = self.metadata.build(superblock)
        if self.checked is not None:
            self.checked.bind(content)
        self.device.write_durable(self.metadata.offset, content[: self.metadata.extent(superblock)])
        self.superblock = superblock

    def _with_own_features(self, superblock: Superblock) -> Superblock:
        """A log with entries is announced; the last one is gone from the medium before it no longer is."""
        listed = self.bad_blocks is not None and self.bad_blocks.stored
        others = superblock.header.feature_map & ~int(Feature.BAD_BLOCKS)
        return superblock.change(feature_map=others | (int(Feature.BAD_BLOCKS) if listed else 0))

    def store_page(self, bitmap: Bitmap, number: int, *, durable: bool = True) -> None:
        """Write one page of the bitmap to this member."""
        page = bitmap.page(number)
        if number == 0:
            page = self.metadata.bitmap_page(page)
        start = self.bitmap_start
        if start % BLOCK:  # what lies behind it may begin before the next whole 4 KiB
            page = page[: bitmap.used(number, max(SECTOR, self.device.block_size))]
        (self.device.write_durable if durable else self.device.write)(start + number * BLOCK, page)

    def has_room_for(self, bitmap: Bitmap) -> bool:
        """True if a bitmap of that size ends before whatever comes next on this member."""
        return bitmap.size_on_disk(self.bitmap_start, self.device.block_size) <= self.bitmap_room


def read_member(device: BlockDevice, *, need_bitmap: bool = True) -> Member:
    """What ``device`` (with a ``path`` in messages, if it has one) is a member of.

    Without ``need_bitmap`` also what has no bitmap is read: it can be judged, and be given one.
    Raises NotAMember, ArrayUnsupported, or MemberUnusable if the device cannot be read.  Writes nothing.
    """
    path = str(getattr(device, "path", "a member"))
    try:
        found = read_superblock(device, path)
        superblock, metadata = found.superblock, found.metadata
        if need_bitmap and not superblock.has_bitmap:
            raise ArrayUnsupported(path=path, feature=NO_BITMAP)
        bitmap = read_bitmap(device, superblock, metadata) if superblock.has_bitmap else None
        log = _read_log(device, superblock, metadata)
    except DeviceError as error:
        raise MemberUnusable(path=path, reason=f"it cannot be read ({error})") from error
    header = superblock.header
    plain = Section(device, header.data_offset * SECTOR, header.size * SECTOR)
    return Member(
        device,
        path,
        superblock,
        bitmap,
        plain,
        metadata=metadata,
        bad_blocks=log,
        corrected_reads=header.cnt_corrected_read,
    )


def _read_log(device: BlockDevice, superblock: Superblock, metadata: Metadata) -> BadBlockLog | None:
    """The bad-block log, if it has entries: where the feature is not set, the kernel does not look either."""
    header = superblock.header
    if not header.feature_map & Feature.BAD_BLOCKS:
        return None
    offset = metadata.bad_blocks_offset(superblock)
    return BadBlockLog(device, offset, header.bblog_size * SECTOR, header.bblog_shift)
