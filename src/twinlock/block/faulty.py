"""A device that goes wrong on demand: errors by a map, delays by a hook, and power cuts.

Writes that no flush followed are kept apart from the lower device, as a drive's
volatile cache does; :meth:`FaultyDevice.power_cut` throws away any of them.
"""

from collections.abc import Callable
from threading import RLock
from typing import TypeAlias

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed

Hook: TypeAlias = Callable[[str, int, int], None]
"""Called before each operation with its letter, offset and length; may wait, or raise."""

_BY_KIND: dict[str, type[DeviceError]] = {
    "r": MediumError,
    "w": WriteFailed,
    "f": WriteFailed,
    "d": WriteFailed,
}
_BY_LETTER: dict[str, type[DeviceError]] = {"S": SpaceExhausted, "G": DeviceGone}


class FaultyDevice(BlockDevice):
    """``lower``, with faults.

    ``plan`` says what becomes of the next operations, one letter each: ``r`` ``w`` ``f`` ``d`` (a
    read, write, flush, discard) or ``.`` (any) works, ``E`` fails as its kind does, ``S`` finds no
    room, ``G`` finds the device gone, now and for ever.  After the plan all works.  A letter for
    another kind of operation than the one that comes raises AssertionError: the test's map is wrong.
    """

    def __init__(self, lower: BlockDevice, plan: str = "", *, hook: Hook | None = None) -> None:
        self.lower = lower
        self.size = lower.size
        self.block_size = lower.block_size
        self.path = str(getattr(lower, "path", "faulty"))
        self.plan = plan
        self.hook = hook
        self.operations: list[tuple[str, int, int]] = []
        self._gone = False
        self._unreadable: set[int] = set()
        self._unwritable: set[int] = set()
        self._unflushed: list[tuple[int, bytes]] = []
        self._cache: dict[int, bytes] = {}
        self._lock = RLock()

    # -- faults ---------------------------------------------------------------------------------

    def break_reads(self, offset: int, length: int) -> None:
        """Make the range unreadable until it is written again, as a bad sector is."""
        self._unreadable.update(self._numbers(offset, length))

    def break_writes(self, offset: int, length: int) -> None:
        """Make the range unwritable for good."""
        self._unwritable.update(self._numbers(offset, length))

    def vanish(self) -> None:
        """Every operation from now on finds the device gone."""
        self._gone = True

    @property
    def unflushed(self) -> int:
        """How many writes of one block are not on the medium yet."""
        return len(self._unflushed)

    def power_cut(self, survives: Callable[[int], bool]) -> BlockDevice:
        """Cut the power: of the unflushed block writes, in order, those survive for which the call is true.

        Returns the lower device as it is after power is back; this one is gone.
        """
        with self._lock:
            self.vanish()
            for index, (number, block) in enumerate(self._unflushed):
                if survives(index):
                    self.lower.write(number * self.block_size, block)
            return self.lower

    # -- the device -----------------------------------------------------------------------------

    @property
    def punches_holes(self) -> bool:
        """As below."""
        return self.lower.punches_holes

    def read(self, offset: int, length: int) -> Buffer:
        """See :meth:`BlockDevice.read`."""
        self._begin("r", offset, length)
        with self._lock:
            numbers = self._numbers(offset, length)
            self._refuse(self._unreadable, numbers, MediumError)
            data = self.lower.read(offset, length)
            if self._cache.keys().isdisjoint(numbers):
                return data
            merged = bytearray(data)
            for number in self._cache.keys() & set(numbers):
                start = number * self.block_size - offset
                merged[start : start + self.block_size] = self._cache[number]
            return merged

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """As below; where the cache holds any of it, all takes up room."""
        self.check_range(offset, length)
        with self._lock:
            cached = not self._cache.keys().isdisjoint(self._numbers(offset, length))
        return (length, True) if cached else self.lower.allocation(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        stored = bytes(data)
        self._begin("w", offset, len(stored))
        with self._lock:
            numbers = self._numbers(offset, len(stored))
            self._refuse(self._unwritable, numbers, WriteFailed)
            self._unreadable.difference_update(numbers)
            for index, number in enumerate(numbers):
                block = stored[index * self.block_size : (index + 1) * self.block_size]
                self._cache[number] = block
                self._unflushed.append((number, block))

    def write_durable(self, offset: int, data: Buffer) -> None:
        """Straight to the medium, and past what the cache holds of the same blocks."""
        stored = bytes(data)
        self._begin("w", offset, len(stored))
        with self._lock:
            numbers = self._numbers(offset, len(stored))
            self._refuse(self._unwritable, numbers, WriteFailed)
            self._forget(numbers)
            self.lower.write(offset, stored)

    def flush(self) -> None:
        """See :meth:`BlockDevice.flush`."""
        self._begin("f", 0, 0)
        with self._lock:
            for number, block in self._cache.items():
                self.lower.write(number * self.block_size, block)
            self._cache.clear()
            self._unflushed.clear()
            self.lower.flush()

    def discard(self, offset: int, length: int) -> None:
        """At once; the cache forgets what the lower device does."""
        self._begin("d", offset, length)
        with self._lock:
            if self.punches_holes:
                self._forget(self._numbers(offset, length))
            self.lower.discard(offset, length)

    def close(self) -> None:
        """Drop what is unflushed and close the lower device."""
        self._gone = True
        self.lower.close()

    def _begin(self, kind: str, offset: int, length: int) -> None:
        self.check_range(offset, length)
        if self.hook is not None:
            self.hook(kind, offset, length)
        with self._lock:
            self.operations.append((kind, offset, length))
            if self._gone:
                raise DeviceGone(f"{self.path} is gone")
            letter, self.plan = self.plan[:1] or ".", self.plan[1:]
        if letter in "ESG":
            self._gone = letter == "G"
            raise _BY_LETTER.get(letter, _BY_KIND[kind])(f"{self.path} fails as planned", offset=offset)
        if letter not in (kind, "."):
            raise AssertionError(f"the plan expects {letter!r}, but {kind!r} came")

    def _refuse(self, bad: set[int], numbers: range, error: type[DeviceError]) -> None:
        hit = min(bad.intersection(numbers), default=None)
        if hit is not None:
            raise error(f"{self.path} has a bad block", offset=hit * self.block_size)

    def _forget(self, numbers: range) -> None:
        self._unreadable.difference_update(numbers)
        for number in numbers:
            self._cache.pop(number, None)
        self._unflushed = [entry for entry in self._unflushed if entry[0] not in numbers]

    def _numbers(self, offset: int, length: int) -> range:
        return range(offset // self.block_size, -(-(offset + length) // self.block_size))
