"""Ranges held alone and shared: who waits for whom."""

from threading import Event, Thread

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
