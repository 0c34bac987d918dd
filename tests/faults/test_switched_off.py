"""Each kind of injected fault is noticed where the code that deals with it is switched off."""

from threading import Event, Thread

import pytest

from tests.faults.harness.oracle import content
from tests.faults.harness.pairs import BLOCK, NAMES, PLACE, judge_pair
from tests.faults.harness.rig import Rig, Setup
from tests.faults.harness.switches import without
from twinlock.block.faulty import Rates
from twinlock.errors import DeviceError

PLAIN, CHECKED = Setup(checksums=False), Setup()
MISSED = (
    ("read error", "none", "answer of another member", CHECKED),
    ("write error", "none", "failure of a write", PLAIN),
    ("torn write", "none", "failure of a write", PLAIN),
    ("flush error", "none", "failure of a flush", CHECKED),
    ("none", "lies about flush", "bitmap write", CHECKED),
    ("none", "lies about flush", "resync", PLAIN),
    ("write error", "none", "failure record", PLAIN),
    ("gone", "none", "answer of another member", CHECKED),
    ("rotten block", "none", "checksum verify", CHECKED),
    ("none", "stale", "resync", CHECKED),
)
"""Faults of the first and the second member, what deals with them, and where: checksums make up for some."""


@pytest.mark.parametrize(("first", "second", "mechanism", "setup"), MISSED)
def test_a_fault_is_noticed_without_what_deals_with_it(
    first: str, second: str, mechanism: str, setup: Setup
) -> None:
    judge_pair(NAMES[first], NAMES[second], setup, busy=True)
    with without(mechanism), pytest.raises((AssertionError, DeviceError)):
        judge_pair(NAMES[first], NAMES[second], setup, busy=True)


def overlapping_writes(rig: Rig) -> list[bytes]:
    """A write that one member delays, and a second one to the same block; what the members hold then."""
    begun, over = Event(), Event()

    def wait() -> None:
        if not begun.is_set():
            begun.set()
            over.wait(0.3)  # as long as the other takes, unless that one waits for this one

    def write_again() -> None:
        rig.mirror.write(PLACE, content(2) * 8)
        over.set()

    slow = rig.disks[1]
    slow.rates = Rates(lambda: float(slow.operations[-1][1] != _place(rig, 1)), {"w": {"D": 0.5}})
    slow.wait = wait
    first, second = Thread(target=rig.mirror.write, args=(PLACE, content(1) * 8)), Thread(target=write_again)
    first.start()
    assert begun.wait(5)
    second.start()
    first.join()
    second.join()
    return [bytes(rig.disks[number].read(_place(rig, number), BLOCK)) for number in (0, 1)]


def _place(rig: Rig, number: int) -> int:
    return rig.places[number].data_offset + PLACE


def started() -> Rig:
    """Two members."""
    rig = Rig.create(Setup())
    rig.start((0, 1))
    return rig


def test_a_delay_is_noticed_without_the_order_of_overlapping_writes() -> None:
    assert overlapping_writes(started()) == [content(2) * 8] * 2
    with without("order of overlapping writes"):
        one, other = overlapping_writes(started())
    assert one != other
