"""What an array looks like to a person or a program: plain, frozen facts."""

from dataclasses import dataclass

from twinlock.block.mirror.member import MemberState
from twinlock.block.mirror.resync import Progress


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One place in the array, or a device without one (``role`` None).

    ``path`` and ``device_uuid`` are None where no device is there; ``error`` says why one failed.
    """

    role: int | None
    state: MemberState
    path: str | None = None
    device_uuid: bytes | None = None
    corrected_reads: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ArrayStatus:
    """The array.  Sizes are bytes; ``dirty`` as in mdadm's "active": written to since it was clean."""

    uuid: bytes
    name: str
    size: int
    events: int
    degraded: bool
    dirty: bool
    resync: Progress
    chunk_size: int
    marked_chunks: int
    members: tuple[MemberStatus, ...]
