"""What a command comes down to: an operation on the device, or a result at once.

Offsets and lengths are bytes, multiples of the logical block size, and inside
the device.  ``wanted`` counts the bytes of data-out that the CDB asked for,
whatever the initiator sent: the transport derives the residual from it.
"""

from dataclasses import dataclass
from enum import IntEnum

from typing_extensions import Buffer


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


@dataclass(frozen=True, slots=True)
class Discard:
    """Give ``ranges`` of (offset, length) back; they may overlap."""

    ranges: tuple[tuple[int, int], ...]
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Verify:
    """Read ``length`` bytes; with ``compare``, of the same length, hand them to ``finish`` to be compared."""

    offset: int
    length: int
    compare: Buffer | None = None
    wanted: int = 0


Operation = Read | Write | Flush | Discard | Verify


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
