"""The faulty device itself."""

from collections.abc import Callable
from threading import RLock

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.block.faulty.cache import SECTOR, Survives, VolatileCache
from twinlock.block.faulty.plan import DELAY, LIE, TORN, WORKS, Hook, Rates, error_for
from twinlock.errors import DeviceError, DeviceGone, MediumError, WriteFailed


def _nothing() -> None:
    """A delay of no time."""


class FaultyDevice(BlockDevice):
    """``lower``, with faults.

    ``plan`` says what becomes of the next operations, one letter each: ``r`` ``w`` ``f`` ``d`` (a
    read, write, flush, discard) or ``.`` (any) works, ``E`` fails as its kind does, ``S`` finds no
    room, ``G`` finds the device gone, now and for ever, ``D`` calls ``wait`` and works, ``T`` is a write of
    which every other sector arrives before it fails, ``L`` a flush (or durable write) that returns well
    and keeps nothing.  After the plan ``rates`` decide, if there are any; else all works.  A letter for
    another kind of operation than the one that comes raises AssertionError: the test's map is wrong.
    """

    def __init__(
        self,
        lower: BlockDevice,
        plan: str = "",
        *,
        hook: Hook | None = None,
        rates: Rates | None = None,
        wait: Callable[[], None] = _nothing,
    ) -> None:
        self.lower = lower
        self.size = lower.size
        self.block_size = lower.block_size
        self.path = str(getattr(lower, "path", "faulty"))
        self.plan = plan
        self.hook = hook
        self.rates = rates
        self.wait = wait
        self.lying = False
        """True: every flush is a lie."""
        self.operations: list[tuple[str, int, int]] = []
        self._gone = False
        self._unreadable: set[int] = set()
        self._unwritable: set[int] = set()
        self._cache = VolatileCache(lower.block_size)
        self._under_way: dict[int, tuple[int, bytes]] = {}
        self._lock = RLock()

    # -- faults ---------------------------------------------------------------------------------

    def break_reads(self, offset: int, length: int) -> None:
        """Make the range unreadable until it is written again, as a bad sector is."""
        self._unreadable.update(self._cache.numbers(offset, length))

    def break_writes(self, offset: int, length: int) -> None:
        """Make the range unwritable for good."""
        self._unwritable.update(self._cache.numbers(offset, length))

    def vanish(self) -> None:
        """Every operation from now on finds the device gone."""
        self._gone = True

    @property
    def gone(self) -> bool:
        """True once it vanished."""
        return self._gone

    @property
    def unflushed(self) -> int:
        """How many writes of one block are not on the medium yet."""
        return len(self._cache)

    def power_cut(self, survives: Survives, *, torn: bool = False) -> BlockDevice:
        """Cut the power: of the unflushed block writes, in order, those survive for which the call is true.

        ``torn``: it is asked for each sector of 512 bytes, and for those of writes that a hook cut off too.
        Returns the lower device as it is after power is back; this one is gone.
        """
        with self._lock:
            self.vanish()
            if torn:
                for offset, data in self._under_way.values():
                    self._cache.put(offset, data)
            self._cache.power_cut(self.lower, survives, torn=torn)
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
            self._refuse(self._unreadable, offset, length, MediumError)
            return self._cache.over(offset, bytes(self.lower.read(offset, length)))

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """As below; where the cache holds any of it, all takes up room."""
        self.check_range(offset, length)
        with self._lock:
            cached = self._cache.allocation(offset, length)
        return self.lower.allocation(offset, length) if cached is None else (length, cached)

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        self._write(offset, bytes(data), durable=False)

    def write_durable(self, offset: int, data: Buffer) -> None:
        """Straight to the medium, and past what the cache holds of the same blocks."""
        self._write(offset, bytes(data), durable=True)

    def _write(self, offset: int, data: bytes, *, durable: bool) -> None:
        letter = self._begin("w", offset, len(data), data)
        with self._lock:
            self._refuse(self._unwritable, offset, len(data), WriteFailed)
            if letter == TORN:
                data = self._torn(offset, data)
            self._unreadable.difference_update(self._cache.numbers(offset, len(data)))
            if durable and not self._lies(letter):
                self._cache.forget(offset, len(data))
                self.lower.write(offset, data)
            else:
                self._cache.put(offset, data)
        if letter == TORN:
            raise WriteFailed(f"{self.path} wrote half of it, as planned", offset=offset)

    def _torn(self, offset: int, data: bytes) -> bytes:
        """Every other sector is new."""
        mixed = bytearray(self._cache.over(offset, bytes(self.lower.read(offset, len(data)))))
        for start in range(0, len(data), 2 * SECTOR):
            mixed[start : start + SECTOR] = data[start : start + SECTOR]
        return bytes(mixed)

    def flush(self) -> None:
        """See :meth:`BlockDevice.flush`."""
        letter = self._begin("f", 0, 0)
        with self._lock:
            if not self._lies(letter):
                self._cache.flush(self.lower)
                self.lower.flush()

    def discard(self, offset: int, length: int) -> None:
        """Volatile as a write is; nothing where the lower device knows no discard."""
        self._begin("d", offset, length)
        with self._lock:
            if self.punches_holes:
                self._unreadable.difference_update(self._cache.numbers(offset, length))
                self._cache.drop(offset, length)
            else:
                self.lower.discard(offset, length)

    def close(self) -> None:
        """Drop what is unflushed and close the lower device."""
        self._gone = True
        self.lower.close()

    def measure(self) -> int:
        """See :meth:`BlockDevice.measure`."""
        self.size = self.lower.measure()
        return self.size

    # -- how ------------------------------------------------------------------------------------

    def _begin(self, kind: str, offset: int, length: int, data: bytes | None = None) -> str:
        """What becomes of the operation, if it is done at all."""
        self.check_range(offset, length)
        if self.hook is not None:
            self._call(self.hook, kind, offset, length, data)
        with self._lock:
            self.operations.append((kind, offset, length))
            if self._gone:
                raise DeviceGone(f"{self.path} is gone")
            letter = self._letter(kind)
        error = error_for(letter, kind)
        if error is not None:
            self._gone = letter == "G"
            raise error(f"{self.path} fails as planned", offset=offset)
        if letter == DELAY:
            self.wait()
        return letter

    def _letter(self, kind: str) -> str:
        letter, self.plan = self.plan[:1], self.plan[1:]
        return letter or (WORKS if self.rates is None else self.rates.letter(kind))

    def _call(self, hook: Hook, kind: str, offset: int, length: int, data: bytes | None) -> None:
        """A write is under way from before the hook: if that ends it, some of it may have arrived."""
        if data is None:
            hook(kind, offset, length)
            return
        key = id(data)
        self._under_way[key] = offset, data
        hook(kind, offset, length)
        del self._under_way[key]

    def _lies(self, letter: str) -> bool:
        return self.lying or letter == LIE

    def _refuse(self, bad: set[int], offset: int, length: int, error: type[DeviceError]) -> None:
        if not bad:
            return
        hit = min(bad.intersection(self._cache.numbers(offset, length)), default=None)
        if hit is not None:
            raise error(f"{self.path} has a bad block", offset=hit * self.block_size)
