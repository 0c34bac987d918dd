"""Encrypted volumes in files, for tests of tasks on keys and headers; locked, and without a daemon."""

import os
import time
from pathlib import Path
from uuid import UUID

from pydantic import SecretBytes

from tests.support.containers import SIZE
from twinlock.luks.backup import identify
from twinlock.server.create import create_volume
from twinlock.server.key_tasks import KeyAdd, KeyTest
from twinlock.server.maintenance.context import Context
from twinlock.server.maintenance.registry import carry_out
from twinlock.server.message import Message
from twinlock.server.messages import Create, VolumeSpec
from twinlock.server.volume import Volume, open_volume
from twinlock.units import MIB

TARGET = "iqn.2026-11.io.twinlock:v"


def make(folder: Path, members: int = 2, *, checksums: bool = True) -> VolumeSpec:
    """A volume that FIRST ("first") opens."""
    spec = VolumeSpec(
        name="v",
        members=tuple(str(folder / f"disk{number}") for number in range(members)),
        encrypted=True,
        target=TARGET,
        checksums=checksums,
        headers=str(folder / "headers"),
    )
    request = Create(
        spec=spec,
        size=16 * MIB,
        force=False,
        passphrase=SecretBytes(b"first"),
        iter_time=0,
        derivation_lock=str(folder / "lock"),
    )
    return spec.model_copy(update={"array": create_volume(request, wanted=lambda: True).array})


def make_bare(folder: Path, header: bytes) -> VolumeSpec:
    """A file that begins with ``header``, served in place."""
    (folder / "disk").write_bytes(header.ljust(SIZE, b"\0"))
    return VolumeSpec(
        name="v",
        members=(str(folder / "disk"),),
        encrypted=True,
        target=TARGET,
        layout="bare",
        array=UUID(identify(header).uuid),
        headers=str(folder / "headers"),
    )


def do(spec: VolumeSpec, task: Message) -> Message:
    """A task on the locked volume."""
    lock = Path(spec.members[0]).parent / "lock"
    return carry_out(task, Context(spec, None, wanted=lambda: True, derivation_lock=lock))


def add(spec: VolumeSpec, new: bytes, known: bytes = b"first") -> Message:
    """Another key."""
    return do(spec, KeyAdd(secret=SecretBytes(known), new_secret=SecretBytes(new), iter_time=0))


def tried(spec: VolumeSpec, secret: bytes) -> Message:
    """What ``key test`` says."""
    return do(spec, KeyTest(secret=SecretBytes(secret)))


def start(spec: VolumeSpec, secret: bytes = b"first") -> Volume:
    """The volume, unlocked."""
    return open_volume(spec, SecretBytes(secret), Path(spec.members[0]).parent / "lock")


def settled(volume: Volume) -> None:
    """Return once everything that was due in the background is done."""
    end = time.monotonic() + 60
    while volume.mirror.status().degraded or volume.mirror.status().jobs:
        assert time.monotonic() < end
        volume.mirror.step()


def container_start(path: Path) -> int:
    """Where the container begins in a member, in bytes."""
    return path.read_bytes().index(b"LUKS\xba\xbe")


def flip(path: Path, offset: int) -> None:
    """One bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
        os.fsync(file.fileno())
