"""A file that outlives who writes it: what was asked of each disk, and what the oracle has to know.

A record is appended before it is acted upon, and once more, by its number, when the disk has answered.  So
whoever reads it after a ``kill -9`` knows what was flushed, what may be on the medium, and what was promised.
"""

import os
import pickle
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from typing_extensions import Buffer

from tests.faults.harness.keys import Keyring
from tests.faults.harness.oracle import Flush, Oracle
from twinlock.block.device import BlockDevice
from twinlock.block.faulty import FaultyDevice
from twinlock.errors import DeviceError

Record: TypeAlias = tuple[Any, ...]
"""What it is, a number, and arguments."""
_LENGTH = struct.Struct("<I")


class Journal:
    """The writing end.  Safe to use from several threads: each record is one append."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._numbers = count()

    def note(self, kind: str, *arguments: object) -> int:
        """Append a record; its number."""
        number = next(self._numbers)
        content = pickle.dumps((kind, number, *arguments))
        os.write(self._fd, _LENGTH.pack(len(content)) + content)
        return number


def records(path: Path) -> list[Record]:
    """What was written whole."""
    return list(_records(path.read_bytes()))


def _records(content: bytes) -> Iterator[Record]:
    place = 0
    while place + _LENGTH.size <= len(content):
        (length,) = _LENGTH.unpack_from(content, place)
        place += _LENGTH.size
        if place + length > len(content):
            return
        yield pickle.loads(content[place : place + length])
        place += length


class JournaledDevice(BlockDevice):
    """``disk``, whose every change is noted first."""

    def __init__(self, disk: FaultyDevice, number: int, journal: Journal) -> None:
        self.disk = disk
        self.number = number
        self.journal = journal
        self.size = disk.size
        self.block_size = disk.block_size
        self.path = disk.path

    @property
    def punches_holes(self) -> bool:
        """As below."""
        return self.disk.punches_holes

    def read(self, offset: int, length: int) -> Buffer:
        """Not noted."""
        return self.disk.read(offset, length)

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """Not noted."""
        return self.disk.allocation(offset, length)

    def measure(self) -> int:
        """Not noted."""
        return self.disk.measure()

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        self._do("write", lambda: self.disk.write(offset, data), offset, bytes(data))

    def write_durable(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write_durable`."""
        self._do("durable", lambda: self.disk.write_durable(offset, data), offset, bytes(data))

    def discard(self, offset: int, length: int) -> None:
        """See :meth:`BlockDevice.discard`."""
        self._do("discard", lambda: self.disk.discard(offset, length), offset, length)

    def flush(self) -> None:
        """See :meth:`BlockDevice.flush`."""
        self._do("flush", self.disk.flush)

    def _do(self, kind: str, act: Callable[[], None], *arguments: object) -> None:
        noted = self.journal.note(kind, self.number, *arguments)
        try:
            act()
        except DeviceError:
            self.journal.note("refused", noted)
            raise
        self.journal.note("done", noted)

    def close(self) -> None:
        """As below."""
        self.disk.close()


class Reporter(Oracle):
    """An oracle that judges nothing: it notes for another one what was begun and what was promised."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.journal = journal

    def begins(self, sectors: Iterable[int], value: int) -> None:
        """A write is about to begin."""
        self.journal.note("begins", tuple(sectors), value)

    def written(self, sectors: Iterable[int], value: int) -> None:
        """It returned well."""
        self.journal.note("written", tuple(sectors), value)

    def flush_begins(self) -> Flush:
        """A flush is about to begin; its number stands for it."""
        return Flush({}, self.journal.note("flush begins"))

    def flushed(self, flush: Flush) -> None:
        """It returned well; where only some sectors are meant, those are named."""
        only = {sector: set(values) for sector, values in flush.last.items()}
        self.journal.note("flushed", flush.begun, only)

    def check(self, first: int, data: bytes) -> None:
        """Nothing: who is killed cannot tell what was wrong."""


class ReportingKeyring(Keyring):
    """Notes what becomes of the keys, for who is not killed."""

    def __init__(self, known: Keyring, journal: Journal) -> None:
        super().__init__(known.now, known.next, known.made)
        self.journal = journal

    def begins(self, keys: frozenset[bytes]) -> None:
        """A change that may come to nothing."""
        super().begins(keys)
        self.journal.note("keys begin", keys)

    def ended(self) -> None:
        """It returned well."""
        super().ended()
        self.journal.note("keys end")

    def judge(self, header: bytes, array_size: int) -> bytes:
        """As it is; what was found out is noted."""
        found = super().judge(header, array_size)
        self.journal.note("keys are", self.now)
        return found


def replay_keys(found: list[Record], keyring: Keyring) -> None:
    """Tell the keyring what was done to the keys before the kill."""
    for kind, _number, *arguments in found:
        if kind == "keys begin":
            keyring.begins(arguments[0])
            keyring.made += 1
        elif kind == "keys end":
            keyring.ended()
        elif kind == "keys are":
            keyring.now, keyring.next = arguments[0], None


def replay(found: list[Record], disks: dict[int, FaultyDevice], oracle: Oracle) -> int:
    """Do to the disks what was done before the kill, and tell the oracle; the highest value written."""
    done = {record[2] for record in found if record[0] == "done"}
    refused = {record[2] for record in found if record[0] == "refused"}
    flushes: dict[int, Flush] = {}
    highest = 0
    for kind, number, *arguments in found:
        if number in refused:
            continue
        if kind in _ON_DISK:
            _ON_DISK[kind](disks[arguments[0]], number in done, *arguments[1:])
        elif kind in ("begins", "written"):
            highest = max(highest, arguments[1])
            getattr(oracle, kind)(*arguments)
        elif kind == "flush begins":
            flushes[number] = oracle.flush_begins()
        elif kind == "flushed":
            _flushed(oracle, flushes[arguments[0]], arguments[1])
    return highest


def _flushed(oracle: Oracle, flush: Flush, only: dict[int, set[int]]) -> None:
    last = {sector: frozenset(values) for sector, values in only.items()} or flush.last
    oracle.flushed(Flush(last, flush.begun))


def _durable(disk: FaultyDevice, done: bool, offset: int, data: bytes) -> None:
    (disk.write_durable if done else disk.write)(offset, data)


def _flush(disk: FaultyDevice, done: bool) -> None:
    if done:
        disk.flush()


_ON_DISK: dict[str, Any] = {
    "write": lambda disk, _done, offset, data: disk.write(offset, data),
    "durable": _durable,
    "discard": lambda disk, _done, offset, length: disk.discard(offset, length),
    "flush": _flush,
}
