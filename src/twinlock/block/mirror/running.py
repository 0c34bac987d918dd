"""What a running array consists of, for those who change it: one handle instead of six.

A change of members holds off the background work and all writes.  So no write is on its
way that knows only the members before the change, and none can come between a copy that
is not needed yet and the member that will need it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock

from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.resync import Resync
from twinlock.block.observer import Observer

_EVERYTHING = (0, 1 << 64)


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of an array.  ``turn`` is held by whoever works in the background or changes members."""

    record: Record
    intent: WriteIntent
    ranges: RangeLock
    resync: Resync
    clock: Callable[[], float]
    observer: Observer
    turn: RLock = field(default_factory=RLock)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nobody writes within, and no copy is made."""
        with self.turn, self.ranges.hold(*_EVERYTHING):
            yield

    @contextmanager
    def change(self) -> Iterator[None]:
        """As :meth:`still`; members may be changed within, which is on disk on leaving.

        Raises WriteFailed or SpaceExhausted if it cannot be written: no write succeeds before it is.
        """
        with self.still():
            with self.record.change():
                yield
            self.resync.begin_anew()
