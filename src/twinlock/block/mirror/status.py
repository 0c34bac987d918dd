"""What an array looks like to a person or a program: plain, frozen facts."""

from collections.abc import Sequence
from dataclasses import dataclass

from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.progress import Job


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One place in the array, or a device without one (``role`` None).

    ``path``, ``device_uuid`` and ``dev_number`` are None where no device is there; ``error`` says why one
    failed.  ``checksums`` is the state of the table ("on", "rebuilding", "lost"), None if there is none.
    """

    role: int | None
    state: MemberState
    path: str | None = None
    device_uuid: bytes | None = None
    corrected_reads: int = 0
    error: str | None = None
    dev_number: int | None = None
    wrong_checksums: int = 0
    checksums: str | None = None
    write_mostly: bool = False


@dataclass(frozen=True, slots=True)
class ArrayStatus:
    """The array.  Sizes are bytes; ``dirty`` as in mdadm's "active": written to since it was clean.

    ``places`` is how many members it should have, ``version`` that of its metadata ("1.2"),
    ``replacing`` the path of the member that goes once another is complete.
    """

    uuid: bytes
    name: str
    size: int
    events: int
    degraded: bool
    dirty: bool
    chunk_size: int
    marked_chunks: int
    members: tuple[MemberStatus, ...]
    version: str = "1.2"
    places: int = 2
    jobs: tuple[Job, ...] = ()
    replacing: str | None = None


def member_statuses(members: Sequence[Member], places: int) -> tuple[MemberStatus, ...]:
    """Every place, with who has it (who failed there if nobody has it now), then those without one."""
    has = {member.role: member for member in members if member.role is not None and not _failed(member)}
    had = {member.role: member for member in members if member.role is not None and _failed(member)}
    filled = {role: member for role, member in (had | has).items() if role < places}
    known = [
        _member(filled[role]) if role in filled else MemberStatus(role, MemberState.MISSING)
        for role in range(places)
    ]
    return (*known, *(_member(member) for member in members if member not in filled.values()))


def _failed(member: Member) -> bool:
    return member.state is MemberState.FAULTY


def _member(member: Member) -> MemberStatus:
    header = member.superblock.header
    return MemberStatus(
        role=member.role,
        state=member.state,
        path=member.path,
        device_uuid=header.device_uuid,
        corrected_reads=member.corrected_reads,
        error=None if member.error is None else str(member.error),
        dev_number=header.dev_number,
        wrong_checksums=member.wrong_checksums,
        checksums=None if member.checked is None else str(member.checked.state),
        write_mostly=member.superblock.write_mostly,
    )
