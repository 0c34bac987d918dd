"""The write-intent bitmap: ``struct bitmap_super_s`` of the kernel's md-bitmap.h, version 4, and its bits.

A bit says: the members may differ somewhere in this chunk.  All members hold the
same bitmap; here it is kept as the bytes that go to disk.
"""

from collections.abc import Collection, Iterable
from typing import Any, Self

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.layout import BITMAP_HEADER, BLOCK, bitmap_bytes, chunk_count
from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.superblock import Superblock
from twinlock.units import SECTOR, round_up
from twinlock.wire.structure import Structure, raw, structure, u32, u64

MAGIC = 0x6D746962
VERSION = 4
HOST_ENDIAN = 3
"""An old version with its bits in words of the host: the same, where the host is little-endian."""
SMALLEST_CHUNK = BLOCK
"""As mdadm: chunks below a page are not made."""
STALE = 1 << 1
"""A bit of ``state``: the bitmap says nothing."""
DAEMON_SLEEP = 5
"""Seconds that a chunk rests before its bit is cleared, as mdadm sets it."""

_BITS_OF_BYTE = [tuple(bit for bit in range(8) if value >> bit & 1) for value in range(256)]


@structure(size=BITMAP_HEADER, section="md-bitmap.h struct bitmap_super_s", byte_order="little")
class BitmapHeader(Structure):
    """The bitmap's superblock.  ``sync_size`` and ``sectors_reserved`` in sectors, ``chunksize`` in bytes."""

    magic: int = u32(0, default=MAGIC)
    version: int = u32(4, default=VERSION)
    uuid: bytes = raw(8, 16, default=b"")
    events: int = u64(24, default=0)
    events_cleared: int = u64(32, default=0)
    sync_size: int = u64(40, default=0)
    state: int = u32(48, default=0)
    chunksize: int = u32(52, default=0)
    daemon_sleep: int = u32(56, default=DAEMON_SLEEP)
    write_behind: int = u32(60, default=0)
    sectors_reserved: int = u32(64, default=0)
    nodes: int = u32(68, default=0)
    cluster_name: bytes = raw(72, 64, default=b"")


class Bitmap:
    """Header and bits of an array's bitmap, in whole pages of 4 KiB.  Not locked: its owner is."""

    def __init__(self, header: BitmapHeader, content: Buffer = b"") -> None:
        self.chunks = chunk_count(header.sync_size * SECTOR, header.chunksize)
        self._content = bytearray(content)
        self._content.extend(
            bytes(bitmap_bytes(header.sync_size * SECTOR, header.chunksize) - len(self._content))
        )
        self.header = header

    @classmethod
    def parse(cls, content: Buffer) -> Self:
        """A bitmap as read from disk, its header believed."""
        return cls(BitmapHeader.parse(content), content)

    def copy(self) -> "Bitmap":
        """Another bitmap with the same header and bits."""
        return Bitmap(self._header, self._content)

    @property
    def header(self) -> BitmapHeader:
        """The header; assigning it changes the first page."""
        return self._header

    @header.setter
    def header(self, header: BitmapHeader) -> None:
        self._header = header
        self._content[:BITMAP_HEADER] = header.build()

    def change(self, **fields: Any) -> None:
        """Change some of the header's fields."""
        self.header = self._header.replace(**fields)

    def mark(self, chunks: Iterable[int]) -> set[int]:
        """Mark chunks; returns the pages that changed."""
        pages = set()
        for chunk in chunks:
            where = BITMAP_HEADER + (chunk >> 3)
            self._content[where] |= 1 << (chunk & 7)
            pages.add(where // BLOCK)
        return pages

    def unmark(self, chunks: Iterable[int]) -> set[int]:
        """Unmark chunks; returns the pages that changed."""
        pages = set()
        for chunk in chunks:
            where = BITMAP_HEADER + (chunk >> 3)
            self._content[where] &= ~(1 << (chunk & 7))
            pages.add(where // BLOCK)
        return pages

    def marked(self) -> set[int]:
        """The chunks whose bit is set."""
        bits = self._content[BITMAP_HEADER : BITMAP_HEADER + (self.chunks + 7) // 8]
        found = {
            index << 3 | bit for index, value in enumerate(bits) if value for bit in _BITS_OF_BYTE[value]
        }
        return {chunk for chunk in found if chunk < self.chunks}

    def page(self, number: int) -> bytes:
        """4 KiB of the bitmap as they go to disk."""
        return bytes(self._content[number * BLOCK : (number + 1) * BLOCK])

    def used(self, number: int, unit: int) -> int:
        """How many bytes of a page hold header or bits, in whole ``unit``s."""
        end = BITMAP_HEADER + (self.chunks + 7) // 8
        return min(round_up(end, unit) - number * BLOCK, BLOCK)

    def size_on_disk(self, start: int, block_size: int) -> int:
        """Bytes that are written of a bitmap that begins at byte ``start`` of a device."""
        last = self.pages[-1]
        whole = not start % BLOCK
        return last * BLOCK + (BLOCK if whole else self.used(last, max(SECTOR, block_size)))

    @property
    def pages(self) -> range:
        """The numbers of all its pages."""
        return range(len(self._content) // BLOCK)


def differing_pages(one: Bitmap, other: Bitmap) -> Collection[int]:
    """The pages in which two bitmaps of the same size differ."""
    return [number for number in one.pages if one.page(number) != other.page(number)]


def header_fault(header: BitmapHeader, set_uuid: bytes) -> str | None:
    """Why a header cannot be used, or None (the checks of the kernel's md_bitmap_read_sb)."""
    chunk = header.chunksize
    faults = (
        (header.magic != MAGIC, "it has no magic number"),
        (header.version not in (VERSION, HOST_ENDIAN), f"its version is {header.version}"),
        (header.nodes != 0, "it is that of a cluster"),
        (chunk < SMALLEST_CHUNK or chunk & (chunk - 1) != 0, f"its chunk size is {chunk}"),
        (header.uuid != set_uuid, "it belongs to another array"),
        (header.sync_size == 0, "it covers nothing"),
    )
    return next((sentence for wrong, sentence in faults if wrong), None)


def read_bitmap(device: BlockDevice, superblock: Superblock, metadata: Metadata) -> Bitmap | None:
    """The bitmap of a member, or None if it cannot be used.  DeviceError passes through."""
    area = metadata.bitmap_area(superblock, device.size)
    block = max(SECTOR, device.block_size)
    if len(area) < block:
        return None
    first = bytes(device.read(area.start, round_up(BITMAP_HEADER, block)))
    header = BitmapHeader.parse(metadata.bitmap_page(first))
    fields = superblock.header
    if header_fault(header, fields.set_uuid) is not None or header.sync_size != fields.size:
        return None
    blank = Bitmap(header)
    size = blank.size_on_disk(area.start, device.block_size)
    if size > len(area):
        return None
    return Bitmap.parse(metadata.bitmap_page(bytes(device.read(area.start, size))))
