"""Members: which there are, and how they come and go.

On disk first, then in the configuration: after a crash between the two the array knows of a member that
is not configured (its place is shown without a disk, and ``member add`` brings it back: it catches
up), or a member is configured that the array has forgotten (it waits as a spare; ``member
remove`` takes it out).
"""

from collections.abc import Callable

from twinlock.block.file import FileDevice
from twinlock.block.mirror.choose import choose
from twinlock.block.mirror.layout import minimum_member_size
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.status import MemberStatus
from twinlock.errors import (
    ArrayUnsupported,
    MemberNeeded,
    MembersDiverged,
    MemberUnusable,
    NoSuchMember,
    NotAMember,
    NotPossibleNow,
)
from twinlock.server.maintenance.context import Context
from twinlock.server.maintenance.listing import list_members
from twinlock.server.new_members import EDGE, identity, open_new, refuse_contents, sync_names
from twinlock.server.tasks import (
    MOST_MEMBERS,
    MemberAdd,
    MemberChoose,
    MemberFail,
    MemberList,
    MemberRemove,
    MemberReplace,
    MembersResult,
    MemberStay,
)


def _list(_task: MemberList, context: Context) -> MembersResult:
    return list_members(context)


def _add(task: MemberAdd, context: Context) -> MembersResult:
    context.refuse_bare()
    mirror, path = context.mirror, _name_of(task.path, context)
    _refuse_many(path, context)
    if not _is_unwritten(path, context):
        _refuse_present(path, context)
        _take_in(task, path, context, mirror.add_member)
    return _changed(context, _with(path, context), context.spec.leaving, context.spec.copies)


def _replace(task: MemberReplace, context: Context) -> MembersResult:
    context.refuse_bare()
    mirror, new = context.mirror, _name_of(task.new, context)
    old = _present(task.path, context)
    _refuse_many(new, context)
    _release_spare(new, context)
    _refuse_present(new, context)
    copies = mirror.status().places
    _take_in(task, new, context, lambda device: mirror.replace_member(old, device))
    return _changed(context, _with(new, context), (old,), copies)


def _remove(task: MemberRemove, context: Context) -> MembersResult:
    context.refuse_bare()
    path = _known(task.path, context)
    left = tuple(each for each in context.spec.members if each != path)
    if not left:
        raise MemberNeeded(path=path, reason="it is the only member")
    if path in _paths(context.mirror):
        context.mirror.remove_member(path)
    return _changed(context, left, tuple(each for each in context.spec.leaving if each != path))


def _fail(task: MemberFail, context: Context) -> MembersResult:
    context.refuse_bare()
    path = _known(task.path, context)
    if context.service is None:
        name = context.spec.name
        reason = (
            f"the volume is locked, so nothing uses {path}; to let go of it: twinlock member remove {name}"
        )
        raise NotPossibleNow(reason=f"{reason} {path}")
    context.mirror.fail_member(_present(path, context))
    return list_members(context)


def _choose(task: MemberChoose, context: Context) -> MembersResult:
    """Nothing may run: what was chosen counts from the next start, and there the others are filled."""
    context.refuse_bare()
    if context.service is not None:
        raise NotPossibleNow(reason=f"the volume is unlocked; first: twinlock lock {context.spec.name}")
    path = _known(task.path, context)
    members, _ = context.take_members()
    choose(members, path)
    return list_members(context)


def _stay(_task: MemberStay, context: Context) -> MembersResult:
    context.refuse_bare()
    return _changed(context, context.spec.members, ())


HANDLERS: dict[type, Callable[..., MembersResult]] = {
    MemberList: _list,
    MemberAdd: _add,
    MemberReplace: _replace,
    MemberRemove: _remove,
    MemberFail: _fail,
    MemberStay: _stay,
    MemberChoose: _choose,
}


# -- which ----------------------------------------------------------------------------------------


def _paths(mirror: Mirror) -> list[str]:
    return [member.path for member in mirror.status().members if member.path is not None]


def _known(path: str, context: Context) -> str:
    """The configured path that is meant, whichever of its names is used; raises NoSuchMember."""
    known: tuple[str, ...] = (
        *context.spec.members,
        *(_paths(context.mirror) if context.service is not None else ()),
    )
    if path in known:
        return path
    meant = [each for each in known if identity(each) == identity(path)]
    if not meant:
        raise NoSuchMember(name=context.spec.name, path=path)
    return meant[0]


