"""What outlives a crash: bytes, and which of them take up room."""

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice

PAGE = 4096
"""Bytes that take up room together."""


class Medium(BlockDevice):
    """``size`` bytes of zeros.  ``keeps``: it knows no discard.  Closing it changes nothing."""

    def __init__(
        self, size: int, block_size: int = 512, *, path: str = "medium", keeps: bool = False
    ) -> None:
        self.size = size
        self.block_size = block_size
        self.path = path
        self.keeps = keeps
        self.content = bytearray(size)
        self._pages: set[int] = set()

    @property
    def punches_holes(self) -> bool:
        """Unless it keeps everything."""
        return not self.keeps

    def read(self, offset: int, length: int) -> Buffer:
        """See :meth:`BlockDevice.read`."""
        self.check_range(offset, length)
        return bytes(self.content[offset : offset + length])

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        length = memoryview(data).nbytes
        self.check_range(offset, length)
        self.content[offset : offset + length] = memoryview(data).cast("B")
        self._pages.update(range(offset // PAGE, (offset + length - 1) // PAGE + 1))

    def discard(self, offset: int, length: int) -> None:
        """Whole pages give their room back; all of it reads as zeros."""
        self.check_range(offset, length)
        if not self.keeps:
            self.content[offset : offset + length] = bytes(length)
            self._pages.difference_update(range(-(-offset // PAGE), (offset + length) // PAGE))

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """See :meth:`BlockDevice.allocation`."""
        self.check_range(offset, length)
        if not length:
            return 0, True
        end, page = offset + length, offset // PAGE
        mapped = self.keeps or page in self._pages
        while page * PAGE < end and (self.keeps or page in self._pages) is mapped:
            page += 1
        return min(page * PAGE, end) - offset, mapped

    def flush(self) -> None:
        """Nothing is volatile here."""

    def close(self) -> None:
        """It outlives who uses it."""

    def enlarge(self, size: int) -> None:
        """More zeros at the end."""
        self.content += bytes(size - self.size)
        self.size = size

    def rot(self, offset: int) -> None:
        """One bit is another, and nobody is told."""
        self.content[offset] ^= 1 << offset % 7
