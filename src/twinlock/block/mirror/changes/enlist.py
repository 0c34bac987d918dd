"""Members that wait get free places: at once when they are added, or when a place becomes free."""

from collections.abc import Container, Iterator
from contextlib import contextmanager

from twinlock.block.mirror.bitmap import STALE, Bitmap
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.running import Running
from twinlock.block.mirror.superblock import MAX_DEVICES, ROLE_SPARE
from twinlock.errors import NotPossibleNow


def free_number(record: Record) -> int:
    """A device number that nobody has; nobody had, if one is left: stale members are told by it."""
    held = {member.dev_number for member in record.members}
    named = {number for number, role in enumerate(record.roles()) if role != ROLE_SPARE}
    later = max(held | named, default=-1) + 1
    if later < MAX_DEVICES:
        return later
    free = sorted(set(range(MAX_DEVICES)) - held)
    if not free:
        raise NotPossibleNow(reason=f"the array has {MAX_DEVICES} members, and can have no more")
    return free[0]


def candidates(record: Record) -> list[Member]:
    """Who could take a place: those that wait, and are no copy of one that takes part, spares first."""
    present = {member.superblock.header.device_uuid for member in record.live()}
    spares = record.spares()
    waiting = [member for member in record.members if member.state is MemberState.SPARE]
    fit = [m for m in waiting if m.superblock.header.device_uuid not in present and _holds(m, record)]
    return sorted(fit, key=lambda member: member not in spares)


def _holds(member: Member, record: Record) -> bool:
    return member.superblock.header.data_size >= record.common.header.size


def fill_places(running: Running, reserved: Container[int] = ()) -> bool:
    """Give free places (but ``reserved`` ones) to members that wait; True if that was possible for any."""
    places = [place for place in running.record.free_places() if place not in reserved]
    chosen = candidates(running.record)[: len(places)]
    if not chosen:
        return False
    with running.change():
        for member, place in zip(chosen, places, strict=False):
            install(running, member, place, by_bitmap=False)
    return True


def install(running: Running, member: Member, place: int, *, by_bitmap: bool) -> None:
    """Give a member a place, where it is filled.  To be called within :meth:`Running.change`.

    With ``by_bitmap`` it lacks only what is marked.
    """
    record, intent = running.record, running.intent
    _own_number(record, member)
    member.role, member.by_bitmap, member.recovered = place, by_bitmap, 0
    member.error = None
    record.attach(member, record.size)
    for number in record.bitmap.pages:
        member.store_page(record.bitmap, number)
    member.state = MemberState.REBUILDING
    intent.need(intent.known_marked() if by_bitmap else range(record.bitmap.chunks))


def store_stale_bitmap(record: Record, member: Member) -> None:
    """Give a spare a bitmap that says of itself that it says nothing.

    mdadm calls a superblock damaged that promises a bitmap and has none; and bits are not kept up to date
    on a member without a place, so nobody shall ever go by them.
    """
    stale = Bitmap(record.bitmap.header.replace(events=0, events_cleared=0, state=STALE))
    for number in stale.pages:
        member.store_page(stale, number)


@contextmanager
def joining(running: Running) -> Iterator[None]:
    """As :meth:`Running.change`; if it fails, the members are those of before, and so are the places."""
    record = running.record
    before, common = list(record.members), record.common
    try:
        with running.change():
            yield
    except BaseException:
        record.restore(before, common)
        raise


def _own_number(record: Record, member: Member) -> None:
    others = {other.dev_number for other in (*record.live(), *record.spares()) if other is not member}
    if member.dev_number in others:
        member.superblock = member.superblock.change(dev_number=free_number(record))
