"""How much memory there is for a key derivation, and what new keys may cost in it.

Opening a keyslot takes the memory it was made with, also on a day when there is less.  So new ones take at
most half of what is available now: to the machine (proc_meminfo(5)), to this process's control groups
(cgroup(7)) and to itself (getrlimit(2)).  One that is there is tried if it fits into memory and swap space
together: slow is better than not at all, and not at all is better than a process that the kernel kills.
"""

from collections.abc import Iterator
from pathlib import Path

from twinlock.errors import BadOption, MemoryShort
from twinlock.luks.device import Cost
from twinlock.luks.opening import fits
from twinlock.server.key_tasks import LONGEST_ITER_TIME
from twinlock.units import GIB, KIB, MIB, format_size

USUAL = GIB
"""Bytes that libcryptsetup takes for Argon2id where there is enough."""
FLOOR = 64 * MIB
"""Bytes below which a guess would become too cheap."""
_SHARE = 2
_ROOT = Path("/")
_LIMITS = (("Max address space", "VmSize"), ("Max data size", "VmData"))
_OLD = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def available_memory(root: Path = _ROOT, *, swap: bool = False) -> int | None:
    """Bytes that a process may take without harm, with what can be swapped out if ``swap``.

    None if the system does not say.
    """
    spare = _meminfo(root, "SwapFree") or 0 if swap else 0
    machine = _meminfo(root, "MemAvailable")
    known = [None if machine is None else machine + spare, *_groups(root, spare), *_limits(root)]
    return min((each for each in known if each is not None), default=None)


def new_key_cost(milliseconds: int | None, available: int | None) -> tuple[Cost, str | None]:
    """What a new key shall cost, and what to say if that is less than usual.

    Raises BadOption for a time that nobody can mean, MemoryShort where there is less than :data:`FLOOR`.
    """
    if milliseconds is not None and not 0 <= milliseconds <= LONGEST_ITER_TIME:
        raise BadOption(option="--iter-time", reason=f"it is 0 to {LONGEST_ITER_TIME} milliseconds")
    if available is None or available >= _SHARE * USUAL or milliseconds == 0:
        return Cost(milliseconds), None
    if not fits(FLOOR, available):
        needed, free = format_size(FLOOR), format_size(available)
        raise MemoryShort(what="making a key that is hard to guess", needed=needed, available=free)
    memory = max(FLOOR, available // _SHARE)
    told = (
        f"memory is short here, so trying a passphrase takes {format_size(memory)} at most instead of "
        f"{format_size(USUAL)}; change the key where there is more"
    )
    return Cost(milliseconds, memory), told


def _meminfo(root: Path, wanted: str) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        name, _, value = line.partition(":")
        if name == wanted:
            return int(value.split()[0]) * KIB
    return None


def _groups(root: Path, spare: int) -> Iterator[int | None]:
    """What each control group leaves, this process's own and those around it; ``spare``: swap space, or 0."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for limit in ("memory.max", "memory.high"):
                yield from _around(root / "sys/fs/cgroup", path, limit, "memory.current", spare)
        elif "memory" in controllers.split(","):
            yield from _around(root / "sys/fs/cgroup/memory", path, *_OLD, 0)


def _limits(root: Path) -> Iterator[int]:
    """What the process's own limits leave it."""
    used = dict(line.split(":", 1) for line in _lines(root / "proc/self/status") if ":" in line)
    for line in _lines(root / "proc/self/limits"):
        for name, field in _LIMITS:
            limit = line.removeprefix(name).split()
            if line.startswith(name) and limit[0].isdigit() and field in used:
                yield max(0, int(limit[0]) - int(used[field].split()[0]) * KIB)


def _around(mount: Path, path: str, limit: str, usage: str, spare: int) -> Iterator[int | None]:
    group = mount / path.strip("/")
    for folder in (group, *group.parents):
        if folder == mount.parent:
            return
        most, used = _number(folder / limit), _number(folder / usage)
        if most is not None and used is not None:
            yield max(0, most - used + _reclaimable(folder) + _swap(folder, spare))


def _swap(folder: Path, spare: int) -> int:
    """What of the machine's free swap space the group may take."""
    most, used = _number(folder / "memory.swap.max"), _number(folder / "memory.swap.current")
    return spare if most is None or used is None else max(0, min(spare, most - used))


def _reclaimable(folder: Path) -> int:
    """The page cache counts as used, but goes when memory is asked for."""
    fields = dict(line.split() for line in _lines(folder / "memory.stat") if len(line.split()) == 2)
    return int(fields.get("inactive_file", 0)) + int(fields.get("active_file", 0))


def _number(path: Path) -> int | None:
    found = next(iter(_lines(path)), "")
    return int(found) if found.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
