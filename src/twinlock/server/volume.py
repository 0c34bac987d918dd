"""A volume put together: members, mirror, container, logical unit.

Opening takes everything in hand before it changes anything: members are held,
superblocks judged, the container unlocked; what fails lets go of all of it.
"""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from pydantic import SecretBytes

from twinlock.block.bare import BareStore
from twinlock.block.crypt import CryptDevice
from twinlock.block.device import BlockDevice
from twinlock.block.file import FileDevice
from twinlock.block.mirror import status as block_status
from twinlock.block.mirror.assembly import Judgement, judge
from twinlock.block.mirror.member import Member, MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import (
    HeaderBackupUnusable,
    HeaderNotWritten,
    MemberMissing,
    MembersDiverged,
    MemberUnusable,
    NoMemberUsable,
    NoSuchMember,
    NotAMember,
    NotPossibleNow,
    PassphraseUnusable,
    ReservationsUnreadable,
    TwinlockError,
)
from twinlock.luks.container import OpenContainer, inspect_container, unlock_container
from twinlock.luks.facts import ContainerFacts
from twinlock.luks.opening import Attempt
from twinlock.native import SectorCipher
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.reservations.record import DamagedRecord
from twinlock.scsi.target import ScsiTarget
from twinlock.server.bare import open_bare
from twinlock.server.container_header import FoundHeader, find_header, write_back
from twinlock.server.derivation import one_derivation
from twinlock.server.header_store import HeaderStore
from twinlock.server.kept_file import KeptFile
from twinlock.server.memory import available_memory
from twinlock.server.messages import (
    FailedLogins,
    JobStatus,
    MemberStatus,
    SessionStatus,
    VolumeSpec,
    VolumeStatus,
)
from twinlock.server.news import News
from twinlock.server.rescue import try_everywhere
from twinlock.units import round_down

PHYSICAL_BLOCK = 4096
"""Bytes; what initiators align to, whatever the logical block size."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Volume:
    """An open volume.  ``device`` is what the initiator sees; closing it closes all below it."""

    mirror: Mirror | BareStore
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
        return VolumeStatus(
            array=UUID(bytes=array.uuid),
            size=self.device.size,
            block_size=self.unit.geometry.block_size,
            encrypted=self.cipher is not None,
            cipher=self.cipher,
            target=target,
            clean=not array.dirty,
            degraded=lacks_copies(array),
            members=tuple(self._members(array.members)),
            replacing=array.replacing,
            jobs=tuple(JobStatus(**asdict(job)) for job in array.jobs),
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
                wrong_checksums=member.wrong_checksums,
                checksums=member.checksums,
            )

    def take_size(self) -> bool:
        """Take in what the array has grown by; True if the disk has more blocks, which initiators are told.

        A container whose payload has a fixed size keeps it.
        """
        if isinstance(self.device, CryptDevice):
            self.device.resize(container_facts(self.mirror).payload_size)
        geometry = self.unit.geometry
        blocks = self.device.size // geometry.block_size
        if blocks == geometry.blocks:
            return False
        self.unit.resize(blocks)
        return True

    def close(self) -> None:
        """Flush, mark the array clean, forget the key, let go of the members."""
        self.device.close()


def lacks_copies(array: block_status.ArrayStatus) -> bool:
    """True unless there are as many complete copies as there shall be.

    The place of a member that is filled to replace another is an additional one until then.
    """
    complete = sum(member.state is MemberState.IN_SYNC for member in array.members)
    return array.degraded and complete < array.places - (array.replacing is not None)


def open_volume(spec: VolumeSpec, passphrase: SecretBytes | None, derivation_lock: Path) -> Volume:
    """Open what ``spec`` describes; raises TwinlockError with nothing changed and nothing held."""
    with contextlib.ExitStack() as undo:
        judgement = open_bare(spec, undo) if spec.layout == "bare" else judge_members(spec, undo)
        header = find_header(judgement, HeaderStore.of(spec)) if spec.encrypted else None
        container = None
        if header is not None:
            container, header = _unlock(judgement, spec, header, passphrase, derivation_lock)
        mirror = judgement if isinstance(judgement, BareStore) else start_mirror(judgement, spec)
        undo.callback(mirror.close)
        if header is not None:
            _repair(mirror, header, spec)
        device = mirror if container is None else _decrypted(mirror, container)
        cipher = None if container is None else str(container.cipher_name)
        unit = _logical_unit(spec, mirror, device)
        undo.pop_all()
        return Volume(mirror, device, unit, ScsiTarget({0: unit}), cipher, spec)


def _repair(mirror: Mirror | BareStore, header: FoundHeader, spec: VolumeSpec) -> None:
    """Write back what was wrong with the container's header; what fails is tried at the next opening."""
    try:
        write_back(mirror, header, HeaderStore.of(spec), spec.name)
    except (HeaderNotWritten, HeaderBackupUnusable) as error:
        log.error("volume %s: the container's header is not repaired yet: %s", spec.name, error)


def start_mirror(judgement: Judgement, spec: VolumeSpec) -> Mirror:
    """The array, running at the volume's rates; a replacement that was cut off goes on."""
    mirror = Mirror.start(
        judgement,
        clock=time.time,
        observer=News(spec.name),
        tables=Path(spec.tables) if spec.tables else None,
        checksums=spec.checksums,
    )
    mirror.limit_rate(spec.resync_minimum, spec.resync_maximum)
    if spec.copies is not None and mirror.status().places == spec.copies + 1:
        _resume_replacement(mirror, spec, spec.copies)
    return mirror


