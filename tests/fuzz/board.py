"""What a worker shows of itself while it works: counters, and the input it has in hand.

It is a mapped file, so the last input outlives a worker that hangs or is killed.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

_COUNTERS = struct.Struct("=6Q")
LONGEST_INPUT = 1 << 16


@dataclass(slots=True)
class Counters:
    """How far a worker has come."""

    inputs: int = 0
    pdus: int = 0
    sessions: int = 0
    crashes: int = 0
    leaks: int = 0


class Board:
    """Written by one process, read by another."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(_COUNTERS.size + LONGEST_INPUT))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def begin(self, counters: Counters, data: bytes) -> None:
        """An input is about to be played."""
        data = data[:LONGEST_INPUT]
        self._map[_COUNTERS.size : _COUNTERS.size + len(data)] = data
        self._put(counters, len(data))

    def end(self, counters: Counters) -> None:
        self._put(counters, 0)

    def _put(self, counters: Counters, length: int) -> None:
        c = counters
        self._map[: _COUNTERS.size] = _COUNTERS.pack(c.inputs, c.pdus, c.sessions, c.crashes, c.leaks, length)

    def read(self) -> tuple[Counters, bytes]:
        """The counters, and the input in hand (none between two inputs)."""
        *numbers, length = _COUNTERS.unpack(self._map[: _COUNTERS.size])
        return Counters(*numbers), self._map[_COUNTERS.size : _COUNTERS.size + length]
