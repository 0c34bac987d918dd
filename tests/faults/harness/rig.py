"""One array on media that outlive it: started, stopped, and cut off."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.faults.harness.areas import area_of
from tests.faults.harness.keys import Container, new_container
from tests.faults.harness.medium import Medium
from tests.faults.harness.points import Cutter, Operation
from twinlock.block.checked.device import CheckedDevice
from twinlock.block.device import BlockDevice
from twinlock.block.faulty import FaultyDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.layout import MemberLayout, member_layout
from twinlock.block.mirror.member import Member, MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.block.observer import SilentObserver
from twinlock.errors import NotAMember
from twinlock.units import MIB

SIZE = 20 * MIB
UUID = bytes(range(16))
START = 1_790_000_000
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass(frozen=True, slots=True)
class Setup:
    """What is the same through one life."""

    members: int = 2
    checksums: bool = True
    block_size: int = 512
    keepers: tuple[int, ...] = ()
    """Numbers of media that know no discard."""
    container: bool = False
    """Data go through the cipher of a container that lies on the array."""


CONTAINERS = 0.2
"""How many of the arrays have a container."""


def setup_for(random: Random) -> Setup:
    """Any kind of array."""
    members = random.choice([2, 2, 2, 3])
    keepers = tuple(number for number in range(members + 4) if random.random() < 0.25)
    block_size = random.choice([512, 512, 4096])
    return Setup(members, random.random() < 0.7, block_size, keepers, random.random() < CONTAINERS)


@dataclass
class Clock:
    """It stands still until somebody moves it."""

    now: float = float(START)

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """``media`` by number; ``disks`` are what the running array sees of them."""

    setup: Setup
    media: list[Medium] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    disks: dict[int, FaultyDevice] = field(default_factory=dict)
    cutter: Cutter | None = None
    during: str = ""
    places: list[MemberLayout] = field(default_factory=list)
    wrap: Callable[[int, FaultyDevice], BlockDevice] = lambda _number, disk: disk
    """What goes between a disk and the array."""
    mirror: Mirror = field(init=False)
    top: BlockDevice = field(init=False)
    """What a user sees: the array, or what lies in its container."""
    container: Container | None = None
    shift: int = 0
    """Bytes of the array before what a user sees."""

    @classmethod
    def create(cls, setup: Setup) -> "Rig":
        """A new array, all members in sync."""
        rig = cls(setup)
        for _ in range(setup.members):
            rig.add_medium()
        create_array(
            rig.media,
            array_uuid=UUID,
            device_uuids=[bytes([0x40 + number]) * 16 for number in range(setup.members)],
            name="host:backup",
            now=START,
            assume_clean=True,
        )
        if setup.container:
            rig._format()
        return rig

    def _format(self) -> None:
        """A container on all members, before there are any checksums."""
        self._folder = TemporaryDirectory(prefix="twinlock-keys-", dir=_MEMORY)
        self.container = Container(Path(self._folder.name) / "v")
        made = new_container(self.places[0].data_size, self.setup.block_size)
        self.shift = made.payload_offset
        for medium, place in zip(self.media, self.places, strict=True):
            medium.write(place.data_offset, made.header)

    def add_medium(self) -> int:
        """One more blank medium; its number."""
        number = len(self.media)
        keeps = number in self.setup.keepers
        size = self.media[0].size if self.media else SIZE
        self.media.append(Medium(size, self.setup.block_size, path=f"disk{number}", keeps=keeps))
        self.places.append(member_layout(size))
        return number

    def insert(self, number: int) -> BlockDevice:
        """The medium as a device that is new to the system."""
        disk = FaultyDevice(self.media[number])
        disk.hook = lambda kind, offset, _length: self._look(number, kind, offset)
        self.disks[number] = disk
        return self.wrap(number, disk)

    def _look(self, number: int, kind: str, offset: int) -> None:
        if self.cutter is not None:
            area = area_of(self.places[number], offset, self.shift)
            self.cutter.look(Operation(number, kind, area, offset, self.during))

    @contextmanager
    def doing(self, what: str) -> Iterator[Mirror]:
        """Operations within are part of this."""
        outer, self.during = self.during, what
        yield self.mirror
        self.during = outer

    # -- lives ----------------------------------------------------------------------------------

    def start(self, numbers: Sequence[int]) -> None:
        """Assemble from these media; those that are no members are left out."""
        self.disks.clear()
        self.clock.now += 1
        self.during = "start"
        members = [member for number in numbers for member in self._read(number)]
        self.mirror = Mirror.assemble(
            members,
            expected_uuid=UUID,
            clock=self.clock,
            observer=SilentObserver(),
            checksums=self.setup.checksums,
        )
        self.open_top()
        self.during = ""

    def open_top(self) -> None:
        """What lies on the array, as large as that is; judges what a crash left of a change of keys."""
        self.top = self.mirror if self.container is None else self.container.opened(self.mirror)

    def _read(self, number: int) -> list[Member]:
        try:
            return [read_member(self.insert(number))]
        except NotAMember:
            return []

    def stop(self) -> None:
        """As a service stops."""
        with self.doing("stop") as mirror:
            mirror.close()

    def power_cut(self, survives: Callable[[], Callable[[int], bool]], random: Random) -> None:
        """What was not flushed is lost, or is not, in whole blocks or in sectors."""
        self.cutter = None
        for disk in self.disks.values():
            disk.power_cut(survives(), torn=random.random() < 0.7)

    # -- facts ----------------------------------------------------------------------------------

    def number_of(self, path: str | None) -> int:
        """Of the medium with that path."""
        return next(index for index, medium in enumerate(self.media) if medium.path == path)

    def having(self, *states: MemberState) -> list[int]:
        """The numbers of the media that are members in these states."""
        members = self.mirror.status().members
        return [self.number_of(each.path) for each in members if each.state in states and each.path]

    def tables(self) -> dict[int, CheckedDevice]:
        """The data with checksums of the members in sync, by number."""
        members = [member for member in self.mirror._record.members if member.state is MemberState.IN_SYNC]
        return {self.number_of(each.path): each.checked for each in members if each.checked is not None}

    @property
    def complete(self) -> bool:
        """True if every place has a member in sync."""
        return not self.mirror.status().degraded and not self.having(MemberState.REBUILDING)

    # -- the background -------------------------------------------------------------------------

    def settle(self) -> None:
        """Drive the background until nothing is left to do."""
        with self.doing("step") as mirror:
            for _ in range(4):
                self.clock.now += 61
                for _ in range(20000):
                    if mirror.step() > 0:
                        break
                else:
                    raise AssertionError("the background never ends")

    def scrub(self, *, repair: bool = False) -> ScrubStatus:
        """All of it; what it found."""
        with self.doing("step") as mirror:
            mirror.cancel_scrub()
            mirror.start_scrub(repair=repair)
            for _ in range(20000):
                if mirror.scrub_status.state is not ScrubState.RUNNING:
                    return mirror.scrub_status
                self.clock.now += max(mirror.step(), 0.01)
        raise AssertionError("the scrub never ends")
