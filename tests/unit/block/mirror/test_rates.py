"""How fast resync, scrub and the rebuild of checksums really go, by a clock that only waiting moves."""

from collections.abc import Callable

import pytest
from typing_extensions import Buffer

from tests.unit.block.arrays import Array, array, make, media
from twinlock.block.mirror.mirror import IDLE
from twinlock.block.mirror.progress import JobKind
from twinlock.units import GIB, KIB, MIB, format_size

DATA = 16 * MIB
TICK = 0.0005
"""Seconds that a piece takes."""


def resync() -> Array:
    """The second member lacks the data."""
    made = filled()
    made.stop()
    made.start(0)
    made.mirror.write(0, b"y" * DATA)
    made.stop()
    made.start()
    made.mirror.step()  # what is to be done is found out with the first piece
    return made


def scrub() -> Array:
    made = filled()
    made.mirror.start_scrub()
    return made


def filled() -> Array:
    made = array()
    made.mirror.write(0, b"x" * DATA)
    made.mirror.flush()
    made.settle()
    return made


def run(made: Array, seconds: float, *, busy: bool) -> int:
    """Bytes of the data that are behind the work after so long."""
    until = made.clock.now + seconds
    before = behind(made)
    while made.clock.now < until and made.mirror.status().jobs:
        if busy:
            made.mirror.read(60 * MIB, 4096)
        made.clock.now += min(made.mirror.step(), 1.0) or TICK
    return behind(made) - before


def behind(made: Array) -> int:
    jobs = [job for job in made.mirror.status().jobs if job.kind in (JobKind.RESYNC, JobKind.SCRUB)]
    return min((job.done for job in jobs), default=DATA)


RATES = (
    pytest.param(20 * KIB, id="20K"),
    *(
        pytest.param(rate, marks=pytest.mark.long, id=format_size(rate))
        for rate in (100 * KIB, 500 * KIB, MIB, 2 * MIB, 5 * MIB)
    ),
)


@pytest.mark.parametrize("work", [resync, scrub])
@pytest.mark.parametrize("rate", RATES)
def test_the_maximum_holds_at_rest_whatever_the_minimum(work: Callable[[], Array], rate: int) -> None:
    made = work()
    made.mirror.limit_rate(None, rate)
    seconds = 8 * MIB / rate
    assert run(made, seconds, busy=False) == pytest.approx(8 * MIB, abs=MIB + rate)


@pytest.mark.parametrize("work", [resync, scrub])
@pytest.mark.parametrize("rate", RATES)
def test_the_minimum_is_what_there_is_under_load(work: Callable[[], Array], rate: int) -> None:
    made = work()
    made.mirror.limit_rate(rate, None)
    made.mirror.read(60 * MIB, 4096)
    made.mirror.step()
    seconds = 8 * MIB / rate
    assert run(made, seconds, busy=True) == pytest.approx(8 * MIB, abs=2 * MIB + rate)


def test_once_the_load_ends_it_goes_on_at_the_maximum() -> None:
    made = resync()
    made.mirror.limit_rate(100 * KIB, 4 * MIB)
    run(made, 20, busy=True)
    assert run(made, 3, busy=False) >= 6 * MIB


def sparse() -> Array:
    """1 GiB, of which 1 MiB holds data; both members to be compared, as after their first build."""
    made = Array(media(2, GIB))
    make(made.media, assume_clean=False)
    made.start()
    made.mirror.write(512 * MIB, b"x" * MIB)
    return made


@pytest.mark.parametrize("maximum", [20 * KIB, 2 * MIB])
def test_holes_are_free(maximum: int) -> None:
    """What is paid for is the data, and of a scrub the checksums, which it reads from the medium too."""
    made = sparse()
    made.mirror.limit_rate(None, maximum)
    began = made.clock.now
    while made.mirror.step() < IDLE or made.mirror.status().jobs:
        made.clock.now += 0.1
    assert made.clock.now - began <= 2 * 2 * MIB / maximum + 60
    made.mirror.start_scrub()
    began = made.clock.now
    while made.mirror.scrub_status.ended is None:
        made.clock.now += made.mirror.step() or TICK
    tables = GIB // 1024
    assert made.clock.now - began <= (2 * MIB + tables) / maximum + 60


def test_what_cannot_be_read_is_paid_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad medium is slow, and is not to be asked as often as it can answer."""
    made = resync()
    disk = made.disks[0]
    start = made.mirror._record.members[0].superblock.header.data_offset * 512
    disk.break_reads(start, DATA)
    asked: set[int] = set()
    read = disk.read

    def noted(offset: int, length: int) -> Buffer:
        asked.add((offset - start) // MIB)
        return read(offset, length)

    monkeypatch.setattr(disk, "read", noted)
    made.mirror.limit_rate(None, MIB)
    until = made.clock.now + 5
    while made.clock.now < until:
        made.clock.now += min(made.mirror.step(), 1.0) or TICK
    assert 3 <= len(asked) <= 7


def test_a_scrub_is_not_told_the_rate_of_the_last_one() -> None:
    made = scrub()
    run(made, 30, busy=False)
    made.mirror.start_scrub()
    (job,) = made.mirror.status().jobs
    assert (job.done, job.rate, job.seconds_left) == (0, None, None)


def test_the_rate_that_is_told_is_the_one_asked_for() -> None:
    """Also where most of the array is holes, and long before the first minute is over."""
    made = array(size=GIB)
    for place in (0, 300, 600, 900):
        made.mirror.write(place * MIB, b"x" * 4 * MIB)
    made.settle()
    made.mirror.limit_rate(None, MIB)
    made.mirror.start_scrub()
    told = []
    while made.mirror.scrub_status.ended is None:
        made.clock.now += made.mirror.step() or TICK
        told += [job.rate for job in made.mirror.status().jobs if job.rate is not None]
    assert told
    assert max(told) <= 1.2 * MIB
    assert sum(told) / len(told) == pytest.approx(MIB, rel=0.15)


def test_a_scrub_that_had_to_wait_for_what_is_more_urgent_is_not_told_as_slow() -> None:
    made = scrub()
    made.mirror.limit_rate(None, MIB)
    run(made, 4.5, busy=False)
    made.mirror._intent.need(range(4))
    told = []
    while made.mirror.scrub_status.ended is None:
        made.clock.now += made.mirror.step() or TICK
        jobs = {job.kind: job for job in made.mirror.status().jobs}
        if JobKind.RESYNC in jobs:
            assert jobs[JobKind.SCRUB].rate is jobs[JobKind.SCRUB].seconds_left is None, "nobody knows"
        elif JobKind.SCRUB in jobs and (rate := jobs[JobKind.SCRUB].rate) is not None:
            told.append(rate)
    assert told
    assert min(told) == pytest.approx(MIB, rel=0.1)
