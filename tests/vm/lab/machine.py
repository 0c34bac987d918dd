"""A running guest.

One virtual serial port, joined to QEMU's standard input and output, carries the names of scripts to
the guest and their exit status back; scripts and their output are files in a folder both sides see.
So nothing needs a network, a port number or a socket's path, and a guest whose host process died
turns itself off.
"""

import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.support.qemu import IscsiDisk
from tests.vm.lab.artefacts import Artefacts

BOOT_SECONDS = 90.0
OFF_SECONDS = 30.0
MEMORY = "768M"

KERNEL_PARAMETERS = (
    "console=ttyS0 quiet loglevel=5 panic=-1 mitigations=off nokaslr "
    "cryptomgr.notests tsc=reliable audit=0 net.ifnames=0"
)

NETWORK = ("-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=")


class GuestError(Exception):
    """The guest did not come up, went away, or a script in it failed."""


class Machine:
    """A guest that is on; made by :func:`switched_on`.  Its /share is the folder ``share``."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        assert process.stdin
        assert process.stdout
        self.share = folder / "share"
        self._folder = folder
        self._process = process
        self._requests: IO[bytes] = process.stdin
        self._answers: IO[bytes] = process.stdout
        self._received = b""
        self._scripts = 0
        self._answer("up", BOOT_SECONDS)

    def run(self, script: str, *, timeout: float = 120.0) -> str:
        """Run ``script`` with bash in /share and return what it printed; every command in it must succeed.

        Raises :class:`GuestError`, with the trace, if one does not, or after ``timeout`` seconds.
        """
        self._scripts += 1
        name = f"script-{self._scripts}"
        (self.share / name).write_text(script)
        self._requests.write(name.encode() + b"\n")
        if (status := self._answer(name, timeout)) != "0":
            raise GuestError(f"the guest's script ended with status {status}\n{self._said()}")
        return (self.share / f"{name}.out").read_text()

    def power_off(self) -> None:
        """End the guest in an orderly way: all it wrote is on the disks.  Idempotent."""
        self._requests.close()
        self._process.wait(OFF_SECONDS)

    def cut_power(self) -> None:
        """End the guest at once: what it had not written to the disks is lost.  Idempotent."""
        self._process.kill()
        self._process.wait()

    def _answer(self, expected: str, timeout: float) -> str:
        """The word that follows ``expected`` in the guest's next line."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                raise GuestError(f"no answer within {timeout:.0f} s\n{self._said()}")
            if not (received := self._answers.read(4096)):
                raise GuestError(f"the guest is gone\n{self._said()}")
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        word, _, answer = line.decode().partition(" ")
        if word != expected:
            raise GuestError(f"the guest answered {line!r} instead of {expected!r}")
        return answer

    def _said(self) -> str:
        """The end of everything that may tell what went wrong."""
        script = f"share/script-{self._scripts}"
        names = ("qemu.log", "console.log", f"{script}.out", f"{script}.err")
        paths = [path for name in names if (path := self._folder / name).exists()]
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in paths)


@contextmanager
def switched_on(
    artefacts: Artefacts,
    folder: Path,
    disks: Sequence[Path | IscsiDisk],
    *,
    network: bool = False,
    root: str = "",
) -> Iterator[Machine]:
    """A guest with ``disks`` and its logs in ``folder`` (new).

    Raw files are /dev/vda, /dev/vdb and so on.  An iSCSI disk is /dev/sda: QEMU logs in, and the guest's
    own SCSI commands go to the target as they are.  The guest is turned off in an orderly way after the
    block, at once if the block raises.  ``network`` gives it a way to the host's services (10.0.2.2);
    with ``root``, a device of a filesystem that holds a copy of the ramdisk, it runs from there.
    """
    (folder / "share").mkdir(parents=True)
    board = _board(artefacts, f"{KERNEL_PARAMETERS} lab.root={root}" if root else KERNEL_PARAMETERS)
    command = [*board, *_ports(folder), *_disks(disks), *(NETWORK if network else ())]
    pipe = subprocess.PIPE
    with (
        (folder / "qemu.log").open("wb") as log,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, bufsize=0) as process,
    ):
        try:
            machine = Machine(process, folder)
            yield machine
            machine.power_off()
        finally:
            process.kill()


def _board(artefacts: Artefacts, parameters: str) -> list[str]:
    # microvm boots a little faster, but now and then hangs while it calibrates its clock
    emulated = ["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", MEMORY]
    bare = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-device", "virtio-rng-pci"]
    files = ["-kernel", str(artefacts.kernel), "-initrd", str(artefacts.ramdisk)]
    return ["qemu-system-x86_64", *emulated, *bare, *files, "-append", parameters]


def _ports(folder: Path) -> list[str]:
    console = ["-serial", f"file:{folder / 'console.log'}"]
    control = ["-chardev", "stdio,id=control,signal=off", "-device", "virtio-serial-pci"]
    control += ["-device", "virtserialport,chardev=control,name=control"]
    share = ["-fsdev", f"local,id=share,path={folder / 'share'},security_model=none,multidevs=remap"]
    return [*console, *control, *share, "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]


def _disks(disks: Sequence[Path | IscsiDisk]) -> list[str]:
    arguments = ["-device", "virtio-scsi-pci"] if any(isinstance(disk, IscsiDisk) for disk in disks) else []
    for number, disk in enumerate(disks):
        arguments += _iscsi(disk, number) if isinstance(disk, IscsiDisk) else _file(disk, number)
    return arguments


def _file(path: Path, number: int) -> list[str]:
    drive = f"if=none,id=disk{number},format=raw,cache=writeback,discard=unmap,file={path}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk{number},serial=disk{number}"]


def _iscsi(disk: IscsiDisk, number: int) -> list[str]:
    secrets = [word for each in disk.objects() for word in ("-object", each)]
    node = disk.node(**{"node-name": f"disk{number}"})
    return [*secrets, "-blockdev", node, "-device", f"scsi-block,drive=disk{number}"]
