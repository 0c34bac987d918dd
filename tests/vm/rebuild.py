"""A rebuild by twinlock that is cut off: an array on the backup's members; no container, no daemon."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.mirror.progress import JobKind
from twinlock.block.mirror.superblock import Feature
from twinlock.block.observer import SilentObserver
from twinlock.units import MIB

UUID = b"u" * 16
CHUNK = 4 * MIB
CHUNKS = 20
NOTED_AFTER = 61.0
"""Seconds: more than a rebuild goes on without a note of how far it came."""


class Kind(Enum):
    """What the second member lacks."""

    MARKED = "what the bitmap names"
    ALL = "everything"


class Rebuild:
    """The second of two ``members`` is half filled, and the array running."""

    def __init__(self, members: Sequence[Path], kind: Kind) -> None:
        self._members = members
        self._now = 1.79e9
        self._create()
        self._away(kind)
        self.mirror = self._start(*members)
        assert self.mirror.status().members[1].state is MemberState.REBUILDING
        while self._done() < CHUNKS // 2 * CHUNK:
            self._step()
        self._now += NOTED_AFTER
        self._step()

    def crash(self, offset: int) -> None:
        """Cut off; the second member loses the block at ``offset``, as without a flush it may."""
        for member in self.mirror._record.members:
            member.device.close()
        device = FileDevice.open(self._members[1])
        read_member(device).data.write(offset, b"lost" * 1024)
        device.close()

    def _create(self) -> None:
        devices = [FileDevice.open(member, size=128 * MIB) for member in self._members]
        uuids = [bytes([number]) * 16 for number in (1, 2)]
        create_array(devices, array_uuid=UUID, device_uuids=uuids, name="h:n", now=1, assume_clean=True)
        for device in devices:
            device.close()

    def _away(self, kind: Kind) -> None:
        """Change each chunk while the second member is away."""
        mirror = self._start(self._members[0])
        for chunk in range(CHUNKS):
            mirror.write(chunk * CHUNK, bytes([chunk + 1]) * MIB)
        mirror.close()
        if kind is Kind.ALL:
            device = FileDevice.open(self._members[1])
            member = read_member(device)
            features = Feature.BITMAP_OFFSET | Feature.RECOVERY_OFFSET
            member.store_superblock(member.superblock.change(feature_map=features, events=0))
            device.close()

    def _start(self, *members: Path) -> Mirror:
        opened = [read_member(FileDevice.open(member)) for member in members]
        return Mirror.assemble(opened, expected_uuid=UUID, clock=lambda: self._now, observer=SilentObserver())

    def _done(self) -> int:
        jobs = self.mirror.status().jobs
        return sum(job.done for job in jobs if job.kind is JobKind.RESYNC)

    def _step(self) -> None:
        assert self.mirror.step() < IDLE, "the rebuild ended before it was cut off"
