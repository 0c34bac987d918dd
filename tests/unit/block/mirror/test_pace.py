"""How fast the background may go, by a clock that stands still until it is moved."""

import pytest

from tests.unit.block.arrays import Clock
from twinlock.block.mirror.pace import BUSY, LONGEST, Pace
from twinlock.units import MIB


def copied_in(pace: Pace, clock: Clock, seconds: float, *, busy: bool) -> int:
    """Bytes that somebody copies who obeys, MiB by MiB, while the initiator is at work or not."""
    until, copied, commands = clock.now + seconds, 0, 0
    while clock.now < until:
        commands += busy
        wait = pace.wait(commands)
        assert wait <= LONGEST
        clock.now += wait or 0.001  # a MiB takes a millisecond
        if not wait:
            pace.note(MIB)
            copied += MIB
    return copied


@pytest.mark.parametrize(
    ("minimum", "maximum", "busy", "expected"),
    [
        (10 * MIB, None, False, 1000 * MIB),
        (10 * MIB, None, True, 10 * MIB),
        (10 * MIB, 40 * MIB, False, 40 * MIB),
        (10 * MIB, 40 * MIB, True, 10 * MIB),
        (40 * MIB, 10 * MIB, False, 10 * MIB),
        (40 * MIB, 10 * MIB, True, 10 * MIB),
        (100_000, None, True, 100_000),
    ],
)
def test_the_rate_is_the_one_asked_for(minimum: int, maximum: int | None, busy: bool, expected: int) -> None:
    clock = Clock()
    pace = Pace(clock, minimum, maximum)
    pace.wait(0)
    assert copied_in(pace, clock, 60, busy=busy) == pytest.approx(60 * expected, rel=0.05, abs=MIB)


def test_a_minimum_of_nothing_stands_still_only_while_the_initiator_is_at_work() -> None:
    clock = Clock()
    pace = Pace(clock, 0)
    assert not pace.wait(5), "nobody knows yet whether the initiator is at work"
    assert pace.wait(6) == LONGEST
    clock.now += BUSY - 0.01
    assert pace.wait(6) == LONGEST
    clock.now += 0.02
    assert not pace.wait(6)


def test_what_was_waited_for_at_a_low_rate_is_not_owed_any_more_once_the_initiator_rests() -> None:
    clock = Clock()
    pace = Pace(clock, MIB)
    pace.wait(0)
    pace.wait(1)
    pace.note(4 * MIB)
    assert pace.wait(1) == LONGEST
    clock.now += BUSY + 0.01
    assert not pace.wait(1)


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    clock = Clock()
    pace = Pace(clock, MIB)
    pace.wait(0)
    pace.wait(1)
    pace.note(MIB)
    clock.now -= 3600
    assert not pace.wait(1)
