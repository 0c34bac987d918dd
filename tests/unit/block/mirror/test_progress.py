"""Rate and time left, over a moving window."""

import pytest

from tests.unit.block.arrays import Clock
from twinlock.block.mirror.progress import WINDOW, Job, JobKind, Meter, Progress

SCRUB = JobKind.SCRUB


def told(meter: Meter, done: int, total: int) -> tuple[float | None, float | None]:
    job = meter.job(SCRUB, Progress(done, total))
    return job.rate, job.seconds_left


def test_nothing_is_told_before_there_is_something_to_tell_it_from() -> None:
    clock = Clock()
    meter = Meter(clock)
    assert told(meter, 0, 1000) == (None, None)
    meter.note(Progress(0, 1000), 0)
    clock.now += 0.5
    meter.note(Progress(100, 1000), 100)
    assert told(meter, 100, 1000) == (None, None)
    clock.now += 0.5
    meter.note(Progress(200, 1000), 200)
    assert told(meter, 200, 1000) == (200.0, 4.0)


def test_the_rate_is_that_of_the_window() -> None:
    clock = Clock()
    meter = Meter(clock)
    for second in range(100):
        meter.note(Progress(second * 1000, 10**6), second * 1000)
        clock.now += 1
    for second in range(100):
        meter.note(Progress(100_000 + second * 10, 10**6), 100_000 + second * 10)
        clock.now += 1
    assert told(meter, 100_990, 10**6)[0] == pytest.approx(10, rel=0.1)
    clock.now += WINDOW
    assert told(meter, 100_990, 10**6)[0] == pytest.approx(5, rel=0.1), "while nothing moves, it falls"


def test_what_is_passed_over_shortens_the_time_left_and_is_no_rate() -> None:
    """Else a sparse volume would seem to be copied at gigabytes a second, whatever the limit."""
    clock = Clock()
    meter = Meter(clock)
    meter.note(Progress(0, 10_000), 500)
    clock.now += 10
    meter.note(Progress(5_000, 10_000), 600)
    assert told(meter, 5_000, 10_000) == (10.0, 10.0)


def test_between_two_pieces_the_rate_does_not_fall() -> None:
    """A piece is done at once, and paid for by a wait, which may be longer than the window."""
    clock = Clock()
    meter = Meter(clock)
    for number in range(3):
        meter.note(Progress(number * 1000, 10**6), number * 1000)
        clock.now += 2 * WINDOW
    assert told(meter, 2000, 10**6)[0] == pytest.approx(1000 / (2 * WINDOW))


def test_one_that_stands_still_never_ends() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.note(Progress(5, 10), 5)
    clock.now += WINDOW
    assert told(meter, 5, 10) == (None, None)
    clock.now += 1
    assert told(meter, 5, 10) == (0.0, None)


@pytest.mark.parametrize(("done", "seconds"), [(10, 0), (1000, -3600)], ids=["another job", "clock set back"])
def test_it_begins_anew(done: int, seconds: float) -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.note(Progress(0, 1000), 0)
    clock.now += 10
    meter.note(Progress(900, 1000), 900)
    clock.now += seconds
    meter.note(Progress(done, 1000), 910)
    assert told(meter, done, 1000) == (None, None)


def test_a_job_that_has_just_begun_is_not_told_the_rate_of_the_last_one() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.note(Progress(0, 100), 0)
    clock.now += 2
    meter.note(Progress(50, 100), 50)
    assert meter.job(SCRUB, Progress(50, 100)) == Job(SCRUB, 50, 100, 25.0, 2.0)
    assert meter.job(SCRUB, Progress(0, 100)) == Job(SCRUB, 0, 100)
    meter.reset()
    assert meter.job(SCRUB, Progress(50, 100)) == Job(SCRUB, 50, 100)
