"""Pages of entries come and go while several threads change them, and no entry is lost or old."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest

from twinlock.block.checked.table import PAGE, PAGE_ENTRIES, SHARDS, ChecksumTable
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice

PATIENCE = 10.0
SOON = 0.05
"""Seconds in which a thread that is not kept waiting would have done its work."""


def table(pages: int, *, fresh: int, cache_pages: int = 1) -> tuple[ChecksumTable, FaultyDevice]:
    device = FaultyDevice(MemoryDevice(pages * PAGE, PAGE))
    return ChecksumTable(device, 0, fresh=fresh, cache_pages=cache_pages), device


def entry(number: int) -> bytes:
    return number.to_bytes(4, "little")


def found(table: ChecksumTable, page: int, index: int = 0) -> bytes:
    return bytes(table.page(page).content[4 * index : 4 * index + 4])


class Stopped:
    """Holds the operation of one kind at one place until the test lets it go on."""

    def __init__(self, device: FaultyDevice, kind: str, page: int) -> None:
        self.began, self.go_on = Event(), Event()
        self._what = kind, page * PAGE
        device.hook = self

    def __call__(self, kind: str, offset: int, _length: int) -> None:
        if (kind, offset) == self._what and not self.began.is_set():
            self.began.set()
            assert self.go_on.wait(PATIENCE)


def begin(act: Callable[[], object]) -> Thread:
    thread = Thread(target=act)
    thread.start()
    return thread


def end(*threads: Thread) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_change_of_a_page_that_is_being_written_back_is_not_lost() -> None:
    held, device = table(2 * SHARDS, fresh=2 * SHARDS)
    held.update(0, entry(7))
    gate = Stopped(device, "w", 0)
    pushing = begin(lambda: held.page(SHARDS))  # whose room page 0 has
    assert gate.began.wait(PATIENCE)
    changing = begin(lambda: held.update(1, entry(8)))
    changing.join(SOON)
    gate.go_on.set()
    end(pushing, changing)
    held.page(SHARDS)
    assert (found(held, 0), found(held, 0, 1)) == (entry(7), entry(8))
    held.flush()
    assert bytes(device.read(0, PAGE))[:8] == entry(7) + entry(8)


def test_a_page_that_is_being_read_is_changed_when_it_is_there() -> None:
    held, device = table(SHARDS, fresh=SHARDS)
    device.lower.write(0, entry(7) * PAGE_ENTRIES)
    gate = Stopped(device, "r", 0)
    looking = begin(lambda: held.page(0))
    assert gate.began.wait(PATIENCE)
    changing = begin(lambda: held.update(1, entry(8)))
    changing.join(SOON)
    gate.go_on.set()
    end(looking, changing)
    assert (found(held, 0), found(held, 0, 1)) == (entry(7), entry(8))


def test_a_flush_waits_for_a_page_that_is_being_written_back() -> None:
    held, device = table(2 * SHARDS, fresh=2 * SHARDS)
    held.update(0, entry(7))
    gate = Stopped(device, "w", 0)
    pushing = begin(lambda: held.page(SHARDS))
    assert gate.began.wait(PATIENCE)
    flushing = begin(held.flush)
    flushing.join(SOON)
    assert flushing.is_alive(), "what it promises is not on its way to the medium yet"
    gate.go_on.set()
    end(pushing, flushing)
    assert bytes(device.read(0, PAGE))[:4] == entry(7)


def test_how_far_the_medium_counts_never_goes_back() -> None:
    """Two threads find their pages to be the first of which nothing is on the medium."""
    held, _ = table(3 * SHARDS, fresh=1)
    lock = held._fresh_lock

    class Overtaken:
        """The other thread is further when this one has the lock."""

        other: Iterator[int] = iter([2])

        def __enter__(self) -> None:
            for page in self.other:
                held.update(page * PAGE_ENTRIES, entry(9))
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    held._fresh_lock = Overtaken()  # type: ignore[assignment]
    held.update(PAGE_ENTRIES, entry(8))
    held.flush()
    for page in (1, 2):  # they leave memory, and come back from the medium
        held.page(page + SHARDS)
    assert (found(held, 1), found(held, 2)) == (entry(8), entry(9))


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hurried")
def test_a_small_cache_loses_no_entry_under_threads() -> None:
    """Each thread has entries of its own in every page, and knows what it put there last."""
    pages = 3 * SHARDS
    held, device = table(pages, fresh=pages)
    device.hook = lambda _kind, _offset, _length: time.sleep(0)  # others have a turn in every access
    wrong: list[tuple[int, int]] = []

    def work(number: int) -> None:
        own, turns = random.Random(number), dict.fromkeys(range(pages), 0)
        for turn in range(1, 700):
            page = own.choice((0, 1, 2)) * SHARDS + own.randrange(4)
            if found(held, page, number) != entry(turns[page]):
                wrong.append((number, page))
            held.update(page * PAGE_ENTRIES + number, entry(turn))
            turns[page] = turn
            if turn % 50 == 0:
                held.flush()
        held.flush()
        kept = {page: bytes(device.read(page * PAGE, PAGE))[4 * number : 4 * number + 4] for page in turns}
        wrong.extend((number, page) for page, turn in turns.items() if kept[page] != entry(turn))

    end(*[begin(lambda number=number: work(number)) for number in range(4)])  # type: ignore[misc]
    assert wrong == []
