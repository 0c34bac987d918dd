"""Chunks in which a crash may have come between a block and its checksum.

The bitmap covers both: no bit is cleared before data *and* checksums of its chunk are on the medium.
So after a crash a checksum outside the marked chunks counts, and one inside is a hint: a copy that
matches is right for sure, but if no copy matches, the preferred one is taken as it is, and adopted.
"""

from collections.abc import Iterable
from threading import Lock


class Suspects:
    """The chunks, until they are settled.  Safe to use from several threads."""

    def __init__(self, chunks: Iterable[int], chunk_size: int) -> None:
        self._shift = chunk_size.bit_length() - 1
        self._lock = Lock()
        self._chunks = frozenset(chunks)

    def covers(self, offset: int) -> bool:
        """True if the byte of the array lies in such a chunk."""
        return offset >> self._shift in self._chunks

    def overlap(self, offset: int, length: int) -> bool:
        """True if any byte of the range lies in such a chunk."""
        if not self._chunks:
            return False
        first, last = offset >> self._shift, (offset + max(length, 1) - 1) >> self._shift
        return not self._chunks.isdisjoint(range(first, last + 1))

    def settled(self, chunk: int) -> None:
        """Every block of the chunk was compared with its checksum, or adopted, on every member in sync."""
        with self._lock:
            self._chunks -= {chunk}

    @property
    def chunks(self) -> frozenset[int]:
        """Those that are left."""
        return self._chunks
