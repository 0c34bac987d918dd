"""A member is replaced by another, and both are part of the array until the new one is complete.

The array has one place more meanwhile, so it never has fewer copies than before.  To md that is
an array that was given a place, and then one that was given up.  When the new member is in sync, one
commit gives it the old one's place and takes the additional one away.
"""

from dataclasses import dataclass

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.changes.add import forget_former, to_be_added
from twinlock.block.mirror.changes.enlist import install, joining
from twinlock.block.mirror.changes.leave import find
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.running import Running
from twinlock.errors import NotPossibleNow


@dataclass(frozen=True, slots=True)
class Replacement:
    """One that is under way."""

    old: Member
    new: Member

    @property
    def place(self) -> int:
        """The place that is kept for the new member."""
        return self.old.role or 0


def begin_replacement(
    running: Running, present: Replacement | None, path: str, device: BlockDevice
) -> Replacement:
    """Give the array one place more, for ``device``; nothing is changed if that cannot be.

    Raises NoSuchMember, NotPossibleNow, and what :func:`to_be_added` raises.
    """
    record = running.record
    refuse_during_replacement(present)
    old = find(record, path)
    if old.role is None:
        raise NotPossibleNow(reason=f"{path} has no place in the array; remove it, and add another")
    new, _verdict = to_be_added(running, device)
    with joining(running):
        place = record.places
        forget_former(record, new)
        record.members.append(new)
        install(running, new, place, by_bitmap=False)
        record.common = record.common.change(raid_disks=place + 1)
    return Replacement(old, new)


def resume_replacement(running: Running, path: str, new_path: str) -> Replacement:
    """Go on with a replacement that a restart cut off: the new member has the additional place."""
    old, new = find(running.record, path), find(running.record, new_path)
    if old.role is None or new.role != running.record.places - 1 or old is new:
        raise NotPossibleNow(reason=f"{new.path} is not being filled to replace {old.path}")
    return Replacement(old, new)


def refuse_during_replacement(present: Replacement | None) -> None:
    """Raise NotPossibleNow while a member is being replaced."""
    if present is not None:
        raise NotPossibleNow(reason=f"{present.old.path} is being replaced by {present.new.path}")


def go_on(running: Running, work: Replacement) -> Replacement | None:
    """Finish a replacement if it can be, one way or the other; None once it is over."""
    if work.new.state is MemberState.IN_SYNC:
        _swap(running, work)
    elif work.new.state is not MemberState.REBUILDING:
        _give_up(running)
    else:
        return work
    return None


def _swap(running: Running, work: Replacement) -> None:
    record = running.record
    record.flush_without(work.old)
    if work.new.state is not MemberState.IN_SYNC:  # it was lost in that flush: the old one stays
        _give_up(running)
        return
    with running.change():
        work.old.state = MemberState.FAULTY  # in the others' tables; its own superblock is left alone
        work.new.role = work.place
        record.common = record.common.change(raid_disks=record.places - 1)
        if work.old in record.members:
            record.members.remove(work.old)
    work.old.release()
    work.old.forget()


def _give_up(running: Running) -> None:
    """The new member failed, or was removed: the additional place goes."""
    record = running.record
    with running.change():
        if record.places - 1 in record.free_places():
            record.common = record.common.change(raid_disks=record.places - 1)
