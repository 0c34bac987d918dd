"""Who is right?  A pure function of the members' superblocks and bitmap headers.

The event count orders what was written: every change of the array's state adds to
it on all members that are there.  A member that is one event behind was cut off in
the middle of such a change, and is as good as the rest (md reads it so too); one
that is further behind has missed writes.  Two members that each go on without the
other have both counted, and neither count means anything to the other.

So a member that is behind has to belong to the past of the freshest.  Its table of
roles says which devices were part of the array when it was last written: if one of
them is of the freshest line, that one has seen all that the member has.  Devices are told apart by their
number; a place says little, for whoever replaces a disk gets the place of the old one.  But a device keeps
its place as long as the array has that place, which tells apart two devices that were given one number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from twinlock.block.mirror.bitmap import STALE, BitmapHeader
from twinlock.block.mirror.superblock import ROLE_FAULTY, ROLE_MAX, ROLE_SPARE, TIME_MASK, Feature, Superblock

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
    by_bitmap: tuple[bool, ...] = ()
    """Who lacks only what is marked, be there a place for it or not."""

    def lacks_only_marked(self, index: int) -> bool:
        """True if the member of that index can catch up from the bitmap, were there a place for it."""
        return self.by_bitmap[index]

    def having(self, verdict: Verdict) -> list[int]:
        """The indices of the views with this verdict."""
        return [index for index, found in enumerate(self.verdicts) if found is verdict]


def reconcile(views: Sequence[View], expected_uuid: bytes | None = None) -> Plan | None:
    """Decide; None if no member is complete (each was still being filled, or is a spare).

    Without ``expected_uuid`` the array is that of the member with most events.
    """
    complete = [
        index
        for index, view in enumerate(views)
        if is_complete(view.superblock) and _expected(view, expected_uuid)
    ]
    if not complete:
        return None
    candidates = [views[index] for index in complete]
    freshest = max(complete, key=lambda index: (*_freshness(views[index], candidates), -index))
    judge = views[freshest]
    bitmap_valid = _bitmap_valid(judge)
    line = [judge.superblock, *(view.superblock for view in views if _current(view, judge))]
    verdicts = [_verdict(view, judge, line, bitmap_valid=bitmap_valid) for view in views]
    verdicts[freshest] = Verdict.IN_SYNC
    by_bitmap = tuple(verdict is Verdict.CATCH_UP for verdict in verdicts)
    roles = _assign_roles(views, verdicts, freshest)
    clean = judge.superblock.clean
    return Plan(freshest, tuple(verdicts), tuple(roles), clean, bitmap_valid, by_bitmap)


def ran_apart(one: View, other: View) -> bool:
    """True if each of two members of one array was written to without the other."""
    plan = reconcile([one, other])
    return plan is not None and bool(plan.having(Verdict.DIVERGED))


def _freshness(view: View, others: Sequence[View]) -> tuple[int, int]:
    """What orders members: the event count, and where that is one number, who is called gone by fewer.

    A crash may cut a change off between two superblocks; who lacks it, started alone, counts as far as
    who has it.  Of two of which only one calls the other gone, that one has all that was acknowledged.
    """
    own = view.superblock
    gone = sum(_calls(other.superblock, own) == ROLE_FAULTY for other in others if _rivals(view, other))
    return own.header.events, -gone


def _rivals(view: View, other: View) -> bool:
    """True for two devices of one array with the same event count."""
    mine, its = view.superblock.header, other.superblock.header
    return mine.set_uuid == its.set_uuid and mine.events == its.events and mine.dev_number != its.dev_number


def _expected(view: View, uuid: bytes | None) -> bool:
    return uuid is None or view.superblock.header.set_uuid == uuid


def is_complete(superblock: Superblock) -> bool:
    """True if the device has, or had, all of the array's data."""
    return superblock.active and not superblock.features & Feature.RECOVERY_OFFSET


def _bitmap_valid(view: View) -> bool:
    """As the kernel: a bitmap whose events are behind the superblock's missed changes."""
    bitmap = view.bitmap
    return bitmap is not None and not bitmap.state & STALE and bitmap.events >= view.superblock.header.events


