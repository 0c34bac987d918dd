"""A volume put together: members, mirror, container, logical unit.

Opening takes everything in hand before it changes anything: members are held,
superblocks judged, the container unlocked; what fails lets go of all of it.
"""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pydantic import SecretBytes
from typing_extensions import Buffer

from twinlock.block.crypt import CryptDevice
from twinlock.block.device import BlockDevice
from twinlock.block.file import FileDevice
from twinlock.block.mirror.assembly import Judgement, judge
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import (
    ContainerUnsupported,
    DeviceError,
    MemberMissing,
    NoMemberUsable,
    PassphraseUnusable,
)
from twinlock.luks.container import PROBE_LENGTH, OpenContainer, header_length, unlock_container
from twinlock.native import SectorCipher
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.target import ScsiTarget
from twinlock.server.messages import MemberStatus, SessionStatus, VolumeSpec, VolumeStatus
from twinlock.server.news import News

PHYSICAL_BLOCK = 4096
"""Bytes; what initiators align to, whatever the logical block size."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Volume:
    """An open volume.  ``device`` is what the initiator sees; closing it closes all below it."""

    mirror: Mirror
    device: BlockDevice
    unit: LogicalUnit
    target: ScsiTarget
    cipher: str | None

    def status(self, target: str, session: SessionStatus | None) -> VolumeStatus:
        """How the volume is, now."""
        array = self.mirror.status()
        progress = array.resync
        return VolumeStatus(
            array=UUID(bytes=array.uuid),
            size=self.device.size,
            block_size=self.unit.geometry.block_size,
            encrypted=self.cipher is not None,
            cipher=self.cipher,
            target=target,
            clean=not array.dirty,
            degraded=array.degraded,
            members=tuple(
                MemberStatus(
                    path=member.path or "(no disk)",
                    state=member.state,
                    role=member.role,
                    read_errors=member.corrected_reads,
                )
                for member in array.members
            ),
            resync=(progress.done, progress.total) if progress.done < progress.total else None,
            session=session,
        )

    def close(self) -> None:
        """Flush, mark the array clean, forget the key, let go of the members."""
        self.device.close()


def open_volume(spec: VolumeSpec, passphrase: SecretBytes | None, derivation_lock: Path) -> Volume:
    """Open what ``spec`` describes; raises TwinlockError with nothing changed and nothing held."""
    with contextlib.ExitStack() as undo:
        judgement = _judge(spec, undo)
        container = _unlock(judgement, spec.name, passphrase, derivation_lock) if spec.encrypted else None
        mirror = Mirror.start(judgement, clock=time.time, observer=News(spec.name))
        undo.callback(mirror.close)
        device = mirror if container is None else _decrypted(mirror, container)
        cipher = None if container is None else str(container.cipher_name)
        unit = _logical_unit(spec, mirror, device)
        undo.pop_all()
        return Volume(mirror, device, unit, ScsiTarget({0: unit}), cipher)


def _judge(spec: VolumeSpec, undo: contextlib.ExitStack) -> Judgement:
    """The members that are there, held and judged; ``undo`` lets go of them."""
    members = [read_member(device) for device in _hold(spec, undo)]
    return judge(members, expected_uuid=spec.array.bytes if spec.array else None)


def _hold(spec: VolumeSpec, undo: contextlib.ExitStack) -> list[FileDevice]:
    """Open the members for this process alone.  One that is not there leaves the array degraded."""
    devices, missing = [], []
    for path in spec.members:
        try:
            device = FileDevice.open(path)
        except MemberMissing as error:
            missing.append(str(error))
            continue
        undo.callback(device.close)
        devices.append(device)
    if not devices:
        raise NoMemberUsable(name=spec.name, reason="; ".join(missing))
    for sentence in missing:
        log.warning("volume %s starts degraded: %s", spec.name, sentence)
    return devices


def _unlock(
    array: Judgement, name: str, passphrase: SecretBytes | None, derivation_lock: Path
) -> OpenContainer:
    if passphrase is None:
        raise PassphraseUnusable(reason="none was given")
    header = _read_header(array)
    with one_derivation(derivation_lock):
        return unlock_container(
            header, array_size=array.size, passphrase=passphrase.get_secret_value(), name=name
        )


def _read_header(array: Judgement) -> Buffer:
    """The container's header area, whole."""
    try:
        length = header_length(array.read(0, min(PROBE_LENGTH, array.size)))
        return array.read(0, length)
    except DeviceError as error:
        raise ContainerUnsupported(reason=f"its header cannot be read ({error})") from error


@contextlib.contextmanager
def one_derivation(lock: Path) -> Iterator[None]:
    """Key derivations run one at a time on the machine: each may take 1 GiB."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _decrypted(mirror: Mirror, container: OpenContainer) -> CryptDevice:
    with container.key as key:
        cipher = SectorCipher(container.cipher_name, key, container.sector_size)
    return CryptDevice(
        mirror, cipher, container.payload_offset, container.sector_size, container.payload_size
    )


def _logical_unit(spec: VolumeSpec, mirror: Mirror, device: BlockDevice) -> LogicalUnit:
    block_size = max(device.block_size, spec.block_size or device.block_size)
    geometry = Geometry(
        blocks=device.size // block_size, block_size=block_size, physical_block_size=PHYSICAL_BLOCK
    )
    return LogicalUnit(Identity.of_array(mirror.uuid, target_name=spec.target), geometry)
