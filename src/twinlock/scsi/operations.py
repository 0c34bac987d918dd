"""What a command comes down to: an operation on the device, or a result at once.

Offsets and lengths are bytes, multiples of the logical block size, and inside
the device.  ``wanted`` counts the bytes of data-out that the CDB asked for,
whatever the initiator sent: the transport derives the residual from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from typing_extensions import Buffer

from twinlock.scsi.copy_jobs import CopyJob, Segment
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.sense import Sense


class Status(IntEnum):
    """SCSI status codes (SAM-5, status codes)."""

    GOOD = 0x00
    CHECK_CONDITION = 0x02
    CONDITION_MET = 0x04
    BUSY = 0x08
    RESERVATION_CONFLICT = 0x18
    TASK_SET_FULL = 0x28
    ACA_ACTIVE = 0x30
    TASK_ABORTED = 0x40


class Extent(NamedTuple):
    """``length`` bytes from ``offset`` on, whole blocks that all take up room, or all do not."""

    offset: int
    length: int
    mapped: bool


@dataclass(frozen=True, slots=True)
class Read:
    """Return ``length`` bytes.  ``fua``: flush first, so that what is returned is on the medium."""

    offset: int
    length: int
    fua: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """Store ``data``.  ``fua``: flush before the command ends."""

    offset: int
    data: Buffer
    fua: bool = False
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Flush:
    """Return once all that was written is on the medium."""

    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Discard:
    """Give ``ranges`` of (offset, length) back; they may overlap."""

    ranges: tuple[tuple[int, int], ...]
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Verify:
    """Flush, and read ``length`` bytes from the medium.

    With ``compare``, tell where they first differ from it; it repeats if it is shorter (one block is).
    """

    offset: int
    length: int
    compare: Buffer | None = None
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Bring ``length`` bytes into the page cache, as a hint; nobody waits for them."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class WriteSame:
    """Store ``block`` (one logical block) over and over, in ``length`` bytes."""

    offset: int
    length: int
    block: Buffer
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class WriteVerify:
    """Store ``data``, flush, and read them back from the medium; ``compare``: tell where they differ."""

    offset: int
    data: Buffer
    compare: bool = False
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class CompareAndWrite:
    """Store ``data`` if the range holds ``compare``, of the same length; no other write comes between.

    Where it does not, tell where they first differ.
    """

    offset: int
    compare: Buffer
    data: Buffer
    fua: bool = False
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class OrWrite:
    """Store the bitwise OR of ``data`` and what the range holds; no other write comes between."""

    offset: int
    data: Buffer
    fua: bool = False
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class BlockStatus:
    """Tell which of ``length`` bytes take up room: at most ``most`` extents, in order and without gaps."""

    offset: int
    length: int
    most: int
    allocation_length: int


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy ``segments`` one after the other, and note in ``job`` how far it is.

    ``refusal``: a segment that followed was refused, so that even success ends in this.
    """

    segments: tuple[Segment, ...]
    job: CopyJob
    wanted: int = 0
    refusal: Sense | None = None


@dataclass(frozen=True, slots=True)
class AbortTasks:
    """Abort all tasks of other ``nexuses`` on this unit; done once none of them can have an effect."""

    nexuses: tuple[Nexus, ...]
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Later:
    """A command that waits for something else than the medium: ``run`` ends it, wherever one may wait."""

    run: "Callable[[], Result | AbortTasks]"


Operation = (
    Read
    | Write
    | Flush
    | Discard
    | Verify
    | Prefetch
    | WriteSame
    | WriteVerify
    | CompareAndWrite
    | OrWrite
    | BlockStatus
    | Copy
    | AbortTasks
    | Later
)


@dataclass(frozen=True, slots=True)
class Compared:
    """The end of a comparison: the bytes from the start to where both first ``differ``, None if nowhere."""

    differ: int | None


Answer = Buffer | Compared | tuple[Extent, ...] | None
"""What carrying out an operation yields: bytes, a comparison, for a BlockStatus extents, or nothing."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended.  ``data_out_used`` is the ``wanted`` of its operation."""

    status: Status
    data_in: Buffer = b""
    sense: bytes = b""
    data_out_used: int = 0

    @property
    def transfer_wanted(self) -> int:
        """Bytes that the command would have moved without a limit by the initiator: data-in or data-out."""
        return self.data_out_used or memoryview(self.data_in).nbytes


GOOD = Result(Status.GOOD)
"""The result of a command that moves no data."""
RESERVATION_CONFLICT = Result(Status.RESERVATION_CONFLICT)
"""The result of a command that somebody's reservation forbids."""
