"""Making a volume on disk.

Everything that can be refused is refused before the first byte is written: what
the members hold, whether they fit, the passphrase (the container's header is made in memory, key
derivation included, and only then written).  Files made here go again if something fails.
"""

import contextlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.layout import array_size, member_layout, minimum_member_size
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.observer import SilentObserver
from twinlock.errors import (
    BadOption,
    DeviceError,
    InternalError,
    MemberTooSmall,
    MemberUnusable,
    PassphraseUnusable,
)
from twinlock.luks.container import SMALLEST_ARRAY, FormattedContainer, format_container
from twinlock.server.derivation import one_derivation
from twinlock.server.memory import available_memory, new_key_cost
from twinlock.server.messages import Create, Created
from twinlock.server.new_members import open_new, refuse_twins, sync_names
from twinlock.units import MIB, format_size, round_down

WRITE_PIECE = 4 * MIB
"""Bytes of the header area written at once."""


def create_volume(request: Create, *, wanted: Callable[[], bool]) -> Created:
    """Make the members, the array and the container.

    ``wanted`` is asked a last time before the first byte is written: who interrupts the command while the
    key is derived has changed nothing.  Raises TwinlockError with nothing changed; MemberUnusable also if
    writing fails: files made are gone then.
    """
    try:
        return _create_volume(request, wanted)
    except DeviceError as error:
        path = request.spec.members[0]
        raise MemberUnusable(path=path, reason=f"making the volume failed ({error})") from error


def _create_volume(request: Create, wanted: Callable[[], bool]) -> Created:
    with contextlib.ExitStack() as undo:
        devices = _take_members(request, undo)
        block_size = _block_size(request, devices)
        size = round_down(array_size(device.size for device in devices), block_size)
        container, told = _container(request, size, block_size)
        array = uuid4()
        assume_clean = all(device.created for device in devices)
        if not wanted():
            raise InternalError(reason="the command was interrupted")
        create_array(
            devices,
            array_uuid=array.bytes,
            device_uuids=[secrets.token_bytes(16) for _ in devices],
            name=f"twinlock:{request.spec.name}",
            now=int(time.time()),
            assume_clean=assume_clean or len(devices) == 1,
        )
        if container is not None:
            _write_header(devices, array, container, checksums=request.spec.checksums)
        sync_names([device.path for device in devices if device.created])
        for device in devices:
            device.close()
        undo.pop_all()
    return Created(
        array=array,
        size=container.payload_size if container else size,
        block_size=block_size,
        copies=not assume_clean and len(devices) > 1,
        remarks=(told,) if told else (),
    )


def _take_members(request: Create, undo: contextlib.ExitStack) -> list[FileDevice]:
    """Hold every member; what is on them, and whether they fit, is known afterwards."""
    refuse_twins(request.spec.members)
    devices = []
    for path in request.spec.members:
        device = open_new(path, request.size, force=request.force)
        undo.callback(device.unlink)
        _refuse_small(device, request.spec.encrypted)
        devices.append(device)
    return devices


def _refuse_small(device: FileDevice, encrypted: bool) -> None:
    needed = minimum_member_size(SMALLEST_ARRAY if encrypted else MIB)
    if device.size < needed or member_layout(device.size).data_size < (SMALLEST_ARRAY if encrypted else MIB):
        raise MemberTooSmall(path=device.path, size=format_size(device.size), needed=format_size(needed))


def _block_size(request: Create, devices: list[FileDevice]) -> int:
    """512 unless asked for 4096, or a member has blocks of 4096: it stays for the life of the volume."""
    largest = max(device.logical_block for device in devices)
    if largest > 4096:
        raise MemberUnusable(path=devices[0].path, reason=f"blocks of {largest} bytes are not 512 or 4096")
    wanted = request.spec.block_size or largest
    if wanted < largest:
        raise BadOption(option="--block-size", reason=f"a member has blocks of {largest} bytes")
    return wanted


def _container(request: Create, size: int, block_size: int) -> tuple[FormattedContainer | None, str | None]:
    """The container, and what to say of its key's cost."""
    if not request.spec.encrypted:
        return None, None
    if request.passphrase is None:
        raise PassphraseUnusable(reason="none was given")
    with one_derivation(Path(request.derivation_lock)):
        cost, told = new_key_cost(request.iter_time, available_memory())
        container = format_container(
            size=size,
            sector_size=block_size,
            passphrase=request.passphrase.get_secret_value(),
            iter_time_ms=cost.milliseconds,
            memory=cost.memory,
            since=int(time.time()),
            label=request.spec.name,
            target_name=request.spec.target if request.custom_target else None,
        )
    return container, told


def _write_header(
    devices: list[FileDevice], array: UUID, container: FormattedContainer, *, checksums: bool
) -> None:
    """Through the mirror, as everything that goes on the members; then the array is clean again."""
    mirror = Mirror.assemble(
        [read_member(device) for device in devices],
        expected_uuid=array.bytes,
        clock=time.time,
        observer=SilentObserver(),
        checksums=checksums,
    )
    try:
        for offset in range(0, len(container.header), WRITE_PIECE):
            mirror.write(offset, container.header[offset : offset + WRITE_PIECE])
        mirror.flush()
    finally:
        mirror.close()
