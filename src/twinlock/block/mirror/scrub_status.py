"""What a scrub found: plain, frozen facts.

Nothing of it is kept on disk.  A scrub that a restart cuts off begins anew when it is asked for, and
the result of the last one is known as long as the array runs.
"""

from dataclasses import dataclass
from enum import StrEnum

from twinlock.block.mirror.progress import Progress
from twinlock.units import format_size


class ScrubState(StrEnum):
    """Where a scrub is in its life."""

    NONE = "none since the start"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ScrubStatus:
    """The scrub that runs, or the last one.

    ``started`` and ``ended`` are seconds since 1970.  ``done`` of ``total`` bytes of the array are behind it;
    ``checked`` bytes of the array were read on every
    member in sync; ``skipped`` bytes were left to the resync, which is due there.  All other counts are
    blocks of 4 KiB, ``unreadable``, ``wrong`` and ``repaired`` those of members, ``mismatches`` and ``lost``
    those of the array.
    """

    state: ScrubState = ScrubState.NONE
    repair: bool = False
    started: float | None = None
    ended: float | None = None
    done: int = 0
    total: int = 0
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
        found = [f"{count} {what}" for count, what in self._counts() if count]
        told = f"{format_size(self.checked)} checked, {', '.join(found) or 'nothing found'}"
        return told if self.reason is None else f"{told}; {self.reason}"

    def _counts(self) -> list[tuple[int, str]]:
        return [
            (self.unreadable, "blocks unreadable"),
            (self.wrong, "blocks wrong"),
            (self.mismatches, "blocks that differ"),
            (self.repaired, "repaired"),
            (self.lost, "lost"),
            (self.records, "blocks of records rewritten"),
        ]
