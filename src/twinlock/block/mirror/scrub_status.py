"""What a scrub found: plain, frozen facts.

The array knows them as long as it runs; whoever runs it keeps those of the last scrub that came to an end
(:mod:`twinlock.server.last_scrub`).  A scrub that a restart cuts off begins anew when it is asked for.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from twinlock.block.mirror.progress import Progress
from twinlock.units import format_size

RANGES = 64
"""How many ranges of lost blocks are listed; all are counted."""


def _blocks(what: str) -> Callable[[int], str]:
    return lambda count: f"{count} {'block' if count == 1 else 'blocks'} {what}"


def _differing(count: int) -> str:
    return "1 block that differs" if count == 1 else f"{count} blocks that differ"


_WORDS: dict[str, Callable[[int], str]] = {
    "unreadable": _blocks("unreadable"),
    "wrong": _blocks("wrong"),
    "mismatches": _differing,
    "repaired": lambda count: f"{count} repaired",
    "lost": lambda count: f"{count} lost",
    "records": _blocks("of records rewritten"),
}
"""How each count is told, in this order."""


class ScrubState(StrEnum):
    """Where a scrub is in its life."""

    NONE = "none since the start"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a scrub came across so far, defined here once for all who tell of it.

    ``checked`` bytes of the array were read on every member in sync; ``skipped`` bytes were left to the
    resync, which is due there.  All other counts are blocks of 4 KiB, ``unreadable``, ``wrong`` and
    ``repaired`` those of members, ``mismatches`` and ``lost`` those of the array.
    """

    checked: int = 0
    skipped: int = 0
    unreadable: int = 0
    """Blocks that a member could not read."""
    wrong: int = 0
    """Blocks of a member that a checksum, its own or another member's, proves wrong."""
    mismatches: int = 0
    """Blocks that differ between members, where no checksum tells who is right."""
    repaired: int = 0
    """Blocks that were rewritten, and read again."""
    lost: int = 0
    """Blocks that no member can give."""
    records: int = 0
    """Blocks of superblocks, bitmaps and tables of checksums that were wrong on a medium: written anew."""
    lost_ranges: tuple[tuple[int, int], ...] = ()
    """Where those are: offset and length in bytes of the array; the first of them, if they are many."""


@dataclass(frozen=True, slots=True)
class ScrubStatus(Counts):
    """The scrub that runs, or the last one, and what it found.

    ``started`` and ``ended`` are seconds since 1970.  ``done`` of ``total`` bytes of the array are behind it.
    """

    state: ScrubState = ScrubState.NONE
    repair: bool = False
    started: float | None = None
    ended: float | None = None
    done: int = 0
    total: int = 0
    reason: str | None = None
    """Why it failed."""

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        return Progress(self.done, self.total)

    @property
    def findings(self) -> bool:
        """True if anything was not as it should be."""
        return bool(self.unreadable or self.wrong or self.mismatches or self.lost or self.records)

    @property
    def sentence(self) -> str:
        """What it found, for a person."""
        told = f"{format_size(self.checked)} checked, {self.found}"
        return told if self.reason is None else f"{told}; {self.reason}"

    @property
    def found(self) -> str:
        """The counts that are not 0, in words."""
        told = [words(getattr(self, name)) for name, words in _WORDS.items() if getattr(self, name)]
        return ", ".join(told) or "nothing found"


class Tally:
    """Counts while a scrub runs.  One caller at a time; anybody may look."""

    def __init__(self) -> None:
        self._counts = Counts()

    def add(self, **more: int) -> None:
        """So many more of what :class:`Counts` calls so."""
        counts = self._counts
        self._counts = replace(counts, **{name: getattr(counts, name) + more[name] for name in more})

    def lose(self, offset: int, length: int) -> None:
        """One more block is lost; it joins its neighbour in the list, if there is one."""
        ranges = self._counts.lost_ranges
        last = ranges[-1] if ranges else (0, 0)
        if last[1] and sum(last) == offset:
            ranges = (*ranges[:-1], (last[0], last[1] + length))
        elif len(ranges) < RANGES:
            ranges = (*ranges, (offset, length))
        self._counts = replace(self._counts, lost=self._counts.lost + 1, lost_ranges=ranges)

    def status(self, **facts: Any) -> ScrubStatus:
        """What was counted, together with the other ``facts`` of a :class:`ScrubStatus`."""
        return ScrubStatus(**asdict(self._counts), **facts)
