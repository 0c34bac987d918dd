"""A folder as an initial ramdisk: a cpio archive of the "newc" kind.

Written here so that it needs no tool and no root: every file belongs to root, every time is zero,
the order is sorted; the same folder gives the same bytes.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

_TRAILER = "TRAILER!!!"


def pack(root: Path, archive: BinaryIO) -> None:
    """Write everything below ``root`` (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""
    for number, path in enumerate(sorted(root.rglob("*")), start=1):
        mode = path.lstat().st_mode
        _entry(archive, str(path.relative_to(root)), number, mode, _content(path, mode))
    _entry(archive, _TRAILER, 0, 0, b"")


def _content(path: Path, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return os.fsencode(os.readlink(path))
    return path.read_bytes() if stat.S_ISREG(mode) else b""


def _entry(archive: BinaryIO, name: str, number: int, mode: int, content: bytes) -> None:
    encoded = os.fsencode(name) + b"\0"
    owner, links, time, device = (0, 0), 1, 0, (0, 0, 0, 0)
    fields = (number, mode, *owner, links, time, len(content), *device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    archive.write(_padded(header + encoded) + _padded(content))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
