"""Members that ran apart: a person says with which of them to go on.

Each was written to without the other, so whatever is chosen, what was written to the others
meanwhile is lost.  They become spares: their superblocks say so, and the next start fills them.
"""

from collections.abc import Sequence

from twinlock.block.mirror.member import Member
from twinlock.block.mirror.reconcile import View, is_complete, ran_apart
from twinlock.block.mirror.superblock import MAX_DEVICES, ROLE_SPARE, Feature
from twinlock.errors import DeviceError, MemberUnusable, NoSuchMember, NotPossibleNow


def choose(members: Sequence[Member], path: str) -> list[str]:
    """Go on with the member ``path`` (from :func:`read_member`, none of them in use); whom it overruled.

    A crash in between leaves some members spares and the rest as they were: it can be done again.
    Raises NoSuchMember, NotPossibleNow if the members did not run apart, or if the chosen one was never
    filled completely (the others have what it lacks), and MemberUnusable.
    """
    chosen = next((member for member in members if member.path == path), None)
    if chosen is None:
        raise NoSuchMember(name=members[0].superblock.name.rpartition(":")[2], path=path)
    overruled = [m for m in members if m is not chosen and ran_apart(_view(chosen), _view(m))]
    if not is_complete(chosen.superblock):
        raise NotPossibleNow(reason=f"{path} was never filled completely; it has not all of the data")
    if not overruled:
        raise NotPossibleNow(reason="the members did not run apart; there is nothing to choose")
    number = _next_number(members)
    for index, member in enumerate(overruled):
        _make_spare(member, chosen, (number + index) % MAX_DEVICES)
    return [member.path for member in overruled]


def _view(member: Member) -> View:
    return View(member.path, member.superblock, None if member.bitmap is None else member.bitmap.header)


def _next_number(members: Sequence[Member]) -> int:
    """A device number that is in nobody's table: two halves may each have given one to a new device."""
    tables = [member.superblock for member in members]
    named = {number for table in tables for number, role in enumerate(table.roles) if role != ROLE_SPARE}
    return max(named | {table.header.dev_number for table in tables}) + 1


def _make_spare(member: Member, chosen: Member, number: int) -> None:
    roles = list(chosen.superblock.roles)
    roles += [ROLE_SPARE] * (number + 1 - len(roles))
    roles[number] = ROLE_SPARE
    spare = member.superblock.change(
        roles=tuple(roles),
        dev_number=number,
        feature_map=member.superblock.header.feature_map & Feature.BITMAP_OFFSET,
        events=0,
        recovery_offset=0,
    )
    try:
        member.store_superblock(spare)
    except DeviceError as error:
        raise MemberUnusable(path=member.path, reason=f"it cannot be written to ({error})") from error
