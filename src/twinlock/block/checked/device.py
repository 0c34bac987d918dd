"""A member's data with a checksum for each block of 4 KiB: what is rotten is noticed, and never delivered.

Data and entries may reach the medium in any order: the array's write-intent bit of their chunk covers both,
and is cleared only after a :meth:`CheckedDevice.flush`, which writes both.
"""

import contextlib
from collections.abc import Callable
from enum import StrEnum
from threading import Lock

from typing_extensions import Buffer

from twinlock.block.checked.header import TableHeader, digest
from twinlock.block.checked.place import TablePlace
from twinlock.block.checked.table import CACHE_PAGES, PAGE, PAGE_ENTRIES, ChecksumTable
from twinlock.block.device import BlockDevice
from twinlock.errors import ChecksumMismatch, DeviceError
from twinlock.native.checksum import BLOCK, ENTRY, entries_of, first_wrong
from twinlock.units import round_down, round_up

SPAN = PAGE_ENTRIES * BLOCK
"""Bytes of data that one page of entries is for."""
_NOTHING = bytes(ENTRY)


class TableState(StrEnum):
    """What a member's checksums are good for."""

    ON = "on"
    REBUILDING = "rebuilding"
    """Only the data below :attr:`CheckedDevice.covered` are checked yet."""


