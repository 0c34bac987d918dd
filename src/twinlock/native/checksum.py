"""CRC32C of every 4 KiB of a buffer: one native call for all of a request, without the interpreter lock.

A checksum is 4 bytes, little-endian, here called an entry.  Two entries are no checksums: :data:`EMPTY` and
:data:`UNKNOWN`; a CRC that comes out as one of them is kept as its complement.  The last block may be short.
"""

from typing import Any

from typing_extensions import Buffer

from twinlock.native._native import ffi, lib

BLOCK = 4096
"""Bytes that one entry is for."""
ENTRY = 4
EMPTY = bytes(ENTRY)
"""The block was never written, or it was discarded: copies of it need not be the same."""
UNKNOWN = (1).to_bytes(ENTRY, "little")
"""Of what the block holds no checksum is known: copies of it should be the same."""

_WAY = lib.tl_crc_best()
_from_buffer = ffi.from_buffer
_verify = lib.tl_crc_verify


def entries_of(data: Buffer, *, way: int = _WAY) -> bytes:
    """The entries of the blocks of ``data``, one after the other."""
    source = _from_buffer(data)
    size = len(source)
    result = bytearray(-(-size // BLOCK) * ENTRY)
    lib.tl_crc_blocks(way, source, size, _from_buffer("uint8_t[]", result))
    return bytes(result)


def pointer_to(entries: bytearray) -> Any:
    """Where ``entries`` lie in memory, for :func:`first_wrong`; they cannot change their length meanwhile."""
    return _from_buffer("uint8_t[]", entries)


def first_wrong(data: Buffer, entries: Any, first: int = 0, *, way: int = _WAY) -> int | None:
    """Where in ``data`` the first block begins that is not what its entry says; None if there is no such.

    ``entries`` is a buffer or what :func:`pointer_to` gave; that of the first block is entry ``first``.
    """
    source = _from_buffer(data)
    size = len(source)
    table = entries if isinstance(entries, ffi.CData) else pointer_to(bytearray(entries))
    wrong = _verify(way, source, size, table + first * ENTRY)
    return None if wrong == size else wrong
