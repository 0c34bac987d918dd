"""A part of a device as a device of its own."""

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.errors import DeviceError


class Section(BlockDevice):
    """``size`` bytes of ``lower`` from byte ``start`` on.

    Offsets in errors are the section's own.  Closing a section leaves the lower device open,
    for others may have sections of it.
    """

    def __init__(self, lower: BlockDevice, start: int, size: int) -> None:
        lower.check_range(start, size)
        self.lower = lower
        self.start = start
        self.size = size
        self.block_size = lower.block_size

    @property
    def punches_holes(self) -> bool:
        """As below."""
        return self.lower.punches_holes

    def read(self, offset: int, length: int) -> Buffer:
        """See :meth:`BlockDevice.read`."""
        self.check_range(offset, length)
        try:
            return self.lower.read(self.start + offset, length)
        except DeviceError as error:
            raise self._own(error) from error

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """See :meth:`BlockDevice.read_nowait`."""
        self.check_range(offset, length)
        try:
            return self.lower.read_nowait(self.start + offset, length)
        except DeviceError as error:
            raise self._own(error) from error

    def read_medium(self, offset: int, length: int) -> Buffer:
        """See :meth:`BlockDevice.read_medium`."""
        self.check_range(offset, length)
        try:
            return self.lower.read_medium(self.start + offset, length)
        except DeviceError as error:
            raise self._own(error) from error

    def prefetch(self, offset: int, length: int) -> None:
        """See :meth:`BlockDevice.prefetch`."""
        self.check_range(offset, length)
        self.lower.prefetch(self.start + offset, length)

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """See :meth:`BlockDevice.allocation`."""
        self.check_range(offset, length)
        return self.lower.allocation(self.start + offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        self.check_range(offset, memoryview(data).nbytes)
        try:
            self.lower.write(self.start + offset, data)
        except DeviceError as error:
            raise self._own(error) from error

    def write_durable(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write_durable`."""
        self.check_range(offset, memoryview(data).nbytes)
        try:
            self.lower.write_durable(self.start + offset, data)
        except DeviceError as error:
            raise self._own(error) from error

    def discard(self, offset: int, length: int) -> None:
        """See :meth:`BlockDevice.discard`."""
        self.check_range(offset, length)
        try:
            self.lower.discard(self.start + offset, length)
        except DeviceError as error:
            raise self._own(error) from error

    def flush(self) -> None:
        """Flush the whole lower device: media know no parts."""
        self.lower.flush()

    def close(self) -> None:
        """Nothing: the lower device belongs to who opened it."""

    def _own(self, error: DeviceError) -> DeviceError:
        """The error with its offset counted from the section's start."""
        if error.offset is None:
            return error
        return type(error)(str(error), offset=error.offset - self.start)
