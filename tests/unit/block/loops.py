"""Loop devices: what stands in for disks, with sectors of 512 or 4096 bytes."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


class Loops:
    """Attaches files as block devices, until :meth:`close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._attached: list[str] = []

    def attach(self, backing: Path, *options: str) -> Path:
        """The block device that has become of ``backing``."""
        command = ["losetup", "--find", "--show", *options, str(backing)]
        device = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        self._attached.append(device)
        return Path(device)

    def make(self, name: str, sector: int, size: int) -> Path:
        """A new disk of ``size`` bytes; what is on its medium is in the file ``name``."""
        backing = self.backing(name)
        backing.touch()
        os.truncate(backing, size)
        return self.attach(backing, "--sector-size", str(sector))

    def enlarge(self, name: str, device: Path, size: int) -> None:
        """The disk has ``size`` bytes from now on."""
        os.truncate(self.backing(name), size)
        subprocess.run(["losetup", "--set-capacity", str(device)], check=True)

    def backing(self, name: str) -> Path:
        """The file below a disk."""
        return self.folder / name

    def detach(self, device: Path) -> None:
        """It is a file again, once whoever looks at the device has closed it."""
        self._attached.remove(str(device))
        subprocess.run(["losetup", "--detach", device], check=True)
        until = time.monotonic() + 5
        while Path("/sys/block", device.name, "loop").exists() and time.monotonic() < until:
            time.sleep(0.01)

    def close(self) -> None:
        """Detach all of them."""
        while self._attached:
            self.detach(Path(self._attached[-1]))


@contextlib.contextmanager
def loops(folder: Path) -> Iterator[Loops]:
    """Loop devices that are gone afterwards."""
    made = Loops(folder)
    try:
        yield made
    finally:
        made.close()
