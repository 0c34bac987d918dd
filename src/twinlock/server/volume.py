"""A volume put together: members, mirror, container, logical unit.

Opening takes everything in hand before it changes anything: members are held,
superblocks judged, the container unlocked; what fails lets go of all of it.
"""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pydantic import SecretBytes
from typing_extensions import Buffer

from twinlock.block.crypt import CryptDevice
from twinlock.block.device import BlockDevice
from twinlock.block.file import FileDevice
from twinlock.block.mirror import status as block_status
from twinlock.block.mirror.assembly import Judgement, judge
from twinlock.block.mirror.member import Member, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import (
    ContainerUnsupported,
    DeviceError,
    MemberMissing,
    MemberUnusable,
    NoMemberUsable,
    NotAMember,
    PassphraseUnusable,
    ReservationsUnreadable,
    TwinlockError,
)
from twinlock.luks.container import PROBE_LENGTH, OpenContainer, header_length, unlock_container
from twinlock.native import SectorCipher
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.reservations.record import DamagedRecord
from twinlock.scsi.target import ScsiTarget
from twinlock.server.derivation import one_derivation
from twinlock.server.messages import FailedLogins, MemberStatus, SessionStatus, VolumeSpec, VolumeStatus
from twinlock.server.news import News
from twinlock.server.reservations import ReservationFile

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
    spec: VolumeSpec
    """What it was opened with."""

    def status(
        self,
        target: str,
        sessions: tuple[SessionStatus, ...],
        failed_logins: tuple[FailedLogins, ...] = (),
    ) -> VolumeStatus:
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
            members=tuple(self._members(array.members)),
            resync=(progress.done, progress.total) if progress.done < progress.total else None,
            chap=self.spec.chap is not None,
            mutual_chap=self.spec.chap is not None and self.spec.chap.mutual_secret is not None,
            shared=self.spec.shared,
            read_only=self.spec.read_only,
            discard=self.spec.discard,
            initiators=self.spec.initiators,
            networks=self.spec.networks,
            sessions=sessions,
            failed_logins=failed_logins,
        )

    def _members(self, members: Iterable[block_status.MemberStatus]) -> Iterator[MemberStatus]:
        """The members; where none is there, the configured path that should be."""
        present = {member.path for member in members}
        absent = iter([path for path in self.spec.members if path not in present])
        for member in members:
            yield MemberStatus(
                path=member.path or next(absent, "(no disk)"),
                state=member.state,
                role=member.role,
                read_errors=member.corrected_reads,
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
        return Volume(mirror, device, unit, ScsiTarget({0: unit}), cipher, spec)


def _judge(spec: VolumeSpec, undo: contextlib.ExitStack) -> Judgement:
    """The members that can be used, held and judged; ``undo`` lets go of them."""
    members: list[Member] = []
    lacking: list[TwinlockError] = []
    for path in spec.members:
        try:
            members.append(_take(path, undo))
        except (MemberMissing, MemberUnusable, NotAMember) as error:
            lacking.append(error)
    if not members:
        raise _none_usable(spec, lacking)
    judgement = judge(members, expected_uuid=spec.array.bytes if spec.array else None)
    for reason in lacking:
        log.warning("volume %s starts degraded: %s", spec.name, reason)
    return judgement


def _take(path: str, undo: contextlib.ExitStack) -> Member:
    """Hold one member for this process alone, and see what it says.

    MemberMissing, MemberUnusable and NotAMember leave the array degraded, for its redundancy is meant for
    just that.  What else is wrong with a member asks for a decision, and is left to who can take it.
    """
    device = FileDevice.open(path)
    try:
        member = read_member(device)
    except TwinlockError:
        device.close()
        raise
    undo.callback(device.close)
    return member


def _none_usable(spec: VolumeSpec, lacking: list[TwinlockError]) -> TwinlockError:
    present = [error for error in lacking if not isinstance(error, MemberMissing)]
    return present[0] if present else NoMemberUsable(name=spec.name, reason="; ".join(map(str, lacking)))


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


def _decrypted(mirror: Mirror, container: OpenContainer) -> CryptDevice:
    with container.key as key:
        cipher = SectorCipher(container.cipher_name, key, container.sector_size)
    return CryptDevice(
        mirror, cipher, container.payload_offset, container.sector_size, container.payload_size
    )


def _logical_unit(spec: VolumeSpec, mirror: Mirror, device: BlockDevice) -> LogicalUnit:
    wanted = device.block_size if spec.encrypted else spec.block_size or device.block_size
    block_size = max(device.block_size, wanted)
    geometry = Geometry(
        blocks=device.size // block_size,
        block_size=block_size,
        physical_block_size=PHYSICAL_BLOCK,
        discard=spec.discard,
    )
    identity = Identity.of_array(mirror.uuid, target_name=spec.target)
    path = _reservations_path(spec, UUID(bytes=mirror.uuid))
    store = None if path is None else ReservationFile(path)
    try:
        return LogicalUnit(identity, geometry, read_only=spec.read_only, reservations_store=store)
    except (OSError, DamagedRecord) as error:
        raise ReservationsUnreadable(name=spec.name, reason=error, path=path) from error


def _reservations_path(spec: VolumeSpec, array: UUID) -> Path | None:
    """The array's own file: a volume made anew under an old name is not reserved for anybody."""
    return None if spec.reservations is None else Path(f"{spec.reservations}.{array}")
