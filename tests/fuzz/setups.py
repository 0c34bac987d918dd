"""The targets that inputs are played against: who may log in, and what disk there is."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fuzz.choices import Choices, table
from twinlock.iscsi.chap import ChapPolicy, Secret
from twinlock.iscsi.directory import TargetEntry
from twinlock.iscsi.parameters import PREFERENCES, Parameters
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.target import ScsiTarget

TARGET = "iqn.2026-11.io.twinlock:backup"
LOCKED = "iqn.2026-11.io.twinlock:locked"
USER, SECRET = "owner", b"a long secret 1"
MUTUAL_USER, MUTUAL_SECRET = "target", b"another secret 2"
SIZE = 1 << 20
"""Bytes of the disk: so small that inputs reach its end."""
MANY_TARGETS = 200
"""More than fit into one text response."""

POLICIES: dict[str, ChapPolicy | None] = {
    "open": None,
    "chap": ChapPolicy(USER, Secret(SECRET)),
    "mutual": ChapPolicy(USER, Secret(SECRET), MUTUAL_USER, Secret(MUTUAL_SECRET)),
}


@dataclass(frozen=True, slots=True)
class Setup:
    """One target."""

    policy: str = "open"
    block_size: int = 512
    read_only: bool = False
    discard: bool = True
    preferences: Parameters = PREFERENCES
    output_at_once: int | None = None
    """Bytes taken from the connection's output at a time."""


_EAGER = Parameters(initial_r2t=False, max_outstanding_r2t=8, default_time2retain=0)
_POLICIES = table((6, "open"), (1, "chap"), (1, "mutual"))


def setup(choices: Choices) -> Setup:
    """Mostly the one that most inputs are about."""
    return Setup(
        policy=choices.pick(_POLICIES),
        block_size=4096 if choices.chance(15) else 512,
        read_only=choices.chance(5),
        discard=not choices.chance(10),
        preferences=_EAGER if choices.chance(50) else PREFERENCES,
        output_at_once=choices.pick((None, None, 1, 100, 5000)),
    )


class Directory:
    """A target to log in to, one that is locked, and many to be discovered."""

    def __init__(self, policy: ChapPolicy | None) -> None:
        self._policy = policy

    def find(self, target_name: str, /) -> TargetEntry | None:
        if target_name == TARGET:
            return TargetEntry(TARGET, "backup", self._policy)
        return TargetEntry(LOCKED, available=False) if target_name == LOCKED else None

    def visible(self, _initiator_name: str, /) -> Sequence[tuple[str, Sequence[str]]]:
        portals = ["192.0.2.1:3260,1", "[2001:db8::1]:3260,1"]
        return [(TARGET, portals), *((f"{LOCKED}{each}", portals) for each in range(MANY_TARGETS))]


def predictable_bytes() -> Callable[[int], bytes]:
    """Looks random, and is the same in every run."""
    source = itertools.count(1)
    return lambda size: bytes(next(source) * 37 % 256 for _ in range(size))


class Memory:
    """Keeps persistent reservations (APTPL) as long as there is room: now and then it fails."""

    def __init__(self) -> None:
        self._record: bytes | None = None
        self._saves = 0

    def load(self) -> bytes | None:
        return self._record

    def save(self, data: bytes) -> None:
        self._saves += 1
        if self._saves % 7 == 0:
            raise OSError("no room")
        self._record = data


def logical_unit(setup: Setup) -> LogicalUnit:
    geometry = Geometry(SIZE // setup.block_size, setup.block_size, discard=setup.discard)
    identity = Identity.of_array(bytes(range(16)), target_name=TARGET)
    return LogicalUnit(identity, geometry, read_only=setup.read_only, reservations_store=Memory())


def scsi_target(unit: LogicalUnit) -> ScsiTarget:
    return ScsiTarget({0: unit})
