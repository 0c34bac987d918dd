"""What each sector of an array may hold, told from what was asked of it and what it answered.

A sector holds what the last flush left there, or anything that was written to it since.  What was read
after a crash stays, for as long as the same members are there; once they were made to agree it stays
whoever is there.  A read makes them agree, with checksums, but not durably: after another crash it is not
settled before it is read again, and then again only while the same members are there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

SECTOR = 512
ANYTHING = -1
"""The value of a sector of which nothing can be said: noise, within a container."""


class Illegal(AssertionError):
    """Something was lost, or something wrong was read; ``lost`` says which."""

    def __init__(self, told: str, *, lost: bool = False) -> None:
        super().__init__(told)
        self.lost = lost


@dataclass(frozen=True, slots=True)
class Flush:
    """A flush that has begun: what every sector may hold by then, and how many writes had begun."""

    last: dict[int, frozenset[int]]
    begun: int


def content(value: int) -> bytes:
    """The sector that stands for ``value``; 0 is zeros."""
    return value.to_bytes(8, "little") * (SECTOR // 8)


class Oracle:
    """Sectors are those that a user sees; one that was never written holds 0, or anything."""

    def __init__(self, never_written: int = 0) -> None:
        self._never = frozenset([never_written])
        self._flushed: dict[int, frozenset[int]] = {}
        self._last: dict[int, frozenset[int]] = {}
        self._begun: list[tuple[int, int]] = []
        self._seen: dict[int, int] = {}
        self._read: set[int] = set()
        """Sectors that were read, and not flushed since."""
        self._unsettled: set[int] = set()
        """Those of them that were not read again after a crash."""

    # -- what is asked of the array -------------------------------------------------------------

    def begins(self, sectors: Iterable[int], value: int) -> None:
        """A write that may come to nothing."""
        for sector in sectors:
            self._begun.append((sector, value))
            self._last[sector] = self._now(sector) | {value}
            self._flushed[sector] = self.legal(sector) | {value}
            self._seen.pop(sector, None)

    def written(self, sectors: Iterable[int], value: int) -> None:
        """The write is over, and well: nothing older is read until power fails."""
        for sector in sectors:
            self._last[sector] = frozenset([value])

    def flush_begins(self) -> Flush:
        """Remember what the flush is to make durable."""
        return Flush(dict(self._last), len(self._begun))

    def flushed(self, flush: Flush) -> None:
        """It returned well: nothing older comes back, whatever happens."""
        self._read.clear()
        since: dict[int, set[int]] = {}
        for sector, value in self._begun[flush.begun :]:
            since.setdefault(sector, set()).add(value)
        for sector, values in flush.last.items():
            self._flushed[sector] = values | since.get(sector, set())

    # -- crashes --------------------------------------------------------------------------------

    def crashed(self) -> None:
        """Power failed: whatever is on the medium is what may be read."""
        self._last = dict(self._flushed)
        for sector, _value in self._begun:
            self._seen.pop(sector, None)  # what was read was perhaps on no medium yet
        self._begun.clear()
        self._unsettled |= self._read
        self._read.clear()

    def members_left(self) -> None:
        """Members with checksums: what a read settled stays, but for what a crash may have undone."""
        for sector in self._unsettled:
            self._seen.pop(sector, None)
        self._unsettled.clear()

    def others_answer(self) -> None:
        """Other members are there than before: they may have something else, where nothing was flushed."""
        self._seen.clear()

    def settled(self) -> None:
        """The members agree, durably: what was read is what there is."""
        for sector, value in self._seen.items():
            self._flushed[sector] = self._last[sector] = frozenset([value])
        self._read.clear()
        self._unsettled.clear()

    # -- judging --------------------------------------------------------------------------------

    def legal(self, sector: int) -> frozenset[int]:
        """What may be there after a crash."""
        return self._flushed.get(sector, self._never)

    def _now(self, sector: int) -> frozenset[int]:
        return self._last.get(sector, self._never)

    def stable(self, sectors: Iterable[int]) -> bool:
        """True if only one value is possible for each, now and after a crash."""
        return all(len(self.legal(each) | self._now(each)) == 1 for each in sectors)

    def check(self, first: int, data: bytes) -> None:
        """``data`` was read from sector ``first`` on."""
        for index in range(len(data) // SECTOR):
            self._check(first + index, data[index * SECTOR : (index + 1) * SECTOR])

    def _check(self, sector: int, data: bytes) -> None:
        value = int.from_bytes(data[:8], "little")
        legal = self._now(sector)
        if ANYTHING in legal:
            return
        if data != content(value):
            raise Illegal(f"sector {sector} is torn: {data[:8].hex()}, legal are {sorted(legal)}")
        if value not in legal:
            older = value < max(legal)
            raise Illegal(f"sector {sector} holds {value}, legal are {sorted(legal)}", lost=older)
        if self._seen.get(sector, value) != value:
            raise Illegal(f"sector {sector} holds {value}, and {self._seen[sector]} was read before")
        self._seen[sector] = value
        self._read.add(sector)
        self._unsettled.discard(sector)
