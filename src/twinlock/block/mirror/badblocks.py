"""A member's bad-block log: sectors that md could not write, or could not fill because no member had them.

What is listed reads as an error, so the array answers from another member and rewrites it; once
that is on the medium, the log forgets it.  The log is 64-bit words: sector of the device in the upper
54 bits, count in the lower 10, both in units of ``1 << shift`` sectors; all ones end it
(``badblocks.h``, ``super_1_load`` of the kernel's md.c).

Nothing is ever added: a member that cannot be written to is failed, as md does without a log.
"""

from collections.abc import Iterable, Sequence
from threading import Lock
from typing import TypeAlias

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.block.section import Section
from twinlock.errors import MediumError
from twinlock.units import SECTOR, round_down, round_up

_ENTRY = 8
_END = (1 << 64) - 1
_COUNT = 10
_ATOMIC = SECTOR // _ENTRY
"""Entries in one sector, which a disk writes whole or not at all."""

_Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of first sector and the one after the last, in order, apart from each other."""


class BadBlockLog:
    """The log in ``size`` bytes from ``offset`` of ``device``; its units are ``1 << shift`` sectors."""

    def __init__(self, device: BlockDevice, offset: int, size: int, shift: int) -> None:
        self._device = device
        self._offset = offset
        self._size = size
        self._shift = shift
        self._lock = Lock()
        self._storing = Lock()
        self._entries = _parse(device.read(offset, size), shift)
        self._bad = _merged(self._entries)

    @property
    def stored(self) -> bool:
        """True while the medium lists any sector."""
        return bool(self._entries)

    @property
    def bad(self) -> _Ranges:
        """What is bad now."""
        return self._bad

    def first(self, start: int, end: int) -> int | None:
        """The first bad sector from ``start`` to before ``end``."""
        return next((max(one, start) for one, other in self._bad if one < end and start < other), None)

    def clear(self, start: int, end: int) -> None:
        """The sectors were written."""
        if self.first(start, end) is not None:
            with self._lock:
                self._bad = tuple(piece for found in self._bad for piece in _without(found, start, end))

    def store(self, bad: _Ranges) -> None:
        """Let the medium list ``bad``, which was true before a flush that is over.  Raises as a write does.

        More than that may stay listed where the log is longer than a sector: then an entry shrinks but is
        not cut in two, so that each moves towards the front, and no step of the rewriting loses one.
        """
        with self._storing:
            entries = _remaining(self._entries, bad)
            if entries == self._entries:
                return
            content = self._build(entries)
            block = max(self._device.block_size, SECTOR)
            for start in range(0, self._size, block):
                self._device.write_durable(self._offset + start, content[start : start + block])
            self._entries = entries

    def _build(self, entries: Iterable[tuple[int, int]]) -> bytes:
        unit = 1 << self._shift
        words = [
            round_down(start, unit) >> self._shift << _COUNT
            | (round_up(end, unit) - round_down(start, unit)) >> self._shift
            for start, end in entries
        ]
        return b"".join(word.to_bytes(_ENTRY, "little") for word in words).ljust(self._size, b"\xff")


def _parse(content: Buffer, shift: int) -> _Ranges:
    words = memoryview(content).cast("B")
    found = []
    for place in range(0, len(words), _ENTRY):
        word = int.from_bytes(words[place : place + _ENTRY], "little")
        if word == _END:
            break
        start = word >> _COUNT << shift
        found.append((start, start + ((word & (1 << _COUNT) - 1) << shift)))
    return tuple(found)


def _merged(ranges: Sequence[tuple[int, int]]) -> _Ranges:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif start < end:
            merged.append((start, end))
    return tuple(merged)


def _without(found: tuple[int, int], start: int, end: int) -> Iterable[tuple[int, int]]:
    pieces = ((found[0], min(found[1], start)), (max(found[0], end), found[1]))
    if end <= found[0] or found[1] <= start:
        return (found,)
    return (piece for piece in pieces if piece[0] < piece[1])


def _remaining(entries: _Ranges, bad: _Ranges) -> _Ranges:
    """Of each entry what is still bad: in pieces if all fit one sector, else from its first to its last."""
    left = [_common(entry, bad) for entry in entries]
    pieces = tuple(piece for each in left for piece in each)
    if len(pieces) <= _ATOMIC:
        return pieces
    return tuple((each[0][0], each[-1][1]) for each in left if each)


def _common(entry: tuple[int, int], bad: _Ranges) -> _Ranges:
    start, end = entry
    return tuple((max(one, start), min(other, end)) for one, other in bad if one < end and start < other)


class BadBlockDevice(Section):
    """A member's data, from sector ``first`` of the device on, without the sectors that its log lists."""

    def __init__(self, lower: BlockDevice, log: BadBlockLog, first: int) -> None:
        super().__init__(lower, 0, lower.size)
        self._log = log
        self._first = first

    def read(self, offset: int, length: int) -> Buffer:
        """See :meth:`BlockDevice.read`."""
        self._refuse(offset, length)
        return super().read(offset, length)

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """See :meth:`BlockDevice.read_nowait`."""
        self._refuse(offset, length)
        return super().read_nowait(offset, length)

    def read_medium(self, offset: int, length: int) -> Buffer:
        """See :meth:`BlockDevice.read_medium`."""
        self._refuse(offset, length)
        return super().read_medium(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        super().write(offset, data)
        self._log.clear(*self._sectors(offset, memoryview(data).nbytes))

    def write_durable(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write_durable`."""
        super().write_durable(offset, data)
        self._log.clear(*self._sectors(offset, memoryview(data).nbytes))

    def flush(self) -> None:
        """What was rewritten before is on the medium, and only then forgotten by the log there."""
        bad = self._log.bad
        super().flush()
        self._log.store(bad)

    def _refuse(self, offset: int, length: int) -> None:
        self.check_range(offset, length)
        found = self._log.first(*self._sectors(offset, length))
        if found is not None:
            place = (found - self._first) * SECTOR
            raise MediumError("the member's bad-block log lists the sector", offset=place)

    def _sectors(self, offset: int, length: int) -> tuple[int, int]:
        return self._first + offset // SECTOR, self._first + (offset + length) // SECTOR


def with_bad_blocks(log: BadBlockLog | None, plain: Section, first: int) -> Section:
    """``plain``, which begins at sector ``first`` of the device, without what ``log`` lists, if anything."""
    return plain if log is None or not log.stored else BadBlockDevice(plain, log, first)
