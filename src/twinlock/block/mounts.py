"""What is mounted where: /proc/self/mountinfo (proc_pid_mountinfo(5)), parsed once."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ESCAPE = re.compile(r"\\([0-7]{3})")

MEMORY_FILESYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs"})
"""File systems without a medium: reading from them never waits for one."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    device: str
    """``major:minor`` as the file system shows it in st_dev."""
    where: str
    filesystem: str
    source: str


def mounts(procfs: Path = Path("/proc")) -> Iterator[Mount]:
    """Every mount that this process sees."""
    try:
        text = (procfs / "self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) >= 5 and len(right) >= 2:
            yield Mount(left[2], _plain(left[4]), right[0], _plain(right[1]))


def filesystem_of(fd: int) -> str | None:
    """The type of the file system an open file lies on, if it can be told."""
    number = os.fstat(fd).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    return next((mount.filesystem for mount in mounts() if mount.device == device), None)


def _plain(field: str) -> str:
    """A field with its octal escapes (blanks, mostly) undone."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
