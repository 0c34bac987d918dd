"""The device table of metadata 0.90, made of roles and read as roles.

The kernel numbers devices anew whenever it writes the table: who is in sync has the number of its
place, whoever else is there (spares, and what is being filled: it is a spare there) has numbers from
``raid_disks`` on, and a place with nobody in sync is called removed and faulty.  So do we, for mdadm
shows the first entries only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from twinlock.block.mirror.metadata.structure0 import DEVICES, NOTHING, Device0, DeviceState
from twinlock.block.mirror.superblock import ROLE_FAULTY, ROLE_MAX, ROLE_SPARE, Superblock

_GONE = DeviceState.FAULTY | DeviceState.REMOVED
_IN_SYNC = DeviceState.ACTIVE | DeviceState.SYNC


@dataclass(frozen=True, slots=True)
class Table:
    """Entries by their number on disk; ``own`` is the number of the device they are on."""

    entries: Mapping[int, Device0]
    own: int

    def build(self) -> bytes:
        """The table and the entry of the device itself, as they go to disk."""
        numbered = [self.entries.get(number, NOTHING).build() for number in range(DEVICES)]
        return b"".join(numbered) + self.entries.get(self.own, NOTHING).build()

    def counts(self) -> dict[str, int]:
        """The fields of the header that count devices, as the kernel does."""
        states = [DeviceState(entry.state) for entry in self.entries.values()]
        there = [state for state in states if not state & DeviceState.REMOVED]
        active = sum(bool(state & DeviceState.SYNC) for state in there)
        spare = sum(not state & (_IN_SYNC | _GONE) for state in there)
        return {
            "nr_disks": len(there),
            "active_disks": active,
            "working_disks": active + spare,
            "failed_disks": len(states) - len(there),
            "spare_disks": spare,
        }


def roles(entries: Sequence[Device0]) -> tuple[int, ...]:
    """The role of each number."""
    return tuple(_role(entry) for entry in entries)


def waiting(entries: Sequence[Device0]) -> frozenset[int]:
    """The numbers of devices that are there, and not in sync."""
    return frozenset(
        number
        for number, entry in enumerate(entries)
        if entry.number == number != 0 and not entry.state & ~_MARKS
    )


def _role(entry: Device0) -> int:
    if entry.state & _GONE:
        return ROLE_FAULTY
    return entry.raid_disk if entry.state & DeviceState.SYNC else ROLE_SPARE


def table(superblock: Superblock, before: Sequence[Device0], own_flags: DeviceState) -> Table:
    """The table that says what ``superblock`` says; ``before`` is the one that it was read from."""
    numbers = dict(_numbers(superblock, before))
    own = numbers.get(superblock.header.dev_number, superblock.header.dev_number % DEVICES)
    entries = {place: _gone(place) for place in range(min(superblock.header.raid_disks, DEVICES))}
    for old, number in numbers.items():
        flags = own_flags if number == own else _flags(before, old)
        entries[number] = _entry(superblock, before, old, number, flags)
    return Table(entries, own)


def _numbers(superblock: Superblock, before: Sequence[Device0]) -> Iterator[tuple[int, int]]:
    """Pairs of a device's number in memory and on disk."""
    places = superblock.header.raid_disks
    whole = {
        number: role
        for number, role in enumerate(superblock.roles)
        if role <= ROLE_MAX and number not in superblock.waiting
    }
    yield from whole.items()
    others = sorted(superblock.waiting | _own_spare(superblock))
    taken: set[int] = set()
    for old in others:
        number = old if places <= old < DEVICES and old not in taken else _free(places, taken | set(others))
        taken.add(number)
        if number < DEVICES:
            yield old, number


def _free(places: int, taken: set[int]) -> int:
    return next(number for number in range(places, places + len(taken) + 1) if number not in taken)


def _own_spare(superblock: Superblock) -> set[int]:
    """The device that the table is on, if it is a spare."""
    return {superblock.header.dev_number} if superblock.role == ROLE_SPARE else set()


_MARKS = DeviceState.WRITE_MOSTLY | DeviceState.FAILFAST


def _flags(before: Sequence[Device0], old: int) -> DeviceState:
    return DeviceState(before[old].state & _MARKS) if old < len(before) else DeviceState(0)


def _entry(
    superblock: Superblock, before: Sequence[Device0], old: int, number: int, flags: DeviceState
) -> Device0:
    known = before[old] if old < len(before) else NOTHING
    in_sync = number < superblock.header.raid_disks
    state = (_IN_SYNC if in_sync else DeviceState(0)) | flags
    return Device0(number=number, major=known.major, minor=known.minor, raid_disk=number, state=int(state))


def _gone(place: int) -> Device0:
    return Device0(number=place, raid_disk=place, state=int(_GONE))