def _verdict(view: View, judge: View, line: Sequence[Superblock], *, bitmap_valid: bool) -> Verdict:
    theirs, right = view.superblock, judge.superblock
    if theirs.header.set_uuid != right.header.set_uuid:
        return Verdict.OTHER_ARRAY
    if theirs.header.events > right.header.events + EVENT_MARGIN:
        return Verdict.DIVERGED  # it is not complete, and has seen what no complete member here has
    if not theirs.active:
        return Verdict.REBUILD
    bond = _bond(theirs, line)
    if bond is _Bond.NONE:
        return Verdict.DIVERGED if _has_been_filled(theirs) else Verdict.REBUILD
    if _agree(view, judge):
        return _unfinished(view, judge, bitmap_valid=bitmap_valid)
    return _stale(view, judge, bitmap_valid=bitmap_valid and bond is _Bond.WITNESSED)


def _has_been_filled(superblock: Superblock) -> bool:
    """True if it was complete once; who never was holds nothing that a complete one does not."""
    features = superblock.features
    return not features & Feature.RECOVERY_OFFSET or bool(features & Feature.RECOVERY_BITMAP)


# -- is it of the freshest one's past? ------------------------------------------------------------


class _Bond(Enum):
    """How sure it is that the freshest line has seen all that a member has."""

    WITNESSED = auto()
    """A device that was there when the member was last written is, or lately was, of the line."""
    INHERITED = auto()
    """No such device is left; but it was never written to without them, or the line saw them all fail."""
    NONE = auto()


def _bond(theirs: Superblock, line: Sequence[Superblock]) -> _Bond:
    """``line`` is the freshest and who agrees with it."""
    right = line[0]
    own = theirs.header.dev_number
    if any(_calls(theirs, one) == one.role and not _namesake(theirs, one) for one in line):
        return _Bond.WITNESSED
    if _had_to_move(theirs, line) or any(_know_each_other(theirs, one) for one in line):
        return _Bond.WITNESSED
    companions = [number for number in _live(theirs) if number != own]
    inherited = bool(companions) and (_outlived(right, theirs) or _lost_nobody(right, theirs))
    if any(
        _calls(theirs, one) != ROLE_SPARE for one in line
    ):  # outlived, moved, or another one of that number
        return _Bond.INHERITED if inherited else _Bond.NONE
    if any(right.role_of(number) == theirs.role_of(number) for number in companions):
        return _Bond.WITNESSED
    return _Bond.INHERITED if inherited else _Bond.NONE


def _calls(theirs: Superblock, other: Superblock) -> int:
    return theirs.role_of(other.header.dev_number)


def _know_each_other(theirs: Superblock, other: Superblock) -> bool:
    """True if each calls the other a part of the array: whoever goes on alone calls the others gone first."""
    mutual = max(_calls(theirs, other), _calls(other, theirs)) <= ROLE_MAX
    return mutual and not _namesake(theirs, other)


def _had_to_move(theirs: Superblock, line: Sequence[Superblock]) -> bool:
    """True if theirs knows one of the line in a place that was given up since, and saw none of them fail.

    A replacement has an additional place until it is complete; and places may become fewer.
    """
    right = line[0]
    live = [number for number, role in enumerate(right.roles) if role <= ROLE_MAX]
    if any(theirs.role_of(number) > ROLE_MAX for number in live):
        return False
    known = (one for one in line if not _namesake(theirs, one))
    return any(right.header.raid_disks <= _calls(theirs, one) < theirs.header.raid_disks for one in known)


def _namesake(theirs: Superblock, other: Superblock) -> bool:
    """True for two devices that were given one number; copies of one device are not."""
    mine, its = theirs.header, other.header
    return mine.dev_number == its.dev_number and mine.device_uuid != its.device_uuid


def _live(table: Superblock) -> list[int]:
    return [number for number, role in enumerate(table.roles) if role <= ROLE_MAX]


def _outlived(right: Superblock, theirs: Superblock) -> bool:
    """True if ``right`` came later, saw every device of ``theirs`` fail, and ``theirs`` saw none fail before.

    Then nobody was left but ``right`` who could have gone on.  A place that is called spare
    (the kernel forgets who is missing) proves nothing; a number that is higher speaks for a later device.
    """
    known = _live(theirs)
    return (
        ROLE_FAULTY not in theirs.roles
        and all(right.role_of(number) == ROLE_FAULTY for number in known)
        and right.header.dev_number > max(known)
    )


