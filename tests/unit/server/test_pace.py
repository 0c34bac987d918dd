"""When a write may be done at once."""

import pytest

from twinlock.server import pace
from twinlock.server.pace import CAUTION, SLOW_WRITE, Pace


class Time:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def keeps_up(pace: Pace) -> bool:
    turn = pace.try_begin()
    if turn is None:
        return False
    pace.end(turn)
    return True


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(pace, "time", time)
    return time


def test_quick_writes_may_be_many(time: Time) -> None:
    pace = Pace()
    turns = [pace.begin() for _ in range(32)]
    assert keeps_up(pace), "under high load there is always one under way"
    time.now += SLOW_WRITE / 2
    for turn in turns:
        pace.end(turn)
    assert keeps_up(pace)


def test_after_a_slow_write_there_is_a_while_of_caution(time: Time) -> None:
    pace = Pace()
    turn = pace.begin()
    time.now += 2 * SLOW_WRITE
    pace.end(turn)
    time.now += CAUTION * 0.9
    assert not keeps_up(pace)
    time.now += CAUTION * 0.2
    assert keeps_up(pace)


def test_a_write_that_hangs_tells_before_it_ends(time: Time) -> None:
    pace = Pace()
    turn = pace.begin()
    time.now += 10 * CAUTION
    assert not keeps_up(pace)
    pace.end(turn)
    assert not keeps_up(pace)


def test_what_lasts_by_its_nature_tells_from_its_beginning_but_leaves_no_trace(time: Time) -> None:
    pace = Pace()
    turn = pace.begin(lasting=True)
    assert not keeps_up(pace)
    time.now += 10
    pace.end(turn)
    assert keeps_up(pace)
