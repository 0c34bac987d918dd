"""Reads that a member cannot answer: asked of the others, block by block, and put right.

The unit is 4 KiB, whatever was asked for: that is what a page cache reads, so to rewrite
less of a bad block it would first have to read the block.
"""

from collections.abc import Callable, Iterable

from typing_extensions import Buffer

from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.record import Record
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted
from twinlock.units import SECTOR, round_down, round_up


def whole_blocks(record: Record, offset: int, length: int) -> tuple[int, int]:
    """Where the 4 KiB blocks of the range begin and end, in bytes of the array."""
    size = record.common.header.size * SECTOR
    return round_down(offset, BLOCK), min(round_up(offset + length, BLOCK), size)


def read_anywhere(record: Record, observer: Observer, offset: int, length: int) -> Buffer:
    """The range, each 4 KiB of it from the first member in sync that can read it.

    Members that could not are rewritten from the one that could.  The caller holds the range's
    :func:`whole_blocks`.  If no member can read a block, raises MediumError with the offset of the first
    such byte asked for, or DeviceGone if no member is there any more.
    """
    return _assemble(record, offset, length, lambda place, size: _any(record, observer, place, size, offset))


def read_everywhere(record: Record, observer: Observer, offset: int, length: int) -> Buffer:
    """As :func:`read_anywhere`, but each 4 KiB is read from the medium of every member in sync."""
    return _assemble(record, offset, length, lambda place, size: _all(record, observer, place, size, offset))


def _assemble(record: Record, offset: int, length: int, read: Callable[[int, int], bytes]) -> Buffer:
    start, end = whole_blocks(record, offset, length)
    data = b"".join(read(place, size) for place, size in _blocks(start, end))
    return memoryview(data)[offset - start : offset - start + length]


def _blocks(start: int, end: int) -> Iterable[tuple[int, int]]:
    return ((place, min(BLOCK, end - place)) for place in range(start, end, BLOCK))


def _any(record: Record, observer: Observer, place: int, size: int, asked: int) -> bytes:
    broken: dict[Member, DeviceError] = {}
    for member in record.readers:
        try:
            data = bytes(member.data.read(place, size))
        except DeviceError as error:
            broken[member] = error
            continue
        _mend(record, observer, broken, place, data)
        return data
    raise _unreadable(broken, max(place, asked))


def _all(record: Record, observer: Observer, place: int, size: int, asked: int) -> bytes:
    broken: dict[Member, DeviceError] = {}
    good: list[bytes] = []
    for member in record.readers:
        try:
            good.append(bytes(member.data.read_medium(place, size)))
        except DeviceError as error:
            broken[member] = error
    if not good:
        raise _unreadable(broken, max(place, asked))
    _mend(record, observer, broken, place, good[0])
    return good[0]


def _unreadable(broken: dict[Member, DeviceError], offset: int) -> DeviceError:
    first = next(iter(broken.values()))
    gone = all(isinstance(error, DeviceGone) for error in broken.values())
    kind = DeviceGone if gone else MediumError
    found = kind(f"no member can read the block: {first}", offset=offset)
    found.__cause__ = first
    return found


def _mend(
    record: Record, observer: Observer, broken: dict[Member, DeviceError], offset: int, data: bytes
) -> None:
    """Rewrite what could not be read; a member that refuses that, or is gone, is failed, as md does."""
    refused: dict[Member, DeviceError] = {}
    for member, found in broken.items():
        if isinstance(found, DeviceGone):
            refused[member] = found
            continue
        try:
            member.data.write(offset, data)
        except SpaceExhausted as error:
            observer.space_exhausted(member.role or 0, error)
        except DeviceError as error:
            refused[member] = error
        else:
            member.corrected_reads += 1
            observer.read_repaired(member.role or 0, offset, len(data))
    if refused:
        record.fail(refused)
