"""A device is added: one that belonged to the array and was away, or one that is new.

What was away is judged by the same function that judges members at a start, against a member
that is in sync now: it catches up from the bitmap, or is filled, or it ran apart and is refused.
"""

from collections.abc import Container

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.changes.blank import prepare
from twinlock.block.mirror.changes.enlist import free_number, install, joining, store_stale_bitmap
from twinlock.block.mirror.member import Member, MemberState, read_member
from twinlock.block.mirror.reconcile import Plan, Verdict, View, account, reconcile
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.running import Running
from twinlock.block.mirror.superblock import ROLE_SPARE
from twinlock.errors import ArrayUnsupported, MembersDiverged, NotAMember, NotPossibleNow


def add_member(running: Running, device: BlockDevice, reserved: Container[int] = ()) -> None:
    """Take ``device`` in: it fills a free place at once (none that is ``reserved``), or waits as a spare.

    A stale member of this array keeps what it holds and catches up; anything else is prepared anew.
    Raises MemberTooSmall, MemberUnusable, MembersDiverged or NotPossibleNow, with the array unchanged.
    """
    with running.turn:
        member, verdict = to_be_added(running, device)
        places = [place for place in running.record.free_places() if place not in reserved]
        with joining(running):
            forget_former(running.record, member)
            running.record.members.append(member)
            if places:
                place = _own_place(member, places)
                install(running, member, place, by_bitmap=verdict is Verdict.CATCH_UP)
            else:
                _wait(running.record, member)


def to_be_added(running: Running, device: BlockDevice) -> tuple[Member, Verdict]:
    """The device as a member that may join, and how much of the array it lacks."""
    record = running.record
    found = _belonging(record, device)
    if found is not None:
        _refuse_copies(record, found)
        verdict = _judge(record, found)
        if found.superblock.header.data_size >= record.common.header.size:
            return found, verdict
    # A device that was away while the array grew may have been enlarged since, or not: that is seen anew.
    return prepare(record, device, free_number(record), running.clock()), Verdict.REBUILD


def _belonging(record: Record, device: BlockDevice) -> Member | None:
    """What the device is to this array; None for a device of another one, or none."""
    try:
        found = read_member(device)
    except (NotAMember, ArrayUnsupported):
        return None
    ours = found.superblock.header.set_uuid == record.common.header.set_uuid
    return found if ours else None


def _refuse_copies(record: Record, found: Member) -> None:
    uuid = found.superblock.header.device_uuid
    for member in (*record.live(), *record.spares()):
        if member.superblock.header.device_uuid == uuid:
            raise NotPossibleNow(reason=f"{found.path} is a copy of {member.path}, which is in use")


def _judge(record: Record, found: Member) -> Verdict:
    """What it lacks, by the word of a member that is in sync."""
    source = record.readers[0]
    right = View(source.path, source.superblock, record.bitmap.header)
    theirs = View(found.path, found.superblock, None if found.bitmap is None else found.bitmap.header)
    plan = reconcile([right, theirs])
    if plan is None or plan.freshest != 0 or plan.verdicts[1] is Verdict.DIVERGED:
        raise _diverged([right, theirs], plan)
    return Verdict.CATCH_UP if plan.lacks_only_marked(1) else Verdict.REBUILD


def _diverged(views: list[View], plan: Plan | None) -> MembersDiverged:
    apart = plan or Plan(0, (Verdict.IN_SYNC, Verdict.DIVERGED), (0, None), clean=False, bitmap_valid=False)
    path = views[1].path
    choice = (
        f"to add it all the same, and lose what only {path} has: --force; to see what that is, or to go on "
        "with it instead: lock the volume, disconnect the other members, and unlock it"
    )
    return MembersDiverged(account=account(views, apart), choice=choice)


def forget_former(record: Record, member: Member) -> None:
    """What failed and comes back is one member, not two."""
    uuid = member.superblock.header.device_uuid
    for other in list(record.members):
        same = other.path == member.path or other.superblock.header.device_uuid == uuid
        if same and other.state in (MemberState.FAULTY, MemberState.SPARE):
            record.members.remove(other)
            other.forget()


def _own_place(member: Member, places: list[int]) -> int:
    role = member.superblock.role
    return role if role in places else places[0]


def _wait(record: Record, member: Member) -> None:
    """Make it a spare, by its own word too."""
    roles = list(member.superblock.roles)
    number = member.dev_number
    others = {other.dev_number for other in record.members if other is not member}
    if number in others or number >= len(roles):
        number = free_number(record)
        roles += [ROLE_SPARE] * (number + 1 - len(roles))
    roles[number] = ROLE_SPARE
    member.superblock = member.superblock.change(roles=tuple(roles), dev_number=number)
    store_stale_bitmap(record, member)
    member.state, member.role = MemberState.SPARE, None
    record.attach(member, record.size)  # its checksums go with every superblock from now on
