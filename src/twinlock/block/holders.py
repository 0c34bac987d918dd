"""Who holds a file or a block device, and the command that frees it.

The kernel says only "busy".  What a person needs is a name (the array, the
mapping, the mount) and what to type; both are in sysfs and procfs.
"""

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from twinlock.block.mounts import mounts
from twinlock.errors import MemberInUse

_WORKER = "twinlock.server.worker"


@dataclass(frozen=True, slots=True)
class Holder:
    """``name`` for the sentence, ``release`` for the shell."""

    name: str
    release: str


@dataclass(frozen=True, slots=True)
class _Subject:
    """The file or device that is asked about."""

    path: str
    real: str
    status: os.stat_result
    sysfs: Path
    procfs: Path

    @property
    def is_block(self) -> bool:
        return stat.S_ISBLK(self.status.st_mode)

    @property
    def numbers(self) -> str:
        return f"{os.major(self.status.st_rdev)}:{os.minor(self.status.st_rdev)}"


def find_holder(
    path: str, *, sysfs: Path = Path("/sys"), procfs: Path = Path("/proc"), processes: bool = False
) -> Holder | None:
    """Who holds ``path``: md, device mapper, a mount, swap, a loop device or a process; None if nobody.

    Processes are looked for only if asked to, for an open file alone holds nothing.
    """
    subject = _Subject(path, os.path.realpath(path), os.stat(path), sysfs, procfs)
    searches: list[Callable[[_Subject], Iterator[Holder]]] = [_mounted, _stacked, _swap, _loop]
    if processes:
        searches.append(_processes)
    return next((holder for search in searches for holder in search(subject)), None)


def in_use(path: str) -> MemberInUse:
    """The error for a path the kernel calls busy, with the best account there is."""
    holder = find_holder(path, processes=True) or Holder("another program", f"fuser -k {shlex.quote(path)}")
    return MemberInUse(path=path, holder=holder.name, release=holder.release)


def refuse_if_held(path: str) -> None:
    """Raise MemberInUse if md, device mapper, a mount, swap or a loop device has ``path``."""
    holder = find_holder(path)
    if holder is not None:
        raise MemberInUse(path=path, holder=holder.name, release=holder.release)


# -- the searches ---------------------------------------------------------------------------------


def _mounted(subject: _Subject) -> Iterator[Holder]:
    if not subject.is_block:
        return
    devices = {subject.numbers, *(_text(folder / "dev") for folder in _partitions(subject))}
    for mount in mounts(subject.procfs):
        # btrfs shows a number of its own, but names the device
        if mount.device in devices or os.path.realpath(mount.source) == subject.real:
            yield Holder(f"the mount at {mount.where}", f"umount {shlex.quote(mount.where)}")


def _stacked(subject: _Subject) -> Iterator[Holder]:
    """What sysfs lists in ``holders``: md arrays and mappings, on the device or on its partitions."""
    if not subject.is_block:
        return
    for folder in (_sysfs_folder(subject), *_partitions(subject)):
        for entry in _entries(folder / "holders"):
            yield _named(subject.sysfs / "class/block" / entry.name)


def _named(folder: Path) -> Holder:
    if (folder / "md").is_dir():
        return Holder(f"the array /dev/{folder.name}", f"mdadm --stop /dev/{folder.name}")
    mapping, uuid = _text(folder / "dm/name"), _text(folder / "dm/uuid")
    if uuid.startswith("CRYPT-"):
        return Holder(f"the encrypted mapping {mapping}", f"cryptsetup close {shlex.quote(mapping)}")
    if uuid.startswith("LVM-"):
        return Holder(f"the logical volume {mapping}", f"lvchange -an /dev/mapper/{shlex.quote(mapping)}")
    if mapping:
        return Holder(f"the mapping {mapping}", f"dmsetup remove {shlex.quote(mapping)}")
    return Holder(f"/dev/{folder.name}", f"lsblk /dev/{folder.name}")


def _swap(subject: _Subject) -> Iterator[Holder]:
    for line in _text(subject.procfs / "swaps").splitlines()[1:]:
        area = line.split()[0]
        if os.path.realpath(area) == subject.real:
            yield Holder("swap", f"swapoff {shlex.quote(area)}")


def _loop(subject: _Subject) -> Iterator[Holder]:
    for folder in _entries(subject.sysfs / "block"):
        backing = _text(folder / "loop/backing_file")
        if backing and os.path.realpath(backing) == subject.real:
            yield Holder(f"the loop device /dev/{folder.name}", f"losetup -d /dev/{folder.name}")


def _processes(subject: _Subject) -> Iterator[Holder]:
    """Processes with the device open, or with a lock on the file (proc_pid_fdinfo(5) shows it)."""
    for process in _entries(subject.procfs):
        if not process.name.isdigit():
            continue
        if any(_holds(process, link, subject) for link in _entries(process / "fd")):
            words = _text(process / "cmdline").split("\0")
            if _WORKER in words:  # its last argument is the log, which has the volume's name
                volume = Path(words[-2] if not words[-1] else words[-1]).stem
                yield Holder(f"twinlock, which serves volume {volume}", f"twinlock lock {volume}")
                return
            name = _text(process / "comm") or "a program"
            yield Holder(f"process {process.name} ({name})", f"kill {process.name}")


def _holds(process: Path, link: Path, subject: _Subject) -> bool:
    try:
        found = link.stat()
    except OSError:
        return False
    if subject.is_block:
        return stat.S_ISBLK(found.st_mode) and found.st_rdev == subject.status.st_rdev
    if not os.path.samestat(found, subject.status):
        return False
    return "lock:" in _text(process / "fdinfo" / link.name)


# -- sysfs and procfs -----------------------------------------------------------------------------


def _sysfs_folder(subject: _Subject) -> Path:
    return subject.sysfs / "dev/block" / subject.numbers


def _partitions(subject: _Subject) -> list[Path]:
    return [entry for entry in _entries(_sysfs_folder(subject)) if (entry / "partition").exists()]


def _entries(folder: Path) -> list[Path]:
    """What a folder holds; nothing if it is not there, or may not be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""
