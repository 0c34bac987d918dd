"""Long ranges in short pieces, so that no command takes more memory than a transfer does."""

from collections.abc import Iterator

from typing_extensions import Buffer

from twinlock.units import KIB, MIB

PIECE = 1 * MIB
"""Bytes that long commands move at a time; a multiple of every block size."""
_WORD = 64 * KIB


def pieces(offset: int, length: int, *, backwards: bool = False) -> Iterator[tuple[int, int]]:
    """The range as (offset, length) of at most :data:`PIECE` bytes, the last one first if ``backwards``."""
    starts = range(offset, offset + length, PIECE)
    for start in reversed(starts) if backwards else starts:
        yield start, min(PIECE, offset + length - start)


def either(left: Buffer, right: Buffer) -> bytes:
    """The bitwise OR of two buffers of one length."""
    ours, theirs = memoryview(left).cast("B"), memoryview(right).cast("B")
    starts = range(0, ours.nbytes, _WORD)
    return b"".join(_either(ours[at : at + _WORD], theirs[at : at + _WORD]) for at in starts)


def _either(left: memoryview, right: memoryview) -> bytes:
    both = int.from_bytes(left, "little") | int.from_bytes(right, "little")
    return both.to_bytes(left.nbytes, "little")


def repeated(data: Buffer, offset: int, length: int) -> Buffer:
    """``length`` bytes from ``offset`` on, of ``data`` or of its repetitions (whole ones, both of them)."""
    view = memoryview(data).cast("B")
    if offset + length <= view.nbytes:
        return view[offset : offset + length]
    return bytes(view) * (length // view.nbytes)


def first_difference(found: Buffer, expected: Buffer) -> int | None:
    """Where two buffers of one length begin to differ, None if they do not."""
    ours, theirs = bytes(found), bytes(expected)
    if ours == theirs:
        return None
    low, high = 0, len(ours)  # they are alike before ``low``, and differ somewhere before ``high``
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if ours[low:middle] != theirs[low:middle] else (middle, high)
    return low
