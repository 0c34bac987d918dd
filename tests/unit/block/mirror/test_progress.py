"""Rate and time left, over a moving window."""

import pytest

from tests.unit.block.arrays import Clock
from twinlock.block.mirror.progress import WINDOW, Job, JobKind, Meter, Progress


def test_nothing_is_told_before_there_is_something_to_tell_it_from() -> None:
    clock = Clock()
    meter = Meter(clock)
    assert (meter.rate, meter.seconds_left) == (None, None)
    meter.note(Progress(0, 1000))
    clock.now += 0.5
    meter.note(Progress(100, 1000))
    assert (meter.rate, meter.seconds_left) == (None, None)
    clock.now += 0.5
    meter.note(Progress(200, 1000))
    assert (meter.rate, meter.seconds_left) == (200.0, 4.0)


def test_the_rate_is_that_of_the_window() -> None:
    clock = Clock()
    meter = Meter(clock)
    for second in range(100):
        meter.note(Progress(second * 1000, 10**6))
        clock.now += 1
    for second in range(100):
        meter.note(Progress(100_000 + second * 10, 10**6))
        clock.now += 1
    assert meter.rate == pytest.approx(10, rel=0.1)
    clock.now += WINDOW
    assert meter.rate == pytest.approx(5, rel=0.1), "while nothing moves, it falls"


def test_one_that_stands_still_never_ends() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.note(Progress(5, 10))
    clock.now += 10
    assert meter.rate == 0
    assert meter.seconds_left is None


def test_a_piece_that_takes_longer_than_the_window_is_measured_all_the_same() -> None:
    clock = Clock()
    meter = Meter(clock)
    for number in range(4):
        meter.note(Progress(number * 1000, 10**6))
        clock.now += 2 * WINDOW
    assert meter.rate is not None
    assert meter.rate > 0


@pytest.mark.parametrize(("done", "seconds"), [(10, 0), (1000, -3600)], ids=["another job", "clock set back"])
def test_it_begins_anew(done: int, seconds: float) -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.note(Progress(0, 1000))
    clock.now += 10
    meter.note(Progress(900, 1000))
    clock.now += seconds
    meter.note(Progress(done, 1000))
    assert meter.rate is None
    clock.now += 10
    assert meter.rate == 0


def test_a_job_says_it_all_and_a_reset_forgets_it() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.note(Progress(0, 100))
    clock.now += 2
    meter.note(Progress(50, 100))
    assert meter.job(JobKind.SCRUB, Progress(50, 100)) == Job(JobKind.SCRUB, 50, 100, 25.0, 2.0)
    meter.reset()
    assert meter.job(JobKind.RESYNC, Progress(0, 100)) == Job(JobKind.RESYNC, 0, 100)
