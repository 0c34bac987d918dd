"""The header of a checksum table: whose checksums these are, where they lie, and what makes them trusted.

It binds the table to the member by digests of superblocks, one that is on the medium and one that is about
to be written: whichever of the two a crash leaves, the table goes with it.  Any other superblock means
that somebody else had the member in the meantime.
"""

import hashlib

from typing_extensions import Buffer

from twinlock.native.checksum import BLOCK, entries_of
from twinlock.wire.structure import Malformed, Structure, raw, structure, u32, u64

MAGIC = b"twinlock checksum"
VERSION = 1
CRC32C = 1
HEADER_SIZE = 4096
_CHECKSUM_AT = 184


@structure(size=188, section="docs/on-disk-format.md, Checksum table", byte_order="little")
class TableHeader(Structure):
    """All places in bytes.

    ``entries_offset`` counts from the start of the device that holds the table, ``capacity`` is how many
    entries there is room for, ``covered`` how many bytes of data they are valid for, from the start.
    """

    magic: bytes = raw(0, 24, default=MAGIC)
    version: int = u32(24, default=VERSION)
    algorithm: int = u32(28, default=CRC32C)
    block_size: int = u32(32, default=BLOCK)
    array_uuid: bytes = raw(40, 16, default=b"")
    device_uuid: bytes = raw(56, 16, default=b"")
    data_offset: int = u64(72, default=0)
    entries_offset: int = u64(80, default=0)
    capacity: int = u64(88, default=0)
    covered: int = u64(96, default=0)
    written: bytes = raw(104, 32, default=b"")
    coming: bytes = raw(136, 32, default=b"")
    checksum: int = u32(_CHECKSUM_AT, default=0)


def digest(superblock: Buffer) -> bytes:
    """What a superblock, 4 KiB as it lies on disk, is recognised by."""
    return hashlib.sha256(superblock).digest()


def build_header(header: TableHeader) -> bytes:
    """The 4 KiB as they go to disk.  All that is not zero is in the first 512: one sector."""
    content = header.replace(checksum=0).build()
    own = int.from_bytes(entries_of(content), "little")
    return header.replace(checksum=own).build().ljust(HEADER_SIZE, b"\0")


def parse_header(page: Buffer) -> TableHeader | None:
    """The header in a block as found on disk; None if there is none, or a damaged or unknown one."""
    try:
        header = TableHeader.parse(page)
    except Malformed:
        return None
    known = (header.version, header.algorithm, header.block_size) == (VERSION, CRC32C, BLOCK)
    if header.magic.rstrip(b"\0") != MAGIC or not known:
        return None
    return header if build_header(header)[: TableHeader.SIZE] == bytes(page)[: TableHeader.SIZE] else None
