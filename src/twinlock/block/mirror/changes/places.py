"""How many members the array should have: as ``mdadm --grow --raid-devices``."""

from collections.abc import Sequence

from twinlock.block.mirror.changes.enlist import fill_places
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.running import Running
from twinlock.errors import NotPossibleNow

MOST = 16
"""Places; more copies than anybody keeps, and few enough for every metadata version."""


def set_places(running: Running, count: int) -> None:
    """Change the number of places; spares fill new ones.  Raises NotPossibleNow."""
    if not 1 <= count <= MOST:
        raise NotPossibleNow(reason=f"an array has 1 to {MOST} places")
    record = running.record
    with running.turn:
        if count == record.places:
            return
        with running.change():
            live = sorted(record.live(), key=lambda member: member.role or 0)
            if len(live) > count:
                raise NotPossibleNow(reason=f"{len(live)} members take part; remove one of them first")
            _move(live, count)
            record.common = record.common.change(raid_disks=count)
        fill_places(running)


def _move(live: Sequence[Member], count: int) -> None:
    """Members in places that are given up get others.  Nobody else moves: stale members know them by it."""
    free = sorted(set(range(count)) - {member.role for member in live})
    moving = [member for member in live if member.role is not None and member.role >= count]
    for member, place in zip(moving, free, strict=False):
        member.role = place
