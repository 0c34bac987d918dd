"""Who is right?  A pure function of the members' superblocks and bitmap headers.

The event count orders what was written: every change of the array's state adds to
it on all members that are there.  A member that is one event behind was cut off in
the middle of such a change, and is as good as the rest (md reads it so too); one
that is further behind has missed writes.  Two members that each go on without the
other have both counted, and neither count means anything to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from twinlock.block.mirror.bitmap import STALE, BitmapHeader
from twinlock.block.mirror.superblock import TIME_MASK, Feature, Superblock

EVENT_MARGIN = 1
"""How many events a member may be behind and still be in sync."""


@dataclass(frozen=True, slots=True)
class View:
    """What one member says.  ``bitmap`` is None if it has none that can be used."""

    path: str
    superblock: Superblock
    bitmap: BitmapHeader | None


class Verdict(Enum):
    """What is to be done with a member."""

    IN_SYNC = auto()
    """It holds what the array holds (but for marked chunks, if the array is not clean)."""
    CATCH_UP = auto()
    """It missed some writes; the bitmap knows which."""
    CONTINUE = auto()
    """It was being filled, in order, and goes on at its recovery offset."""
    REBUILD = auto()
    """It has to be filled from the start."""
    SPARE = auto()
    """There is no place for it."""
    OTHER_ARRAY = auto()
    DIVERGED = auto()
    """It was written to without the freshest, and the freshest without it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``verdicts`` and ``roles`` are as long as the views; ``freshest`` is the index of who is right.

    ``bitmap_valid`` is False if the freshest member's bitmap does not tell what is marked.
    """

    freshest: int
    verdicts: tuple[Verdict, ...]
    roles: tuple[int | None, ...]
    clean: bool
    bitmap_valid: bool

    def having(self, verdict: Verdict) -> list[int]:
        """The indices of the views with this verdict."""
        return [index for index, found in enumerate(self.verdicts) if found is verdict]


def reconcile(views: Sequence[View], expected_uuid: bytes | None = None) -> Plan | None:
    """Decide; None if no member is complete (each was still being filled, or is a spare).

    Without ``expected_uuid`` the array is that of the member with most events.
    """
    complete = [
        index for index, view in enumerate(views) if _complete(view) and _expected(view, expected_uuid)
    ]
    if not complete:
        return None
    freshest = max(complete, key=lambda index: (views[index].superblock.header.events, -index))
    judge = views[freshest]
    bitmap_valid = _bitmap_valid(judge)
    verdicts = [_verdict(view, judge, bitmap_valid=bitmap_valid) for view in views]
    verdicts[freshest] = Verdict.IN_SYNC
    roles = _assign_roles(views, verdicts, freshest)
    clean = judge.superblock.clean
    return Plan(freshest, tuple(verdicts), tuple(roles), clean, bitmap_valid)


def _expected(view: View, uuid: bytes | None) -> bool:
    return uuid is None or view.superblock.header.set_uuid == uuid


def _complete(view: View) -> bool:
    return view.superblock.active and not view.superblock.features & Feature.RECOVERY_OFFSET


def _bitmap_valid(view: View) -> bool:
    """As the kernel: a bitmap whose events are behind the superblock's missed changes."""
    bitmap = view.bitmap
    return bitmap is not None and not bitmap.state & STALE and bitmap.events >= view.superblock.header.events


def _verdict(view: View, judge: View, *, bitmap_valid: bool) -> Verdict:
    theirs, right = view.superblock, judge.superblock
    if theirs.header.set_uuid != right.header.set_uuid:
        return Verdict.OTHER_ARRAY
    if not theirs.active:
        return Verdict.REBUILD
    if _went_alone(theirs, right):
        return Verdict.DIVERGED
    current = right.role_of(theirs.header.dev_number) == theirs.role
    if current and theirs.header.events + EVENT_MARGIN >= right.header.events:
        return _current(theirs, bitmap_valid=bitmap_valid)
    return _stale(view, judge, bitmap_valid=bitmap_valid)


def _went_alone(theirs: Superblock, right: Superblock) -> bool:
    """True if the device was part of an array in which the freshest one's place was empty."""
    return right.role != theirs.role and right.role not in theirs.roles


def _current(theirs: Superblock, *, bitmap_valid: bool) -> Verdict:
    if not theirs.features & Feature.RECOVERY_OFFSET:
        return Verdict.IN_SYNC
    by_bitmap = theirs.features & Feature.RECOVERY_BITMAP and bitmap_valid
    return Verdict.CATCH_UP if by_bitmap else Verdict.CONTINUE


def _stale(view: View, judge: View, *, bitmap_valid: bool) -> Verdict:
    theirs = view.superblock
    filled = not theirs.features & Feature.RECOVERY_OFFSET or theirs.features & Feature.RECOVERY_BITMAP
    cleared = judge.bitmap.events_cleared if judge.bitmap is not None else 0
    if filled and bitmap_valid and theirs.header.events >= cleared:
        return Verdict.CATCH_UP
    return Verdict.REBUILD


_MOVABLE = (Verdict.CATCH_UP, Verdict.REBUILD)
"""Who may get another place than it had."""


def _assign_roles(views: Sequence[View], verdicts: list[Verdict], freshest: int) -> list[int | None]:
    """Places: members in sync keep theirs; the others get theirs back, or a free one, or none."""
    roles: list[int | None] = [None] * len(views)
    free = set(range(views[freshest].superblock.header.raid_disks))
    numbers: set[int] = set()
    freshest_first = sorted(range(len(views)), key=lambda index: index != freshest)
    for verdict in (Verdict.IN_SYNC, Verdict.CATCH_UP, Verdict.CONTINUE, Verdict.REBUILD):
        for index in [index for index in freshest_first if verdicts[index] is verdict]:
            superblock = views[index].superblock
            place = _place(superblock.role, free, any_place=verdict in _MOVABLE)
            if place is None or superblock.header.dev_number in numbers:
                verdicts[index] = Verdict.SPARE
                continue
            roles[index] = place
            free.discard(place)
            numbers.add(superblock.header.dev_number)
    return roles


def _place(wanted: int, free: set[int], *, any_place: bool) -> int | None:
    if wanted in free:
        return wanted
    return min(free, default=None) if any_place else None


def account(views: Sequence[View], plan: Plan) -> str:
    """One sentence about members that ran apart: who was written when, and which is newer."""
    judge = views[plan.freshest]
    others = [views[index] for index in plan.having(Verdict.DIVERGED)]
    told = "; ".join(f"{_when(view)}, without {judge.path}" for view in others)
    return f"{_when(judge)} (more changes than any other), without {_names(others)}; {told}"


def choice(views: Sequence[View], plan: Plan) -> str:
    """How to choose between members that ran apart."""
    judge = views[plan.freshest]
    others = _names([views[index] for index in plan.having(Verdict.DIVERGED)])
    return (
        f"to go on with {judge.path}, disconnect (or move away) {others} and unlock again; "
        f"to go on with {others}, disconnect {judge.path}"
    )


def _names(views: Sequence[View]) -> str:
    return " and ".join(view.path for view in views)


def _when(view: View) -> str:
    header = view.superblock.header
    time = datetime.fromtimestamp(header.utime & TIME_MASK, UTC)
    return f"{view.path} was last changed {time:%Y-%m-%d %H:%M:%S} UTC at event {header.events}"
