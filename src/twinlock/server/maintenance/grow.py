"""A volume becomes larger, or has more or fewer copies; its initiators are told.

In this order: files become longer, the array takes in what its members have, and last the logical unit.
After a crash in between, the array is as large as its superblocks say, and a repeated command goes on.
"""

import os
import stat
from collections.abc import Callable

from twinlock.block.mirror.member import MemberState
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import CannotGrow, MemberUnusable
from twinlock.server.maintenance.context import Context
from twinlock.server.tasks import Grow, GrowResult
from twinlock.units import format_size

_USED = (MemberState.IN_SYNC, MemberState.REBUILDING, MemberState.SPARE)


def _grow(task: Grow, context: Context) -> GrowResult:
    context.refuse_bare()
    mirror = context.mirror
    before = mirror.size
    if task.copies is not None:
        mirror.set_places(task.copies)
    if task.size is not None or task.copies is None:
        context.refuse_unwanted()
        _enlarge(mirror, task.size, context.spec.name)
        mirror.grow(None)
    told = context.service.note_size() if context.service is not None else 0
    return GrowResult(
        before=before,
        array_size=mirror.size,
        size=context.service.volume.device.size if context.service is not None else None,
        places=mirror.status().places,
        told=told,
    )


HANDLERS: dict[type, Callable[..., GrowResult]] = {Grow: _grow}


def _enlarge(mirror: Mirror, size: int | None, name: str) -> None:
    """Make the members that are files ``size`` bytes long; raises CannotGrow with none changed."""
    if size is None:
        return
    members = [m.path for m in mirror.status().members if m.path is not None and m.state in _USED]
    files = [path for path in members if stat.S_ISREG(os.stat(path).st_mode)]
    if not files:
        reason = "its members are disks; put in larger ones by twinlock member replace, then leave out --size"
        raise CannotGrow(name=name, reason=reason)
    largest = max(os.stat(path).st_size for path in files)
    if largest > size:
        reason = f"a member has {format_size(largest)} already; it does not become smaller"
        raise CannotGrow(name=name, reason=reason)
    mirror.refuse_longer_members()
    for path in files:
        _make_longer(path, size)


def _make_longer(path: str, size: int) -> None:
    try:
        number = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(number, size)
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        raise MemberUnusable(path=path, reason=f"it cannot be made longer ({error.strerror})") from error
