"""The volatile cache of a drive: what was written or discarded, and not flushed.

Reads see the newest.  At a power cut each of the writes is on the medium, or is not, block by
block or sector by sector; of what was written to a block twice the order is kept.
"""

from collections.abc import Callable
from typing import TypeAlias

from twinlock.block.device import BlockDevice

SECTOR = 512
"""Bytes that reach a medium whole, or not at all."""
Survives: TypeAlias = Callable[[int], bool]
"""Told the number of a part, from 0 on in the order of writing: is it on the medium?"""


class VolatileCache:
    """What the medium does not hold yet, in blocks of ``block_size``; the caller keeps others out meanwhile.

    A block that is None was discarded.
    """

    def __init__(self, block_size: int) -> None:
        self._size = block_size
        self._newest: dict[int, bytes | None] = {}
        self._writes: list[tuple[int, bytes | None]] = []

    def __len__(self) -> int:
        return len(self._writes)

    def numbers(self, offset: int, length: int) -> range:
        """The blocks that the range touches."""
        return range(offset // self._size, -(-(offset + length) // self._size))

    def put(self, offset: int, data: bytes) -> None:
        """Keep what was written."""
        for index, number in enumerate(self.numbers(offset, len(data))):
            self._keep(number, data[index * self._size : (index + 1) * self._size])

    def drop(self, offset: int, length: int) -> None:
        """Keep that the range was discarded."""
        for number in self.numbers(offset, length):
            self._keep(number, None)

    def _keep(self, number: int, block: bytes | None) -> None:
        self._newest[number] = block
        self._writes.append((number, block))

    def over(self, offset: int, data: bytes) -> bytes:
        """What lies on the medium, with the newest put over it."""
        numbers = self.numbers(offset, len(data))
        found = self._newest.keys() & set(numbers) if self._newest else set()
        if not found:
            return data
        merged = bytearray(data)
        for number in found:
            start = number * self._size - offset
            merged[start : start + self._size] = self._newest[number] or bytes(self._size)
        return bytes(merged)

    def allocation(self, offset: int, length: int) -> bool | None:
        """True if any of the range was written, False if all was discarded, else None: the medium tells."""
        if not self._newest:
            return None
        blocks = [self._newest.get(number, b"") for number in self.numbers(offset, length)]
        if any(blocks):
            return True
        return None if b"" in blocks else False

    def forget(self, offset: int, length: int) -> None:
        """What lies there is on the medium already: older writes do not come back."""
        numbers = self.numbers(offset, length)
        if self._newest.keys().isdisjoint(numbers):
            return
        for number in numbers:
            self._newest.pop(number, None)
        self._writes = [entry for entry in self._writes if entry[0] not in numbers]

    def flush(self, medium: BlockDevice) -> None:
        """Put the newest of everything on the medium."""
        for number, block in self._newest.items():
            self._store(medium, number, block)
        self._newest.clear()
        self._writes.clear()

    def power_cut(self, medium: BlockDevice, survives: Survives, *, torn: bool) -> None:
        """Put what survives on the medium, and forget the rest; ``torn``: it is asked for each sector."""
        part = SECTOR if torn else self._size
        index = 0
        for number, block in self._writes:
            kept = [survives(index + count) for count in range(self._size // part)]
            index += len(kept)
            if all(kept):
                self._store(medium, number, block)
            elif any(kept):
                old = bytes(medium.read(number * self._size, self._size))
                self._store(medium, number, _mixed(old, block or bytes(self._size), kept))
        self._newest.clear()
        self._writes.clear()

    def _store(self, medium: BlockDevice, number: int, block: bytes | None) -> None:
        if block is None:
            medium.discard(number * self._size, self._size)
        else:
            medium.write(number * self._size, block)


def _mixed(old: bytes, new: bytes, kept: list[bool]) -> bytes:
    """One part after the other, of the new where it is kept, else of the old."""
    part = len(old) // len(kept)
    return b"".join(
        (new if keep else old)[index * part : (index + 1) * part] for index, keep in enumerate(kept)
    )
