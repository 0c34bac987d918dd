"""Disks as others made them: containers by cryptsetup, partitions by sfdisk, arrays in md's own format.

mdadm cannot make an array here, for that needs the kernel's md; tests/vm has those that it made.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.superblock import Superblock
from twinlock.units import MIB

SIZE = 24 * MIB
CHEAP = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")


def run(*command: str | Path, stdin: bytes = b"") -> str:
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout.decode()


def blank(path: Path, size: int = SIZE) -> Path:
    path.touch()
    os.truncate(path, size)
    return path


def luks(path: Path, key: Path, *options: str, version: int = 2, size: int = SIZE) -> Path:
    """A container on ``path`` (made, unless it is there)."""
    if not path.exists():
        blank(path, size)
    kdf = CHEAP if version == 2 else CHEAP[2:]
    run("cryptsetup", "luksFormat", "-q", "--type", f"luks{version}", *kdf, *options, path, key)
    return path


def partitioned(path: Path, size: int = SIZE) -> Path:
    """A GPT with two partitions of 8 MiB; an ext4 called "photos" in the first one."""
    blank(path, size)
    run("sfdisk", "-q", path, stdin=b"label: gpt\n,8M\n,8M\n")
    run("mke2fs", "-q", "-t", "ext4", "-L", "photos", "-E", "offset=1048576", path, "8m")
    return path


def array(
    paths: Sequence[Path],
    contents: Path | None = None,
    *,
    name: str = "old-pc:backup",
    uuid: bytes = b"",
    size: int = SIZE,
    **changes: Any,
) -> int:
    """An array of ``paths`` (files of ``size``, made, or disks) with ``contents``; bytes of its data.

    ``changes`` are fields of every superblock that are set afterwards.
    """
    devices = [FileDevice.open(path, size=None if path.exists() else size) for path in paths]
    uuids = [bytes([number + 1]) * 16 for number in range(len(devices))]
    create_array(
        devices, array_uuid=uuid or _uuid_of(paths), device_uuids=uuids, name=name, now=1, assume_clean=True
    )
    place = member_layout(devices[0].size)
    for device in devices:
        if contents is not None:
            device.write(place.data_offset, contents.read_bytes()[: place.data_size])
        change(device, **changes)
        device.close()
    return place.data_size


def _uuid_of(paths: Sequence[Path]) -> bytes:
    return hashlib.sha256(" ".join(map(str, paths)).encode()).digest()[:16]


def change(device: FileDevice, **fields: Any) -> None:
    """Set fields of a superblock of metadata 1.2, whatever they mean; its checksum is right."""
    superblock = read_member(device).superblock.change(**fields)
    device.write(4096, superblock.build())


def superblock(path: Path) -> Superblock:
    device = FileDevice.open(path, writable=False, exclusive=False)
    try:
        return read_member(device, need_bitmap=False).superblock
    finally:
        device.close()


def copy(path: Path, target: Path) -> Path:
    shutil.copyfile(path, target)
    return target
