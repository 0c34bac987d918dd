"""A device that is a dictionary: sparse, as fast as Python, gone when closed."""

from threading import Lock

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.errors import DeviceGone

_NOTHING = bytes(4096)


class MemoryDevice(BlockDevice):
    """``size`` bytes of zeros, kept in blocks of ``block_size``; what was never written takes no room."""

    def __init__(self, size: int, block_size: int = 512, *, path: str = "memory") -> None:
        self.size = size
        self.block_size = block_size
        self.path = path
        self._blocks: dict[int, bytes] | None = {}
        self._lock = Lock()

    @property
    def punches_holes(self) -> bool:
        """What is not there reads as zeros."""
        return True

    def read(self, offset: int, length: int) -> Buffer:
        """See :meth:`BlockDevice.read`."""
        self.check_range(offset, length)
        hole = _NOTHING[: self.block_size]
        with self._lock:
            blocks = self._open()
            return b"".join([blocks.get(number, hole) for number in self._numbers(offset, length)])

    def read_nowait(self, offset: int, length: int) -> Buffer:
        """Memory never waits."""
        return self.read(offset, length)

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """What was never written, or discarded, takes no room."""
        self.check_range(offset, length)
        with self._lock:
            blocks = self._open()
            numbers = self._numbers(offset, length)
            if not numbers:
                return 0, True
            mapped = numbers[0] in blocks
            end = next((each for each in numbers if (each in blocks) is not mapped), numbers.stop)
        return (end - numbers.start) * self.block_size, mapped

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        stored = bytes(data)
        self.check_range(offset, len(stored))
        with self._lock:
            blocks = self._open()
            for index, number in enumerate(self._numbers(offset, len(stored))):
                blocks[number] = stored[index * self.block_size : (index + 1) * self.block_size]

    def flush(self) -> None:
        """Memory is as durable as it gets."""
        self._open()

    def discard(self, offset: int, length: int) -> None:
        """Drop the blocks: they read as zeros again."""
        self.check_range(offset, length)
        with self._lock:
            blocks = self._open()
            for number in self._numbers(offset, length):
                blocks.pop(number, None)

    def close(self) -> None:
        """Drop everything."""
        self._blocks = None

    def _open(self) -> dict[int, bytes]:
        if self._blocks is None:
            raise DeviceGone(f"{self.path} is closed")
        return self._blocks

    def _numbers(self, offset: int, length: int) -> range:
        return range(offset // self.block_size, (offset + length) // self.block_size)
