"""Reads that a member cannot answer: asked of the others, block by block, and put right.

The unit is 4 KiB, whatever was asked for: that is what a checksum is for, and what a page cache reads, so to
rewrite less of a bad block it would first have to read the block.  Which copy is right is said in
:mod:`twinlock.block.mirror.verdict`.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from typing_extensions import Buffer

from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.suspects import Suspects
from twinlock.block.mirror.verdict import BlockCopy, choose_copy, read_copy
from twinlock.block.observer import Observer
from twinlock.errors import (
    ChecksumMismatch,
    DeviceError,
    DeviceGone,
    MediumError,
    SpaceExhausted,
    WriteFailed,
)
from twinlock.native.checksum import entries_of
from twinlock.units import SECTOR, round_down, round_up


def whole_blocks(record: Record, offset: int, length: int) -> tuple[int, int]:
    """Where the 4 KiB blocks of the range begin and end, in bytes of the array."""
    size = record.common.header.size * SECTOR
    return round_down(offset, BLOCK), min(round_up(offset + length, BLOCK), size)


def read_anywhere(record: Record, observer: Observer, offset: int, length: int) -> Buffer:
    """The range, each 4 KiB of it from the first member in sync that can give it.

    Members that could not are rewritten from the one that could; one that rebuilds answers last, for what it
    does not lack.  The caller holds the range's
    :func:`whole_blocks`.  If no member can give a block, raises MediumError with the offset of the first
    such byte asked for, or DeviceGone if no member is there any more.
    """
    return _assemble(record, offset, length, lambda place, size: _any(record, observer, place, size, offset))


def read_everywhere(record: Record, observer: Observer, offset: int, length: int) -> Buffer:
    """As :func:`read_anywhere`, but each 4 KiB is read from the medium of every member in sync."""
    return _assemble(
        record, offset, length, lambda place, size: _all(record, observer, place, size, offset, medium=True)
    )


def settle(record: Record, observer: Observer, offset: int, length: int) -> None:
    """Make the members in sync agree in a suspect range, and their checksums true.

    By the rule that reads go by, so what a reader saw stays true.  The caller holds the range's
    :func:`whole_blocks`.  Raises MediumError for the first block that no member can read, SpaceExhausted if a
    member has no room for what it lacks.
    """
    start, end = whole_blocks(record, offset, length)
    if _is_settled(record.readers, start, end - start):
        return
    for place, size in _blocks(start, end):
        _settle_block(record, observer, place, size)


def peek(members: Sequence[Member], suspects: Suspects, offset: int, length: int) -> Buffer:
    """As :func:`read_anywhere`, of members that are no array yet: nothing is written, and nobody told."""
    size = min(member.data.size for member in members)
    start, end = round_down(offset, BLOCK), min(round_up(offset + length, BLOCK), size)
    found = [_peek(members, suspects, place, extent) for place, extent in _blocks(start, end)]
    return memoryview(b"".join(found))[offset - start : offset - start + length]


# -- a block --------------------------------------------------------------------------------------


def _assemble(record: Record, offset: int, length: int, read: Callable[[int, int], bytes]) -> Buffer:
    start, end = whole_blocks(record, offset, length)
    data = b"".join(read(place, size) for place, size in _blocks(start, end))
    return memoryview(data)[offset - start : offset - start + length]


def _blocks(start: int, end: int) -> Iterable[tuple[int, int]]:
    return ((place, min(BLOCK, end - place)) for place in range(start, end, BLOCK))


def _any(record: Record, observer: Observer, place: int, size: int, asked: int) -> bytes:
    """From the preferred member if it can give it; else all are asked."""
    if not record.suspects.covers(place):
        try:
            return bytes(record.readers[0].data.read(place, size))
        except DeviceError:
            pass
    return _all(record, observer, place, size, asked)


def _all(
    record: Record, observer: Observer, place: int, size: int, asked: int, *, medium: bool = False
) -> bytes:
    if record.suspects.covers(place):
        with suppress(SpaceExhausted):  # a reader needs no room; the resync tries again
            _settle_block(record, observer, place, size)
    copies, broken = read_copies(record.holders(place), place, size, medium=medium)
    right = choose_copy(copies, suspect=False)
    if right is None:
        _note_wrong(observer, copies, place)
        raise _lost(broken, max(place, asked), rotten=bool(copies))
    mend_copies(record, observer, copies, broken, right, place)
    return right.data


def _settle_block(record: Record, observer: Observer, place: int, size: int) -> None:
    copies, broken = read_copies(record.readers, place, size)
    right = choose_copy(copies, suspect=True)
    if right is None:
        raise _lost(broken, place)
    trusted = any(not copy.unknown for copy in copies)
    for copy in copies:
        if copy.data != right.data:
            broken[copy.member] = _mismatch(place)
        elif copy.member.checked is not None and not copy.fits and trusted:
            copy.member.checked.adopt(place, right.data)
    full = _mend(record, observer, broken, place, right.data, tell=False)
    if full is not None:
        raise full


def _peek(members: Sequence[Member], suspects: Suspects, place: int, size: int) -> bytes:
    copies, broken = read_copies(members, place, size)
    right = choose_copy(copies, suspect=suspects.covers(place))
    if right is None:
        raise _lost(broken, place, rotten=bool(copies))
    return right.data


def read_copies(
    members: Iterable[Member], place: int, size: int, *, medium: bool = False
) -> tuple[list[BlockCopy], dict[Member, DeviceError]]:
    """The copies that can be read, and who could not give one."""
    copies: list[BlockCopy] = []
    broken: dict[Member, DeviceError] = {}
    for member in members:
        try:
            copies.append(read_copy(member, place, size, medium=medium))
        except DeviceError as error:
            broken[member] = error
    return copies, broken


def _is_settled(members: Sequence[Member], start: int, size: int) -> bool:
    """True if all copies of the range are the same, and fit what checksums there are."""
    try:
        copies = [read_copy(member, start, size) for member in members]
        if any(copy.data != copies[0].data for copy in copies):
            return False
        held = [copy.member.checked for copy in copies if copy.member.checked is not None]
        return all(checked.first_wrong(start, copies[0].data) is None for checked in held)
    except DeviceError:
        return False


def mend_copies(
    record: Record,
    observer: Observer,
    copies: Sequence[BlockCopy],
    broken: dict[Member, DeviceError],
    right: BlockCopy,
    place: int,
) -> None:
    """Give the right copy to every member that could not read its own, or whose own is rotten.

    A copy that no checksum contradicts is left alone, whatever it is, unless one of another member does.
    """
    wrong = _note_wrong(observer, copies, place)
    entry = entries_of(right.data)
    if any(copy.entry == entry for copy in copies):
        wrong += [copy for copy in copies if copy.unknown and copy.data != right.data]
    mend = {copy.member: _mismatch(place) for copy in wrong}
    _mend(record, observer, broken | mend, place, right.data)


def _note_wrong(observer: Observer, copies: Iterable[BlockCopy], place: int) -> list[BlockCopy]:
    """Count the copies that are not what their checksums say, and tell of them."""
    wrong = [copy for copy in copies if not copy.unknown and not copy.fits]
    for copy in wrong:
        copy.member.wrong_checksums += 1
        observer.checksum_wrong(copy.member.role or 0, place, len(copy.data))
    return wrong


def _mismatch(place: int) -> DeviceError:
    return ChecksumMismatch("the data are not what was written", offset=place)


def _lost(broken: dict[Member, DeviceError], offset: int, *, rotten: bool = False) -> DeviceError:
    """No member can give the block: some could not read it, others found it to be rotten."""
    first = next(iter(broken.values()), None) or _mismatch(offset)
    gone = not rotten and all(isinstance(error, DeviceGone) for error in broken.values())
    kind = DeviceGone if gone else MediumError
    found = kind(f"no member can read the block: {first}", offset=offset)
    found.__cause__ = first
    return found


def _mend(
    record: Record,
    observer: Observer,
    broken: dict[Member, DeviceError],
    offset: int,
    data: bytes,
    *,
    tell: bool = True,
) -> SpaceExhausted | None:
    """Rewrite what could not be had; a member that refuses that, or is gone, is failed, as md does.

    The data are there already, so nothing here keeps them from who asked: a failure that cannot be written
    down now stays due, and holds up the next write or flush instead.  Returns why it could not be
    rewritten, if a member had no room; its block stays known to be wrong.
    """
    full: SpaceExhausted | None = None
    refused: dict[Member, DeviceError] = {}
    for member, found in broken.items():
        if isinstance(found, DeviceGone):
            refused[member] = found
            continue
        try:
            member.repair(offset, data)
            if member.checked is not None and not record.suspects.covers(offset):
                member.checked.save()
        except SpaceExhausted as error:
            full = error
            observer.space_exhausted(member.role or 0, error)
        except DeviceError as error:
            refused[member] = error
        else:
            if tell or not isinstance(found, ChecksumMismatch):
                member.corrected_reads += 1
                observer.read_repaired(member.role or 0, offset, len(data))
    if refused:
        with suppress(WriteFailed):  # the last one in sync stays, and one that rebuilds has answered for it
            record.expel(refused)
    return full
