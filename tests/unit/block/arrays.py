"""Arrays in memory, with a clock that stands still until a test moves it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from twinlock.block.device import BlockDevice
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.mirror.scrub_status import ScrubStatus
from twinlock.block.observer import SilentObserver
from twinlock.errors import DeviceError
from twinlock.units import MIB

UUID = bytes(range(16))
SIZE = 64 * MIB
BLOCK = 4096
START = 1_790_000_000


@dataclass
class Clock:
    now: float = float(START)

    def __call__(self) -> float:
        return self.now


@dataclass
class Notes(SilentObserver):
    """An observer that writes everything down."""

    failed: list[int] = field(default_factory=list)
    repaired: list[tuple[int, int, int]] = field(default_factory=list)
    full: list[int] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)
    stalled: list[DeviceError] = field(default_factory=list)
    wrong: list[tuple[int, int, int]] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    records: list[tuple[int, str]] = field(default_factory=list)
    scrubs: list[ScrubStatus] = field(default_factory=list)

    def member_failed(self, index: int, error: DeviceError) -> None:
        self.failed.append(index)

    def read_repaired(self, index: int, offset: int, length: int) -> None:
        self.repaired.append((index, offset, length))

    def checksum_wrong(self, index: int, offset: int, length: int) -> None:
        self.wrong.append((index, offset, length))

    def block_lost(self, offset: int, length: int) -> None:
        self.lost.append((offset, length))

    def scrub_over(self, status: ScrubStatus) -> None:
        self.scrubs.append(status)

    def record_rewritten(self, index: int, what: str) -> None:
        self.records.append((index, what))

    def space_exhausted(self, index: int, error: DeviceError) -> None:
        self.full.append(index)

    def resync_progress(self, done: int, total: int) -> None:
        self.progress.append((done, total))

    def resync_stalled(self, error: DeviceError) -> None:
        self.stalled.append(error)


def media(count: int = 2, size: int = SIZE) -> list[MemoryDevice]:
    return [MemoryDevice(size, BLOCK, path=f"disk{number}") for number in range(count)]


def make(devices: Sequence[BlockDevice], *, uuid: bytes = UUID, assume_clean: bool = True) -> None:
    create_array(
        devices,
        array_uuid=uuid,
        device_uuids=[bytes([0x40 + number]) * 16 for number in range(len(devices))],
        name="host:backup",
        now=START,
        assume_clean=assume_clean,
    )


@dataclass
class Array:
    """A mirror over faulty devices over media that outlive it."""

    media: list[MemoryDevice]
    clock: Clock = field(default_factory=Clock)
    notes: Notes = field(default_factory=Notes)
    disks: list[FaultyDevice] = field(default_factory=list)
    mirror: Mirror = field(init=False)

    def start(self, *present: int, expected_uuid: bytes | None = UUID) -> Mirror:
        """Assemble from the media with these numbers (all of them, if none is given)."""
        numbers = present or tuple(range(len(self.media)))
        self.disks = [FaultyDevice(medium) for medium in self.media]
        members = [read_member(self.disks[number]) for number in numbers]
        self.mirror = Mirror.assemble(
            members, expected_uuid=expected_uuid, clock=self.clock, observer=self.notes
        )
        return self.mirror

    def crash(self) -> None:
        """The process is gone; what was written survives, and nothing is tidied up."""
        for disk in self.disks:
            disk.power_cut(lambda _index: True)

    def settle(self) -> None:
        """Drive the background until nothing is left to do."""
        for _ in range(4):
            self.clock.now += 61
            while self.mirror.step() < IDLE:
                pass

    def stop(self) -> None:
        """Close the mirror as a clean stop does, but keep the media."""
        keep = [KeptOpen(medium) for medium in self.media]
        for disk, kept in zip(self.disks, keep, strict=True):
            disk.lower = kept
        self.mirror.close()


class KeptOpen(MemoryDevice):
    """A medium seen through a device that is closed with the array, while the medium stays."""

    def __init__(self, medium: MemoryDevice) -> None:
        super().__init__(medium.size, medium.block_size, path=medium.path)
        self._blocks = medium._blocks


class Keeper(MemoryDevice):
    """A medium that knows no discard: what was written stays."""

    def discard(self, offset: int, length: int) -> None:
        """Nothing."""
        self.check_range(offset, length)

    @property
    def punches_holes(self) -> bool:
        """Never."""
        return False


def array(count: int = 2, *, assume_clean: bool = True, size: int = SIZE) -> Array:
    """A new array, started."""
    made = Array(media(count, size))
    make(made.media, assume_clean=assume_clean)
    made.start()
    return made