def _present(path: str, context: Context) -> str:
    """As :func:`_known`, of a member that the array has."""
    known = _known(path, context)
    if known not in _paths(context.mirror):
        command = f"twinlock member remove {context.spec.name} {known}"
        raise NotPossibleNow(reason=f"{known} is not there; to forget it: {command}")
    return known


def _name_of(path: str, context: Context) -> str:
    """The name by which the disk is configured already, if it is: nothing may be there by two names."""
    return next((each for each in context.spec.members if identity(each) == identity(path)), path)


def _with(path: str, context: Context) -> tuple[str, ...]:
    """The configured members, and one more."""
    return tuple(dict.fromkeys((*context.spec.members, path)))


def _refuse_many(path: str, context: Context) -> None:
    """Raise NotPossibleNow for a member too many."""
    if len(_with(path, context)) > MOST_MEMBERS:
        raise NotPossibleNow(reason=f"a volume has at most {MOST_MEMBERS} members, spares included")


def _refuse_present(path: str, context: Context) -> None:
    """Raise NotPossibleNow for what takes part already; what failed may come back under its path."""
    there = _taking_part(path, context.mirror)
    if there is not None:
        name = context.spec.name
        reason = f"{path} is a member already ({there.state}); twinlock member list {name} shows all"
        raise NotPossibleNow(reason=reason)


def _is_unwritten(path: str, context: Context) -> bool:
    """True for a member that a crash kept from the configuration: that is all that is left to do."""
    return path not in context.spec.members and _taking_part(path, context.mirror) is not None


def _taking_part(path: str, mirror: Mirror) -> MemberStatus | None:
    for member in mirror.status().members:
        there = None if member.state is MemberState.FAULTY else member.path
        if there is not None and identity(there) == identity(path):
            return member
    return None


def _release_spare(path: str, context: Context) -> None:
    """What waits as a spare can be put in a place at once: it is let go of, and taken in again."""
    there = _taking_part(path, context.mirror)
    idle = context.mirror.status().replacing is None
    if idle and there is not None and there.state is MemberState.SPARE and there.path is not None:
        context.mirror.remove_member(there.path)


# -- taking in ------------------------------------------------------------------------------------


def _take_in(
    task: MemberAdd | MemberReplace, path: str, context: Context, take: Callable[[FileDevice], None]
) -> None:
    """Open a new member and hand it to the array; a file that was made for it goes again if that fails."""
    needed = minimum_member_size(context.mirror.size)
    device = open_new(path, needed if task.size is None else task.size, force=True)
    try:
        _refuse_unfit(device, task, context)
        context.refuse_unwanted()
        _join(device, task.force, take)
        if device.created:
            sync_names([path])
    except BaseException:
        device.unlink()
        raise


def _refuse_unfit(device: FileDevice, task: MemberAdd | MemberReplace, context: Context) -> None:
    """A member of this array that was away catches up, so what it holds is no stranger's data."""
    blocks = context.block_size
    if device.logical_block > blocks:
        reason = f"its blocks are {device.logical_block} bytes, those of the volume {blocks}"
        raise MemberUnusable(path=device.path, reason=reason)
    if _belongs(device, context.mirror.uuid):
        return
    context.mirror.refuse_too_small_member(device.path, device.size)
    if not device.created and not task.force:
        refuse_contents(device)


def _belongs(device: FileDevice, array: bytes) -> bool:
    try:
        return read_member(device).superblock.header.set_uuid == array
    except (NotAMember, ArrayUnsupported, MemberUnusable):
        return False


def _join(device: FileDevice, force: bool, take: Callable[[FileDevice], None]) -> None:
    """With ``force`` also what ran apart: what it holds is written over."""
    try:
        take(device)
    except MembersDiverged:
        if not force:
            raise
        _wipe(device)
        take(device)


def _wipe(device: FileDevice) -> None:
    """Forget that the device was a member: its superblock, at the beginning or the end, reads as zeros."""
    edge = min(device.size, EDGE)
    for offset in (0, device.size - edge):
        device.write(offset, bytes(edge))
    device.flush()


# -- results --------------------------------------------------------------------------------------


def _changed(
    context: Context, members: tuple[str, ...], leaving: tuple[str, ...], copies: int | None = None
) -> MembersResult:
    """The members as they are from now on, for the configuration too."""
    kept = (copies or context.spec.copies) if leaving else None
    context.note_members(members, leaving, kept)
    change = {"members": members, "leaving": leaving, "copies": kept}
    return list_members(context).model_copy(update=change)
