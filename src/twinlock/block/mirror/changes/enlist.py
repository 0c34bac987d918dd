"""Members that wait get free places: at once when they are added, or when a place becomes free."""

from collections.abc import Container, Iterator
from contextlib import contextmanager

from twinlock.block.mirror.bitmap import STALE, Bitmap
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.reconcile import is_complete
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.running import Running
from twinlock.block.mirror.superblock import MAX_DEVICES, ROLE_SPARE, Feature
from twinlock.errors import DeviceError, NotPossibleNow, SpaceExhausted


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
    """Give free places (but ``reserved`` ones) to members that wait; True if that was possible for any.

    Who cannot be written to is called faulty, and the next one is tried; who has no room goes on waiting.
    Raises SpaceExhausted if nobody else could take the place, and as :meth:`Running.change` does.
    """
    places = [place for place in running.record.free_places() if place not in reserved]
    filled = [_fill(running, place) for place in places]
    return any(filled)


def _fill(running: Running, place: int) -> bool:
    full: SpaceExhausted | None = None
    for member in candidates(running.record):
        try:
            with running.change():
                install(running, member, place, by_bitmap=False)
        except DeviceError as error:
            if member.state is not MemberState.SPARE:
                raise  # it has the place; what failed is to put that down
            member.role = None
            if isinstance(error, SpaceExhausted):
                full = error
            else:
                _give_up(running, member, place, error)
        else:
            return True
    if full is not None:
        raise full
    return False


def _give_up(running: Running, member: Member, place: int, error: DeviceError) -> None:
    """A member that was to take ``place`` is faulty: nobody may wait for it again and again."""
    with running.record.lock, running.record.change():
        member.state, member.error = MemberState.FAULTY, error
    running.observer.member_failed(place, error)


def install(running: Running, member: Member, place: int, *, by_bitmap: bool) -> None:
    """Give a member a place, where it is filled.  To be called within :meth:`Running.change`.

    With ``by_bitmap`` it lacks only what is marked.
    """
    record, intent = running.record, running.intent
    if not by_bitmap:
        _renounce(member)
    _own_number(record, member)
    member.role, member.by_bitmap, member.recovered = place, by_bitmap, 0
    member.error = None
    record.attach(member, record.size)
    for number in record.bitmap.pages:
        member.store_page(record.bitmap, number)
    member.state = MemberState.REBUILDING
    intent.need(intent.known_marked() if by_bitmap else range(record.bitmap.chunks))


def _renounce(member: Member) -> None:
    """Who was complete once, and is to be filled from the start, says that itself, before anybody else does.

    A crash may come before the commit reaches it.  Its old claim would then be judged once more, by members
    of which perhaps none knew it, and a start could be refused for the sake of what was given up.
    """
    own = member.superblock
    if own.active and is_complete(own):
        features = own.features & ~Feature.RECOVERY_BITMAP | Feature.RECOVERY_OFFSET
        waiting = own.waiting | {member.dev_number}
        member.store_superblock(own.change(feature_map=int(features), recovery_offset=0, waiting=waiting))


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
