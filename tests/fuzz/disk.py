"""The disk under the target: memory, with a region that the neighbour calls its own."""

from typing_extensions import Buffer

from twinlock.block.memory import MemoryDevice

REGION_BLOCKS = 8


class SharedDisk(MemoryDevice):
    """Notices whether anybody but the neighbour asked to change its region.

    That is no fault: the disk is shared.  But then there is nothing to be read back.
    """

    def __init__(self, size: int, block_size: int) -> None:
        super().__init__(size, block_size)
        self.region = size // 2 + 64 * block_size
        self.expected = b""
        """What the neighbour is about to write, or has written."""
        self.touched = False

    @property
    def region_end(self) -> int:
        return self.region + REGION_BLOCKS * self.block_size

    def expect(self, data: bytes) -> None:
        self.expected = data
        self.touched = False

    def write(self, offset: int, data: Buffer) -> None:
        whole = bytes(data)
        if self._overlaps(offset, len(whole)) and (offset, whole) != (self.region, self.expected):
            self.touched = True
        super().write(offset, whole)

    def discard(self, offset: int, length: int) -> None:
        self.touched = self.touched or self._overlaps(offset, length)
        super().discard(offset, length)

    def _overlaps(self, offset: int, length: int) -> bool:
        return offset < self.region_end and self.region < offset + length
