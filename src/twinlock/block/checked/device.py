"""A member's data with a checksum for each block of 4 KiB: what is rotten is noticed, and never delivered.

Data and entries may reach the medium in any order: the array's write-intent bit of their chunk covers both,
and is cleared only after a :meth:`CheckedDevice.flush`, which writes both.

A table in a file of its own may fail where the member does not.  Then the table is lost, and not the member:
nothing is known any more, no data are held up, and no superblock from then on is one that the table
names.  So it is made anew after the next start, whatever its file says by then.
"""

import contextlib
from collections.abc import Callable
from enum import StrEnum

from typing_extensions import Buffer

from twinlock.block.checked.binding import Binding
from twinlock.block.checked.header import TableHeader
from twinlock.block.checked.place import TablePlace
from twinlock.block.checked.table import CACHE_PAGES, PAGE, PAGE_ENTRIES, ChecksumTable
from twinlock.block.device import BlockDevice
from twinlock.errors import ChecksumMismatch, DeviceError, SpaceExhausted
from twinlock.native.checksum import BLOCK, EMPTY, ENTRY, UNKNOWN, entries_of, first_wrong
from twinlock.units import round_down, round_up

SPAN = PAGE_ENTRIES * BLOCK
"""Bytes of data that one page of entries is for."""
_NONE = frozenset((EMPTY, UNKNOWN))


