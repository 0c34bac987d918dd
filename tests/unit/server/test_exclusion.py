"""Ranges held alone and shared: who waits for whom."""

import random
import sys
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest

from twinlock.server.exclusion import Exclusion

SOON = 0.15
"""Seconds in which a thread that nothing holds up would be through."""


def held(exclusion: Exclusion, offset: int, length: int, *, alone: bool) -> tuple[Thread, Event, Event]:
    """A thread that takes the range and keeps it; its events: it has it, and it may let go."""
    has, may_go = Event(), Event()
    take = exclusion.alone if alone else exclusion.shared

    def work() -> None:
        with take(offset, length):
            has.set()
            may_go.wait()

    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread, has, may_go


def test_sharers_do_not_wait_for_each_other() -> None:
    exclusion = Exclusion()
    both = [held(exclusion, 0, 10, alone=False) for _ in range(2)]
    assert all(has.wait(5) for _, has, _ in both)
    for thread, _, may_go in both:
        may_go.set()
        thread.join()


def test_what_does_not_overlap_passes() -> None:
    exclusion = Exclusion()
    with exclusion.alone(0, 10), exclusion.alone(10, 10):
        ticket = exclusion.try_share(20, 1)
        assert ticket is not None
        exclusion.leave(ticket)
        assert exclusion.try_share(19, 1) is None


def test_who_is_alone_waits_for_sharers_who_were_there_before() -> None:
    exclusion = Exclusion()
    ticket = exclusion.try_share(5, 1)
    assert ticket is not None
    thread, has, may_go = held(exclusion, 0, 10, alone=True)
    assert not has.wait(SOON)
    exclusion.leave(ticket)
    assert has.wait(5)
    may_go.set()
    thread.join()


def test_nobody_overtakes_who_waits_to_be_alone() -> None:
    exclusion = Exclusion()
    first, waiting = exclusion.try_share(0, 10), held(exclusion, 0, 10, alone=True)
    assert first is not None
    assert not waiting[1].wait(SOON)
    assert exclusion.try_share(9, 1) is None
    late = held(exclusion, 9, 1, alone=False)
    assert not late[1].wait(SOON)
    exclusion.leave(first)
    assert waiting[1].wait(5)
    assert not late[1].wait(SOON)
    waiting[2].set()
    assert late[1].wait(5)
    late[2].set()
    for thread, *_ in (waiting, late):
        thread.join()


def test_after_all_is_over_nothing_is_left() -> None:
    exclusion = Exclusion()
    with exclusion.alone(0, 10):
        assert exclusion.try_share(0, 1) is None
    for _ in range(3):
        ticket = exclusion.try_share(0, 1)
        assert ticket is not None
        exclusion.leave(ticket)
    with exclusion.alone(0, 10):
        pass


def test_nothing_is_left_behind() -> None:
    """Whoever was alone would make all others search, for ever."""
    exclusion = Exclusion()
    with exclusion.alone(0, 10), exclusion.shared(10, 10):
        assert exclusion._entries
        assert exclusion._alone
    assert not exclusion._entries
    assert not exclusion._alone


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that are interrupted at every turn."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_nobody_is_ever_beside_who_is_alone_and_all_come_to_an_end() -> None:
    exclusion = Exclusion()
    users: list[set[tuple[int, bool]]] = [set() for _ in range(4)]
    seen: list[tuple[int, bool]] = []

    def use(me: int, places: range, *, alone: bool) -> None:
        for place in places:
            users[place].add((me, alone))
        for place in places:
            others = users[place].copy() - {(me, alone)}
            seen.extend(other for other in others if alone or other[1])
        for place in places:
            users[place].discard((me, alone))

    def work(me: int) -> None:
        chance = random.Random(me)
        for _ in range(400):
            start, length, how = chance.randrange(3), chance.randint(1, 2), chance.randrange(6)
            places = range(start, start + length)
            if how == 0:
                with exclusion.alone(start, length):
                    use(me, places, alone=True)
            elif how == 1:
                with exclusion.shared(start, length):
                    use(me, places, alone=False)
            elif (ticket := exclusion.try_share(start, length)) is not None:
                use(me, places, alone=False)
                exclusion.leave(ticket)

    threads = [Thread(target=work, args=(me,), daemon=True) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not seen
    assert not exclusion._entries


class Hooked(dict[int, tuple[int, int]]):
    """The entries, with something that happens at the worst moment, once."""

    def __init__(self, *, before_entry: Callable[[], object] | None = None) -> None:
        super().__init__()
        self.before_entry = before_entry
        self.after_look: Callable[[], object] | None = None

    def __setitem__(self, ticket: int, place: tuple[int, int]) -> None:
        hook, self.before_entry = self.before_entry, None
        if hook is not None:
            hook()
        super().__setitem__(ticket, place)

    def copy(self) -> dict[int, tuple[int, int]]:
        hook, self.after_look = self.after_look, None
        seen = super().copy()
        if hook is not None:
            hook()
        return seen


def test_who_comes_to_be_alone_just_before_a_sharer_enters_is_seen() -> None:
    exclusion = Exclusion()
    started: list[tuple[Thread, Event, Event]] = []

    def another_is_alone() -> None:
        started.append(held(exclusion, 0, 10, alone=True))
        assert started[0][1].wait(5)

    exclusion._entries = Hooked(before_entry=another_is_alone)
    assert exclusion.try_share(0, 10) is None
    started[0][2].set()
    started[0][0].join()


def test_who_leaves_just_after_it_was_seen_wakes_who_will_wait_for_it() -> None:
    exclusion = Exclusion()
    exclusion._entries = entries = Hooked()
    ticket = exclusion.try_share(0, 10)
    assert ticket is not None

    def leave() -> None:
        leaver = Thread(target=exclusion.leave, args=(ticket,), daemon=True)
        leaver.start()
        leaver.join(SOON)
        assert ticket not in entries

    entries.after_look = leave
    thread, has, may_go = held(exclusion, 0, 10, alone=True)
    assert has.wait(5)
    may_go.set()
    thread.join()
