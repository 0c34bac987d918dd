"""The one interface between the layers of the data path."""

from abc import ABC, abstractmethod

from typing_extensions import Buffer


class BlockDevice(ABC):
    """A random-access device of ``size`` bytes.

    Every call is blocking and safe from several threads at once.  ``offset`` and
    ``length`` are bytes and multiples of ``block_size``; a caller that breaks
    this, or leaves the device, gets ValueError (it is a bug, not bad luck).

    Failures are :class:`twinlock.errors.DeviceError`: ``MediumError`` from reads,
    ``WriteFailed`` or ``SpaceExhausted`` from writes and discards, ``WriteFailed``
    from flushes, ``DeviceGone`` from any.
    """

    size: int
    """Usable bytes."""
    block_size: int
    """Bytes of the smallest unit of access."""

    @property
    def punches_holes(self) -> bool:
        """True if a discarded range reads as zeros; where not, two devices that discard it may differ."""
        return False

    @abstractmethod
    def read(self, offset: int, length: int) -> Buffer:
        """``length`` bytes from ``offset``."""

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """As :meth:`read`, but None instead of waiting for a medium."""
        self.check_range(offset, length)
        return None

    def read_medium(self, offset: int, length: int) -> Buffer:
        """As :meth:`read`, past every cache: what was flushed before comes from the medium.

        Where there are several copies, each of them is read, and one is returned.
        """
        return self.read(offset, length)

    def prefetch(self, offset: int, length: int) -> None:
        """Advice: the range will be read soon.  Waits for nothing, and never fails."""
        self.check_range(offset, length)

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """How many bytes from ``offset`` on, at most ``length``, are alike; and whether they take up room.

        Where that cannot be told, all takes up room.  The answer may end inside a block.
        """
        self.check_range(offset, length)
        return length, True

    @abstractmethod
    def write(self, offset: int, data: Buffer) -> None:
        """Store ``data`` at ``offset``; durable only after a later :meth:`flush`."""

    def write_durable(self, offset: int, data: Buffer) -> None:
        """As :meth:`write`, and on the medium before it returns (FUA)."""
        self.write(offset, data)
        self.flush()

    def allocate(self, offset: int, length: int) -> None:
        """Take room for the range now, so that no later write to it ends in ``SpaceExhausted``."""
        self.check_range(offset, length)

    @abstractmethod
    def flush(self) -> None:
        """Return once every write that returned before this call is on the medium."""

    @abstractmethod
    def discard(self, offset: int, length: int) -> None:
        """Give the range back; it may read as anything (of one value per block) until written again."""

    @abstractmethod
    def close(self) -> None:
        """Release the device (and what lies below it).  Idempotent."""

    def release(self) -> None:  # noqa: B027 (nothing to do is what most have to do)
        """Let others have the device, while some may still be about to use it here: they get DeviceGone.

        Where nothing keeps others out there is nothing to do.  Idempotent.
        """

    def measure(self) -> int:
        """Look how large the device is now, and let ``size`` be that if it has grown; returns ``size``."""
        return self.size

    def check_range(self, offset: int, length: int) -> None:
        """Raise ValueError unless the range is aligned and inside the device."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"bytes {offset}+{length} are outside a device of {self.size}")
        if offset % self.block_size or length % self.block_size:
            raise ValueError(f"bytes {offset}+{length} are not aligned to {self.block_size}")