def _resume_replacement(mirror: Mirror, spec: VolumeSpec, copies: int) -> None:
    """Go on with it; if one of the two is not there it is over, and the array has ``copies`` places again.

    The new member has the last place, see :mod:`twinlock.block.mirror.changes.replace`.
    """
    status = mirror.status()
    newest = next((member.path for member in status.members if member.role == copies), None)
    for old in spec.leaving:
        try:
            mirror.resume_replacement(old, newest or "(no disk)")
            return
        except (NoSuchMember, NotPossibleNow) as error:
            log.warning("volume %s: %s is not replaced: %s", spec.name, old, error)
    try:
        mirror.set_places(copies)
    except NotPossibleNow as error:
        log.warning("volume %s: %s", spec.name, error)


def judge_members(spec: VolumeSpec, undo: contextlib.ExitStack) -> Judgement:
    """The members that can be used, held and judged; ``undo`` lets go of them.  Nothing is written."""
    members, lacking = take_members(spec, undo)
    if not members:
        raise _none_usable(spec, list(lacking.values()))
    judgement = judge_configured(members, spec)
    for reason in lacking.values():
        log.warning("volume %s starts degraded: %s", spec.name, reason)
    return judgement


def judge_configured(members: Sequence[Member], spec: VolumeSpec) -> Judgement:
    """As :func:`judge`; of members that ran apart it says what chooses between those of this volume."""
    try:
        return judge(
            members,
            expected_uuid=spec.array.bytes if spec.array else None,
            tables=Path(spec.tables) if spec.tables else None,
            checksums=spec.checksums,
        )
    except MembersDiverged as error:
        command = f"twinlock member choose {spec.name} MEMBER"
        choice = f"to go on with one, and lose what only the others have: {command}"
        raise MembersDiverged(account=error.context["account"], choice=choice) from error


def take_members(
    spec: VolumeSpec, undo: contextlib.ExitStack
) -> tuple[list[Member], dict[str, TwinlockError]]:
    """The configured members that are there and held, and why each of the others is not."""
    members: list[Member] = []
    lacking: dict[str, TwinlockError] = {}
    for path in spec.members:
        try:
            members.append(_take(path, undo))
        except (MemberMissing, MemberUnusable, NotAMember) as error:
            lacking[path] = error
    return members, lacking


def _take(path: str, undo: contextlib.ExitStack) -> Member:
    """Hold one member for this process alone, and see what it says.

    MemberMissing, MemberUnusable and NotAMember leave the array degraded, for its redundancy is meant for
    just that.  What else is wrong with a member asks for a decision, and is left to who can take it.
    """
    device = FileDevice.open(path)
    try:
        member = read_member(device, need_bitmap=False)
    except TwinlockError:
        device.close()
        raise
    undo.callback(device.close)
    return member


def _none_usable(spec: VolumeSpec, lacking: list[TwinlockError]) -> TwinlockError:
    present = [error for error in lacking if not isinstance(error, MemberMissing)]
    return present[0] if present else NoMemberUsable(name=spec.name, reason="; ".join(map(str, lacking)))


def _unlock(
    array: Judgement | BareStore,
    spec: VolumeSpec,
    header: FoundHeader,
    passphrase: SecretBytes | None,
    derivation_lock: Path,
) -> tuple[OpenContainer, FoundHeader]:
    """The container, and its header as it has to be: a key may open what one member alone holds whole."""
    if passphrase is None:
        raise PassphraseUnusable(reason="none was given")
    with one_derivation(derivation_lock):
        return try_everywhere(
            header,
            array,
            lambda content, number: unlock_container(
                content,
                array_size=array.size,
                passphrase=passphrase.get_secret_value(),
                attempt=Attempt(spec.name, number, available_memory(swap=True)),
            ),
        )


def container_facts(array: Judgement | Mirror | BareStore) -> ContainerFacts:
    """What the container's header says without a passphrase; raises ContainerUnsupported."""
    return inspect_container(find_header(array, None).good, array_size=array.size)


def _decrypted(mirror: Mirror | BareStore, container: OpenContainer) -> CryptDevice:
    """Sectors smaller than the members' blocks are read and written by whole blocks, as dm-crypt does."""
    with container.key as key:
        cipher = SectorCipher(container.cipher_name, key, container.sector_size)
    block_size = max(container.sector_size, mirror.block_size)
    size = round_down(container.payload_size, block_size)
    return CryptDevice(mirror, cipher, container.payload_offset, block_size, size)


def _logical_unit(spec: VolumeSpec, mirror: Mirror | BareStore, device: BlockDevice) -> LogicalUnit:
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
    store = None if path is None else KeptFile(path)
    try:
        return LogicalUnit(identity, geometry, read_only=spec.read_only, reservations_store=store)
    except (OSError, DamagedRecord) as error:
        raise ReservationsUnreadable(name=spec.name, reason=error, path=path) from error


def _reservations_path(spec: VolumeSpec, array: UUID) -> Path | None:
    """The array's own file: a volume made anew under an old name is not reserved for anybody."""
    return None if spec.reservations is None else Path(f"{spec.reservations}.{array}")