class TableState(StrEnum):
    """What a member's checksums are good for."""

    ON = "on"
    REBUILDING = "rebuilding"
    """Only the data below :attr:`CheckedDevice.covered` are checked yet."""
    LOST = "lost"
    """The table's file could not be read or written: nothing is checked until the array is started again."""


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
        self._covered = self.size if header.covered >= self.size else round_down(header.covered, BLOCK)
        self._durable = self._covered
        self._binding = Binding(
            place,
            header,
            superblock=superblock,
            superblock_size=superblock_size,
            size=self.size,
        )
        counts = place.capacity if self._covered == self.size else self._covered // BLOCK
        fresh = round_up(counts, PAGE_ENTRIES) // PAGE_ENTRIES
        self._table = ChecksumTable(place.device, place.entries_offset, fresh=fresh, cache_pages=cache_pages)
        self.lost: DeviceError | None = None
        """Why nothing is known any more, if the table's own file failed."""
        self.when_lost: Callable[[CheckedDevice, DeviceError], None] = CheckedDevice.give_up
        """Calls :meth:`give_up` while no superblock is written, and sees to it that no flush is acknowledged
        before one is."""

    @property
    def covered(self) -> int:
        """Bytes of the data, from the start, whose checksums count."""
        return self._covered

    @property
    def state(self) -> TableState:
        """Whether that is all of them."""
        if self.lost is not None:
            return TableState.LOST
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

    def repair(self, offset: int, data: Buffer) -> None:
        """As :meth:`write`, of what is right for certain: if it fails, what is there is known to be wrong."""
        self._check_blocks(offset, memoryview(data).nbytes)
        self._set(offset, entries_of(data))
        self.lower.write(offset, data)

    def write_durable(self, offset: int, data: Buffer) -> None:
        """As :meth:`write`; the data are durable then, the checksums after the next :meth:`flush`."""
        self._write(self.lower.write_durable, offset, data, entries_of(data))

    def allocate(self, offset: int, length: int) -> None:
        """See :meth:`BlockDevice.allocate`."""
        self.lower.allocate(offset, length)

    def discard(self, offset: int, length: int) -> None:
        """The checksums first: a block that is half gone has none.  Whole blocks."""
        self._check_blocks(offset, length)
        self.forget(offset, length)
        self.lower.discard(offset, length)

    def flush(self) -> None:
        """Data and checksums that were written before this call are on the medium when it returns."""
        reached = self._covered
        self._attempt(self._flush_table)
        self.lower.flush()
        if self.lost is None:
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
        try:
            return self._first_wrong(offset, data)
        except DeviceError as error:
            self.lose(error)
            return None

    def _first_wrong(self, offset: int, data: Buffer) -> int | None:
        number, index = divmod(offset // BLOCK, PAGE_ENTRIES)
        size = memoryview(data).nbytes
        if index * BLOCK + size > SPAN or offset + size > self._covered:
            return self._first_wrong_of_pages(offset, memoryview(data))
        wrong = first_wrong(data, self._table.page(number).pointer, index)
        return None if wrong is None else offset + wrong

    def entries(self, offset: int, length: int) -> bytes:
        """The entries of the blocks that the range touches; UNKNOWN above what is covered."""
        start, end = self._whole(offset, length)
        found = bytearray()
        try:
            for place in _spans(start, min(end, self._covered)):
                number, index = divmod(place.start // BLOCK, PAGE_ENTRIES)
                count = round_up(len(place), BLOCK) // BLOCK
                found += self._table.page(number).content[index * ENTRY : (index + count) * ENTRY]
        except DeviceError as error:
            self.lose(error)
        missing = round_up(end - start, BLOCK) // BLOCK - len(found) // ENTRY
        return bytes(found) + UNKNOWN * missing

    def known(self, offset: int, length: int) -> list[bool]:
        """For each block that the range touches: is there a checksum?"""
        found = self.entries(offset, length)
        return [found[at : at + ENTRY] not in _NONE for at in range(0, len(found), ENTRY)]

    def adopt(self, offset: int, data: Buffer) -> None:
        """The data there are right: their checksums are taken.  Whole blocks."""
        self._check_blocks(offset, memoryview(data).nbytes)
        self._set(offset, entries_of(data))

    def forget(self, offset: int, length: int, entry: bytes = EMPTY) -> None:
        """Nothing is known of the blocks that the range touches; they hold nothing, or what is UNKNOWN."""
        start, end = self._whole(offset, length)
        self._set(start, entry * (round_up(end - start, BLOCK) // BLOCK))

    # -- the table as a whole -----------------------------------------------------------------------

    def bind(self, superblock: Buffer) -> None:
        """Make the table trusted with the superblock that is on the member now, and with ``superblock``.

        Durable when it returns; to be called right before the write of that superblock (4 KiB).
        """
        self._attempt(lambda: self._binding.bind(superblock, self._entries_kept))

    def cover(self, entries: Buffer) -> None:
        """The checksums of the next blocks behind :attr:`covered`, which count from now on.

        The caller keeps writes to these blocks out.
        """
        self._attempt(lambda: self._cover(entries))

    def persist(self) -> None:
        """Put down how far the table is rebuilt, as of the last :meth:`flush`."""
        self._attempt(lambda: self._binding.persist(self._entries_kept))

    def save(self) -> None:
        """Hand changed entries to the device, as a write does its data; durable after the next flush.

        For repairs of what no write-intent bit is set for: nobody else may ever flush them.
        """
        self._attempt(self._table.flush)

    def holds_header(self) -> bool:
        """True if the medium holds the table's header; else :meth:`persist` gives it.

        Raises as a read does.
        """
        return self.lost is not None or self._binding.holds()

    def holds_page(self, number: int) -> bool:
        """True if the medium holds the page of entries with that number, or is yet to be given it.

        Else the page is one to be given to it.  Raises DeviceError if the page cannot be read.
        """
        return number * SPAN >= self._covered or self._table.holds(number)

    def reserve(self) -> None:
        """Take room for the entries.  Raises SpaceExhausted if there is none."""
        pages = round_up(round_up(self.size, BLOCK) // BLOCK, PAGE_ENTRIES) // PAGE_ENTRIES
        try:
            self.place.device.allocate(self.place.entries_offset, pages * PAGE)
        except SpaceExhausted:
            raise  # it may be there later
        except DeviceError as error:
            self.lose(error)

    def lose(self, error: DeviceError) -> None:
        """Do without the table from now on, for its file failed.

        Raises ``error`` if the table is on the member, which fails then.
        """
        if not self.place.own:
            raise error
        if self.lost is None:
            self.when_lost(self, error)

    def give_up(self, error: DeviceError) -> None:
        """From now on there is no table."""
        self.lost = error
        self._covered = self._durable = 0

    # -- how --------------------------------------------------------------------------------------

    def _entries_kept(self) -> int:
        """How many bytes of the data have their entries on the medium."""
        return self._durable

    def _attempt(self, act: Callable[[], None]) -> None:
        """Do something with the table, if there still is one."""
        if self.lost is None:
            try:
                act()
            except DeviceError as error:
                self.lose(error)

    def _flush_table(self) -> None:
        self._table.flush()
        if self.place.own:
            self.place.device.flush()

    def _cover(self, entries: Buffer) -> None:
        self._table.update(self._covered // BLOCK, entries)
        reached = self._covered + memoryview(entries).nbytes // ENTRY * BLOCK
        self._covered = min(reached, self.size)
        if self.lost is not None:
            self._covered = 0

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
                self._set(offset, UNKNOWN * (len(entries) // ENTRY))
            raise
        self._set(offset, entries)

    def _set(self, offset: int, entries: Buffer) -> None:
        blocks = round_up(self._covered - offset, BLOCK) // BLOCK
        if blocks > 0:
            part = memoryview(entries)[: blocks * ENTRY]
            self._attempt(lambda: self._table.update(offset // BLOCK, part))

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
