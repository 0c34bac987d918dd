"""The entries of one member, read and written a page of 4 KiB at a time.

A page is the checksums of 4 MiB of data.  As many pages as fit are kept in memory; those that
were changed are written back by :meth:`ChecksumTable.flush`, or when they have to make room.  The pages are
divided among shards, each with a lock and a share of the room, so that a page that has to be read holds up
only few others.  A page that is in memory is looked at without any lock: what a race makes of that, the
caller finds out by looking again.

Of the blocks of a page that cannot be read nothing is known; it is written anew.
"""

import contextlib
from threading import Lock
from typing import Any

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.errors import DeviceError, MediumError
from twinlock.native.checksum import ENTRY, UNKNOWN, pointer_to

PAGE = 4096
PAGE_ENTRIES = PAGE // ENTRY
SHARDS = 64
CACHE_PAGES = 4096
"""16 MiB of entries, for 16 GiB of data."""


class Page:
    """1,024 entries in memory; ``pointer`` is where they lie."""

    __slots__ = ("content", "dirty", "pointer", "used")

    def __init__(self, content: Buffer) -> None:
        self.content = bytearray(content)
        self.pointer: Any = pointer_to(self.content)
        self.used = True
        self.dirty = False


class _Shard:
    """Pages whose numbers have one remainder."""

    __slots__ = ("dirty", "lock", "pages")

    def __init__(self) -> None:
        self.lock = Lock()
        self.pages: dict[int, Page] = {}
        self.dirty: dict[int, Page] = {}


class ChecksumTable:
    """The entries that begin at byte ``start`` of ``device``.  Safe to use from several threads.

    ``fresh`` is the number of the first page of which the medium holds nothing that counts; such
    pages begin as zeros, and are updated in their order, none left out.
    """

    def __init__(
        self, device: BlockDevice, start: int, *, fresh: int, cache_pages: int = CACHE_PAGES
    ) -> None:
        self._device = device
        self._start = start
        self._fresh = fresh
        self._fresh_lock = Lock()
        self._shards = tuple(_Shard() for _ in range(SHARDS))
        self._limit = max(1, cache_pages // SHARDS)

    def page(self, number: int) -> Page:
        """A page to look at.  Raises DeviceError, but not for a page that cannot be read."""
        shard = self._shards[number % SHARDS]
        found = shard.pages.get(number)
        if found is None:
            with shard.lock:
                return self._load(shard, number)
        found.used = True
        return found

    def page_nowait(self, number: int) -> Page | None:
        """As :meth:`page`, but None instead of waiting for a medium."""
        shard = self._shards[number % SHARDS]
        found = shard.pages.get(number)
        if found is not None:
            found.used = True
            return found
        try:
            at_hand = number >= self._fresh or self._device.read_nowait(self._at(number), PAGE) is not None
        except MediumError:
            return None
        return self.page(number) if at_hand else None

    def update(self, first: int, entries: Buffer) -> None:
        """Set entries from number ``first`` on."""
        view = memoryview(entries)
        while view:
            number, index = divmod(first, PAGE_ENTRIES)
            part = view[: (PAGE_ENTRIES - index) * ENTRY]
            shard = self._shards[number % SHARDS]
            with shard.lock:
                page = self._load(shard, number)
                page.content[index * ENTRY : index * ENTRY + len(part)] = part
                self._soil(shard, number, page)
                self._reach(number + 1)
            first += len(part) // ENTRY
            view = view[len(part) :]

    def _reach(self, fresh: int) -> None:
        if fresh > self._fresh:
            with self._fresh_lock:  # others, with another shard's lock, may be further
                self._fresh = max(self._fresh, fresh)

    def flush(self) -> None:
        """Hand every changed page to the device; its flush is the caller's.  Raises as its writes do."""
        for shard in self._shards:
            if shard.dirty:
                with shard.lock:
                    for number, page in list(shard.dirty.items()):
                        self._write_back(shard, number, page)

    def holds(self, number: int) -> bool:
        """True if the medium holds the page as it is here; else it is written anew by :meth:`flush`.

        One that was changed and not written back yet counts as held.  Raises DeviceError but MediumError.
        """
        shard = self._shards[number % SHARDS]
        with shard.lock:
            known = number in shard.pages
            page = self._load(shard, number)
            if page.dirty or number >= self._fresh:
                return known or not page.dirty
            try:
                if self._device.read_medium(self._at(number), PAGE) == page.content:
                    return True
            except MediumError:
                pass
            self._soil(shard, number, page)
            return False

    # -- with the shard's lock held --------------------------------------------------------------

    def _load(self, shard: _Shard, number: int) -> Page:
        page = shard.pages.get(number)
        if page is None:
            if len(shard.pages) >= self._limit:
                self._make_room(shard)
            page = self._read(shard, number)
            shard.pages[number] = page
        page.used = True
        return page

    def _read(self, shard: _Shard, number: int) -> Page:
        if number >= self._fresh:
            return Page(bytes(PAGE))
        try:
            return Page(self._device.read(self._at(number), PAGE))
        except MediumError:
            page = Page(UNKNOWN * PAGE_ENTRIES)
            self._soil(shard, number, page)
            return page

    def _make_room(self, shard: _Shard) -> None:
        """Drop the page that was not used since it was last passed over (the clock algorithm).

        If it cannot be written it stays, and the next flush says so: whoever asks for another page has
        perhaps written its data already.
        """
        while True:
            number, page = next(iter(shard.pages.items()))
            if not page.used:
                break
            page.used = False
            shard.pages[number] = shard.pages.pop(number)
        with contextlib.suppress(DeviceError):
            if page.dirty:
                self._write_back(shard, number, page)
            del shard.pages[number]

    def _soil(self, shard: _Shard, number: int, page: Page) -> None:
        page.dirty = True
        shard.dirty[number] = page

    def _write_back(self, shard: _Shard, number: int, page: Page) -> None:
        self._device.write(self._at(number), page.content)
        page.dirty = False
        del shard.dirty[number]

    def _at(self, number: int) -> int:
        return self._start + number * PAGE
