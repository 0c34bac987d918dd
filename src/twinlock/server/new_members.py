"""Files and disks that become members: taken, and refused if that would destroy something or cannot work."""

import os

from twinlock.block.file import FileDevice
from twinlock.block.signatures import probe
from twinlock.errors import BadOption, MemberHasSignature, MemberMissing, MemberNamedTwice, MemberUnusable
from twinlock.server.durable import sync_folder
from twinlock.units import MIB

EDGE = MIB
"""Bytes at the beginning and end of a member that must be zero for it to count as blank."""


def open_new(path: str, size: int | None, *, force: bool) -> FileDevice:
    """Hold what shall become a member; a file that is not there is made, sparse, with ``size`` bytes.

    Raises MemberMissing for a disk that is not there, BadOption for a file without a size, MemberHasSignature
    unless ``force``, and what :meth:`FileDevice.open` raises.
    """
    if not os.path.lexists(path) and size is None:
        raise MemberMissing(path=path) if is_device(path) else _size_needed()
    device = FileDevice.open(path, size=None if is_device(path) else size)
    if not device.created and not force:
        try:
            refuse_contents(device)
        except BaseException:
            device.close()
            raise
    return device


def _size_needed() -> BadOption:
    return BadOption(option="--size", reason="say how large the files to be made shall be, such as 500G")


def refuse_twins(paths: tuple[str, ...]) -> None:
    """Raise MemberNamedTwice if two of the paths lead to one and the same file or disk."""
    seen: dict[object, str] = {}
    for path in paths:
        found = identity(path)
        if found in seen:
            raise MemberNamedTwice(path=path, other=seen[found])
        seen[found] = path


def identity(path: str) -> object:
    """What a path leads to, comparable: two names of one disk are equal."""
    if not os.path.exists(path):
        return os.path.realpath(path)
    status = os.stat(path)
    return (status.st_rdev, 0) if status.st_rdev else (status.st_dev, status.st_ino)


def is_device(path: str) -> bool:
    """Where disks are: a path that is missing there is a mistake, not a file to be made."""
    return path.startswith("/dev/") and not path.startswith("/dev/shm/")


def refuse_contents(device: FileDevice) -> None:
    """What is known by name is named; anything else but zeros could still be somebody's data."""
    found = probe(device.path)
    if found is not None:
        raise MemberHasSignature(path=device.path, signature=found)
    ends = (0, max(0, device.size - EDGE))
    if any(any(memoryview(device.read(start, min(EDGE, device.size)))) for start in ends):
        raise MemberHasSignature(path=device.path, signature="data of a kind that is not known")


def sync_names(paths: list[str]) -> None:
    """What is in new files is on the medium; see to it that their names are too (fsync(2) of the folder)."""
    for folder in sorted({os.path.dirname(os.path.abspath(path)) for path in paths}):
        try:
            sync_folder(folder)
        except OSError as error:
            reason = f"its name cannot be made durable ({error.strerror})"
            raise MemberUnusable(path=folder, reason=reason) from error
