"""An array whose members are files, or disks with sectors of a given size; stock mdadm reads both.

``mdadm --examine-bitmap`` looks for a member's superblock on block devices only; of a regular file it takes
the first bytes for a bitmap.  So a member that is a file is shown to it as a disk that cannot be written to.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.unit.block.formats import make_array
from tests.unit.block.loops import Loops
from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.observer import Observer, SilentObserver
from twinlock.units import MIB

SIZE = 64 * MIB
UUID = bytes(range(16))
NOW = 1_790_000_000


class Members:
    """The members, and the array that runs on them.  ``sector``: bytes, of disks; None: they are files."""

    def __init__(self, loops: Loops, sector: int | None) -> None:
        self.loops = loops
        self.sector = sector
        self.now = float(NOW)
        self.paths: dict[str, Path] = {}
        self._shown: dict[Path, Path] = {}

    def disk(self, name: str, size: int = SIZE) -> Path:
        """A new one, empty."""
        if self.sector is None:
            path = self.loops.backing(name)
            FileDevice.open(path, size=size).close()
        else:
            path = self.loops.make(name, self.sector, size)
        self.paths[name] = path
        return path

    def make(
        self, version: str = "1.2", *, assume_clean: bool = True, names: Sequence[str] = ("left", "right")
    ) -> None:
        """An array of two: ours where the version is 1.2, else as mdadm makes it."""
        devices = [FileDevice.open(self.disk(name)) for name in names]
        if version == "1.2":
            uuids = [name.encode().ljust(16, b".") for name in names]
            create_array(
                devices,
                array_uuid=UUID,
                device_uuids=uuids,
                name="host:backup",
                now=NOW,
                assume_clean=assume_clean,
            )
        else:
            make_array(version, devices, now=NOW, clean=assume_clean)
        for device in devices:
            device.close()

    def start(self, *names: str, observer: Observer | None = None, checksums: bool = True) -> Mirror:
        """Assemble it from these members."""
        found = [read_member(FileDevice.open(self.paths[name])) for name in names or ("left", "right")]
        return Mirror.assemble(
            found,
            expected_uuid=UUID,
            clock=lambda: self.now,
            observer=observer or SilentObserver(),
            checksums=checksums,
        )

    def enlarge(self, name: str, size: int) -> None:
        """A member has ``size`` bytes from now on."""
        path = self.paths[name]
        if self.sector is not None:
            self.loops.enlarge(name, path, size)
            return
        with path.open("r+b") as file:
            file.truncate(size)

    def settle(self, mirror: Mirror) -> None:
        """Until nothing is left to do in the background."""
        for _ in range(4):
            self.now += 61
            while mirror.step() < IDLE:
                pass

    def shown(self, path: Path) -> Path:
        """The member as a block device, for ``mdadm --examine-bitmap``."""
        if self.sector is not None:
            return path
        if path not in self._shown:
            self._shown[path] = self.loops.attach(path, "--read-only")
        return self._shown[path]

    def hide(self) -> None:
        """Members that are files are shown to nobody any more: whoever wants one can have it."""
        while self._shown:
            self.loops.detach(self._shown.popitem()[1])


def crash(mirror: Mirror) -> None:
    """The process is gone; nothing is tidied up."""
    for member in mirror._record.members:
        member.device.close()