def _lost_nobody(right: Superblock, theirs: Superblock) -> bool:
    """True if no device ever left before ``theirs`` was written: every number up to the highest has a place.

    Every place has a device, too, so nobody is missing whom the kernel forgot.  Such a member was never
    written to alone: whoever of its companions went on has seen all that it has, and so has who came after.
    ``right`` has to know all of them still, for a table that forgets may have been left behind by a return.
    """
    known = _live(theirs)
    places = sorted(theirs.role_of(number) for number in known)
    complete = known == list(range(len(known))) and places == list(range(theirs.header.raid_disks))
    return complete and all(right.role_of(number) != ROLE_SPARE for number in known)


# -- how much of it is missing? -------------------------------------------------------------------


def _agree(view: View, judge: View) -> bool:
    """True if the freshest calls it a part of the array, and it has missed nothing since."""
    theirs, right = view.superblock, judge.superblock
    expected = right.role_of(theirs.header.dev_number) == theirs.role and _calls(theirs, right) == right.role
    return expected and theirs.header.events + EVENT_MARGIN >= right.header.events


def _current(view: View, judge: View) -> bool:
    same_array = view.superblock.header.set_uuid == judge.superblock.header.set_uuid
    return same_array and is_complete(view.superblock) and _agree(view, judge)


def _unfinished(view: View, judge: View, *, bitmap_valid: bool) -> Verdict:
    """What is left to do for a member that has missed nothing.

    Without a bitmap nobody knows what is to be copied below the recovery offset, after a crash.
    """
    features = view.superblock.features
    if not features & Feature.RECOVERY_OFFSET:
        return Verdict.IN_SYNC
    if features & Feature.RECOVERY_BITMAP:
        return Verdict.CATCH_UP if bitmap_valid else Verdict.REBUILD
    stopped_cleanly = judge.superblock.clean and view.superblock.clean
    return Verdict.CONTINUE if bitmap_valid or stopped_cleanly else Verdict.REBUILD


def _stale(view: View, judge: View, *, bitmap_valid: bool) -> Verdict:
    theirs = view.superblock
    filled = not theirs.features & Feature.RECOVERY_OFFSET or theirs.features & Feature.RECOVERY_BITMAP
    if theirs.header.size != judge.superblock.header.size:
        return Verdict.REBUILD  # the bitmap says nothing of what was added to the array without it
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
    right = views[freshest].superblock
    for verdict in (Verdict.IN_SYNC, Verdict.CATCH_UP, Verdict.CONTINUE, Verdict.REBUILD):
        alike = [index for index in freshest_first if verdicts[index] is verdict]
        for index in sorted(alike, key=lambda index: not _expected_by(right, views[index].superblock)):
            superblock = views[index].superblock
            wanted = right.role_of(superblock.header.dev_number)
            if verdict not in _MOVABLE or wanted > ROLE_MAX:
                wanted = superblock.role
            place = _place(wanted, free, any_place=verdict in _MOVABLE)
            if verdict in _MOVABLE and superblock.header.data_size < right.header.size:
                place = None  # the array has grown without it: a start without it is better than none
            if place is None or superblock.header.dev_number in numbers:
                verdicts[index] = Verdict.SPARE
                continue
            roles[index] = place
            free.discard(place)
            numbers.add(superblock.header.dev_number)
    return roles


def _expected_by(right: Superblock, theirs: Superblock) -> bool:
    """True if the freshest gives the device a place: a change of places may have been cut off."""
    return right.role_of(theirs.header.dev_number) <= ROLE_MAX


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
    """How to choose between members that ran apart: also before anything is configured."""
    judge = views[plan.freshest]
    others = _names([views[index] for index in plan.having(Verdict.DIVERGED)])
    return (
        f"to go on with {judge.path}, and lose what only {others} has: twinlock member choose NAME "
        f"{judge.path} (NAME is the volume's); or the other way round; where the volume is not configured "
        "yet, disconnect what you do not want"
    )


def _names(views: Sequence[View]) -> str:
    return " and ".join(view.path for view in views)


def _when(view: View) -> str:
    header = view.superblock.header
    time = datetime.fromtimestamp(header.utime & TIME_MASK, UTC)
    return f"{view.path} was last changed {time:%Y-%m-%d %H:%M:%S} UTC at event {header.events}"