class CheckedDevice(BlockDevice):
    """``lower`` with the table at ``place``.

    ``header`` says whose table it is, and in ``covered`` how much of what lies there counts: 0 for a table
    that is not trusted.  ``superblock`` is the digest of the one that is on the member now, of the first
    ``superblock_size`` bytes of it.

    Whoever calls keeps writes to one block apart, and from a read that must not fail: a read that races
    with a write finds the one without the other, and ends in ChecksumMismatch.
    """

    def __init__(
        self,
        lower: BlockDevice,
        place: TablePlace,
        header: TableHeader,
        *,
        superblock: bytes,
        superblock_size: int = 4096,
        cache_pages: int = CACHE_PAGES,
    ) -> None:
        self.lower = lower
        self.place = place
        self.size = lower.size
        self.block_size = lower.block_size
        self._header = header
        self._written = self._coming = superblock
        self._superblock_size = superblock_size
        self._binding = Lock()
        whole = header.covered >= self.size
        self._covered = self.size if whole else round_down(header.covered, SPAN)
        self._durable = self._covered
        fresh = round_up(place.capacity, PAGE_ENTRIES) // PAGE_ENTRIES if whole else self._covered // SPAN
        self._table = ChecksumTable(place.device, place.entries_offset, fresh=fresh, cache_pages=cache_pages)

    @property
    def covered(self) -> int:
        """Bytes of the data, from the start, whose checksums count."""
        return self._covered

    @property
    def state(self) -> TableState:
        """Whether that is all of them."""
        return TableState.ON if self._covered >= self.size else TableState.REBUILDING

    @property
    def punches_holes(self) -> bool:
        """As below."""
        return self.lower.punches_holes

    # -- reads ------------------------------------------------------------------------------------

    def read(self, offset: int, length: int) -> Buffer:
        """Verified.  Raises ChecksumMismatch with the offset of the first wrong block."""
        self.check_range(offset, length)
        if (offset | length) % BLOCK:
            return self._read_part(self.lower.read, offset, length)
        data = self.lower.read(offset, length)
        if (wrong := self.first_wrong(offset, data)) is not None:
            raise mismatch(wrong)
        return data

    def read_with_entries(self, offset: int, length: int) -> tuple[Buffer, bytes]:
        """As :meth:`read` of whole blocks, with their checksums, also of those of which none was known."""
        self._check_blocks(offset, length)
        data = self.lower.read(offset, length)
        found, kept = entries_of(data), self.entries(offset, length)
        if found != kept and (wrong := first_wrong(data, kept)) is not None:
            raise mismatch(offset + wrong)
        return data, found

    def read_medium(self, offset: int, length: int) -> Buffer:
        """As :meth:`read`, past every cache."""
        self.check_range(offset, length)
        return self._read_part(self.lower.read_medium, offset, length)

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """As :meth:`read`; None also if the entries are not at hand."""
        self.check_range(offset, length)
        start, end = self._whole(offset, length)
        data = self.lower.read_nowait(start, end - start)
        if data is None or not self._at_hand(start, end):
            return None
        if (wrong := self.first_wrong(start, data)) is not None:
            raise mismatch(wrong)
        return data if end - start == length else memoryview(data)[offset - start :][:length]

    def read_raw(self, offset: int, length: int, *, medium: bool = False) -> Buffer:
        """What is there, whatever its checksums say."""
        return (self.lower.read_medium if medium else self.lower.read)(offset, length)

    def prefetch(self, offset: int, length: int) -> None:
        """See :meth:`BlockDevice.prefetch`."""
        self.lower.prefetch(offset, length)

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """See :meth:`BlockDevice.allocation`."""
        return self.lower.allocation(offset, length)

    # -- writes -----------------------------------------------------------------------------------

    def write(self, offset: int, data: Buffer) -> None:
        """Whole blocks, and their checksums.  If it fails, nothing is known of the blocks any more."""
        self._write(self.lower.write, offset, data, entries_of(data))

    def write_with_entries(self, offset: int, data: Buffer, entries: bytes) -> None:
        """As :meth:`write`, of data whose checksums are known already."""
        self._write(self.lower.write, offset, data, entries)

    def write_durable(self, offset: int, data: Buffer) -> None:
        """As :meth:`write`; the data are durable then, the checksums after the next :meth:`flush`."""
        self._write(self.lower.write_durable, offset, data, entries_of(data))

    def allocate(self, offset: int, length: int) -> None:
        """See :meth:`BlockDevice.allocate`."""
        self.lower.allocate(offset, length)

    def discard(self, offset: int, length: int) -> None:
        """The checksums first: a block that is half gone has none."""
        self.check_range(offset, length)
        self.forget(offset, length)
        self.lower.discard(offset, length)

    def flush(self) -> None:
        """Data and checksums that were written before this call are on the medium when it returns."""
        reached = self._covered
        self._table.flush()
        if self.place.own:
            self.place.device.flush()
        self.lower.flush()
        self._durable = max(self._durable, reached)

    def close(self) -> None:
        """Close what lies below, and the table's own device if it has one."""
        if self.place.own:
            self.place.device.close()
        self.lower.close()

    # -- checksums --------------------------------------------------------------------------------

    def first_wrong(self, offset: int, data: Buffer) -> int | None:
        """Where the first block begins that is not what its checksum says; None if there is no such.

        ``data`` are whole blocks, of the data from ``offset`` on.
        """
        number, index = divmod(offset // BLOCK, PAGE_ENTRIES)
        size = memoryview(data).nbytes
        if index * BLOCK + size > SPAN or offset + size > self._covered:
            return self._first_wrong_of_pages(offset, memoryview(data))
        wrong = first_wrong(data, self._table.page(number).pointer, index)
        return None if wrong is None else offset + wrong

    def entries(self, offset: int, length: int) -> bytes:
        """The entries of the blocks that the range touches; zeros where nothing is known."""
        start, end = self._whole(offset, length)
        found = bytearray()
        for place in _spans(start, min(end, self._covered)):
            number, index = divmod(place.start // BLOCK, PAGE_ENTRIES)
            count = round_up(len(place), BLOCK) // BLOCK
            found += self._table.page(number).content[index * ENTRY : (index + count) * ENTRY]
        return bytes(found).ljust(round_up(end - start, BLOCK) // BLOCK * ENTRY, b"\0")

    def known(self, offset: int, length: int) -> list[bool]:
        """For each block that the range touches: is there a checksum?"""
        found = self.entries(offset, length)
        return [found[at : at + ENTRY] != _NOTHING for at in range(0, len(found), ENTRY)]

    def adopt(self, offset: int, data: Buffer) -> None:
        """The data there are right: their checksums are taken.  Whole blocks."""
        self._check_blocks(offset, memoryview(data).nbytes)
        self._set(offset, entries_of(data))

    def forget(self, offset: int, length: int) -> None:
        """Nothing is known of the blocks that the range touches."""
        start, end = self._whole(offset, length)
        self._set(start, bytes(round_up(end - start, BLOCK) // BLOCK * ENTRY))

    # -- the table as a whole -----------------------------------------------------------------------

    def bind(self, superblock: Buffer) -> None:
        """Make the table trusted with the superblock that is on the member now, and with ``superblock``.

        Durable when it returns; to be called right before the write of that superblock (4 KiB).
        """
        coming = digest(memoryview(superblock)[: self._superblock_size])
        with self._binding:
            self._write_header(self._coming, coming)
            self._written, self._coming = self._coming, coming

    def cover(self, entries: Buffer) -> None:
        """The checksums of the next blocks behind :attr:`covered`, which count from now on.

        The caller keeps writes to these blocks out.
        """
        self._table.update(self._covered // BLOCK, entries)
        reached = self._covered + memoryview(entries).nbytes // ENTRY * BLOCK
        self._covered = min(reached, self.size)

    def persist(self) -> None:
        """Put down how far the table is rebuilt, as of the last :meth:`flush`.

        Bound to what it was bound to: the coming superblock is perhaps not on the medium yet.
        """
        with self._binding:
            self._write_header(self._written, self._coming)

    def save(self) -> None:
        """Hand changed entries to the device, as a write does its data; durable after the next flush.

        For repairs of what no write-intent bit is set for: nobody else may ever flush them.
        """
        self._table.flush()

    def holds_page(self, number: int) -> bool:
        """True if the medium holds the page of entries with that number, or is yet to be given it.

        Else the page is one to be given to it.  Raises DeviceError if the page cannot be read.
        """
        return number * SPAN >= self._covered or self._table.holds(number)

    def reserve(self) -> None:
        """Take room for the entries.  Raises SpaceExhausted if there is none."""
        pages = round_up(round_up(self.size, BLOCK) // BLOCK, PAGE_ENTRIES) // PAGE_ENTRIES
        self.place.device.allocate(self.place.entries_offset, pages * PAGE)

    # -- how --------------------------------------------------------------------------------------

    def _write_header(self, written: bytes, coming: bytes) -> None:
        whole = self._durable >= self.size
        covered = max(self._header.covered, self.size) if whole else round_down(self._durable, SPAN)
        self._header = self._header.replace(covered=covered, written=written, coming=coming)
        self.place.write_header(self._header)

    def _whole(self, offset: int, length: int) -> tuple[int, int]:
        """Where the blocks that the range touches begin and end."""
        return round_down(offset, BLOCK), min(round_up(offset + length, BLOCK), self.size)

    def _read_part(self, read: Callable[[int, int], Buffer], offset: int, length: int) -> Buffer:
        start, end = self._whole(offset, length)
        data = read(start, end - start)
        if (wrong := self.first_wrong(start, data)) is not None:
            raise mismatch(wrong)
        return memoryview(data)[offset - start : offset - start + length]

    def _at_hand(self, start: int, end: int) -> bool:
        spans = _spans(start, min(end, self._covered))
        return all(self._table.page_nowait(place.start // SPAN) is not None for place in spans)

    def _first_wrong_of_pages(self, offset: int, data: memoryview) -> int | None:
        data = data.cast("B") if data.nbytes else data
        for place in _spans(offset, min(offset + data.nbytes, self._covered)):
            number, index = divmod(place.start // BLOCK, PAGE_ENTRIES)
            part = data[place.start - offset : place.stop - offset]
            wrong = first_wrong(part, self._table.page(number).pointer, index)
            if wrong is not None:
                return place.start + wrong
        return None

    def _write(self, write: Callable[[int, Buffer], None], offset: int, data: Buffer, entries: bytes) -> None:
        self._check_blocks(offset, memoryview(data).nbytes)
        try:
            write(offset, data)
        except DeviceError:
            with contextlib.suppress(DeviceError):
                self._set(offset, bytes(len(entries)))
            raise
        self._set(offset, entries)

    def _set(self, offset: int, entries: Buffer) -> None:
        blocks = round_up(self._covered - offset, BLOCK) // BLOCK
        if blocks > 0:
            self._table.update(offset // BLOCK, memoryview(entries)[: blocks * ENTRY])

    def _check_blocks(self, offset: int, length: int) -> None:
        self.check_range(offset, length)
        end = offset + length
        if offset % BLOCK or (end % BLOCK and end != self.size):
            raise ValueError(f"bytes {offset}+{length} are not whole blocks of {BLOCK}")


def mismatch(offset: int) -> ChecksumMismatch:
    """The error for the block that begins at ``offset``."""
    return ChecksumMismatch("the data are not what was written: their checksum is another", offset=offset)


def _spans(start: int, end: int) -> list[range]:
    """The range, cut where a page of entries ends."""
    starts = [start, *range(round_down(start, SPAN) + SPAN, end, SPAN)] if start < end else []
    return [range(place, min(round_down(place, SPAN) + SPAN, end)) for place in starts]
