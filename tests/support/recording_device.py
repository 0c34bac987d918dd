"""A block device in memory that keeps a record of what it was asked."""

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice


class RecordingDevice(BlockDevice):
    """``size`` bytes, zero at first; ``calls`` lists every call but the reads."""

    def __init__(self, size: int, block_size: int = 512) -> None:
        self.size = size
        self.block_size = block_size
        self.data = bytearray(size)
        self.calls: list[tuple[object, ...]] = []
        self.would_wait = False

    def read(self, offset: int, length: int) -> bytes:
        self.check_range(offset, length)
        return bytes(self.data[offset : offset + length])

    def copies(self) -> tuple["RecordingDevice", ...]:
        """As of an array with one member; see :class:`twinlock.server.container_header.Source`."""
        return (self,)

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        return None if self.would_wait else self.read(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        length = memoryview(data).nbytes
        self.check_range(offset, length)
        self.calls.append(("write", offset, length))
        self.data[offset : offset + length] = memoryview(data)

    def flush(self) -> None:
        self.calls.append(("flush",))

    def discard(self, offset: int, length: int) -> None:
        self.check_range(offset, length)
        self.calls.append(("discard", offset, length))
        self.data[offset : offset + length] = bytes(length)

    def close(self) -> None:
        self.calls.append(("close",))
