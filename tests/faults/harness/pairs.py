"""A fault of one member with a fault of the other: what is answered, and what is left."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from time import sleep

from tests.faults.harness.oracle import SECTOR, content
from tests.faults.harness.rig import Rig, Setup
from twinlock.block.faulty import Rates
from twinlock.block.mirror.member import MemberState
from twinlock.errors import DeviceError, SpaceExhausted

BLOCK = 4096
PLACE = 3 * BLOCK
OLD, NEW, OLDER = (content(value) * 8 for value in (2, 3, 1))


def _nothing(_rig: Rig, _number: int) -> None:
    """Nothing is wrong."""


def _rate(kind: str, letter: str) -> Callable[[Rig, int], None]:
    def inject(rig: Rig, number: int) -> None:
        rig.disks[number].rates = Rates(lambda: 0.0, {kind: {letter: 1.0}})

    return inject


def _unreadable(rig: Rig, number: int) -> None:
    rig.disks[number].break_reads(rig.places[number].data_offset + PLACE, BLOCK)


def _lie(rig: Rig, number: int) -> None:
    rig.disks[number].lying = True


def _slow(rig: Rig, number: int) -> None:
    """Every operation takes a while; whether it is too long, nobody says."""
    rig.disks[number].rates = Rates(lambda: 0.0, {kind: {"D": 1.0} for kind in "rwfd"})
    rig.disks[number].wait = lambda: sleep(0.0002)


def _gone(rig: Rig, number: int) -> None:
    rig.disks[number].vanish()


def _rotten_block(rig: Rig, number: int) -> None:
    rig.media[number].rot(rig.places[number].data_offset + PLACE + 77)


def _rotten_checksum(rig: Rig, number: int) -> None:
    rig.media[number].rot(rig.places[number].table_offset + PLACE // BLOCK * 4 + 1)


@dataclass(frozen=True, slots=True)
class Fault:
    """What a member with it can still do: give the block, take a write, promise a flush, and keep it."""

    name: str
    inject: Callable[[Rig, int], None]
    gives: bool = True
    takes: bool = True
    flushes: bool = True
    keeps: bool = True


FAULTS = (
    Fault("none", _nothing),
    Fault("delays", _slow),
    Fault("read error", _unreadable, gives=False),
    Fault("write error", _rate("w", "E"), takes=False, keeps=False),
    Fault("torn write", _rate("w", "T"), takes=False, keeps=False),
    Fault("flush error", _rate("f", "E"), flushes=False, keeps=False),
    Fault("lies about flush", _lie, keeps=False),
    Fault("full", _rate("w", "S"), takes=False, keeps=False),
    Fault("gone", _gone, gives=False, takes=False, flushes=False, keeps=False),
    Fault("rotten block", _rotten_block, gives=False),
    Fault("rotten checksum", _rotten_checksum, gives=False),
    Fault("stale", _nothing, gives=False),
)
NAMES = {fault.name: fault for fault in FAULTS}
PAIRS = [(a, b) for a in FAULTS for b in FAULTS if (a.name, b.name) != ("stale", "stale")]
BUSY_PAIRS = [pair for pair in PAIRS if NAMES["rotten checksum"] not in pair]
"""Of an array in use: a page of checksums that is in memory is not read again, whatever becomes of it."""


def prepare(a: Fault, b: Fault, setup: Setup, *, busy: bool) -> Rig:
    """Both hold OLD, unless one was away then; the table was read from the medium by nobody yet."""
    rig = Rig.create(setup)
    rig.start((0, 1))
    rig.mirror.write(PLACE, OLDER)
    rig.stop()
    present = tuple(number for number, fault in enumerate((a, b)) if fault.name != "stale")
    rig.start(present)
    rig.mirror.write(PLACE, OLD)
    rig.stop()
    rig.start((0, 1))
    if busy:
        rig.mirror.write(PLACE + BLOCK, OLD)
    for number, fault in enumerate((a, b)):
        fault.inject(rig, number)
    return rig


def outcome(act: Callable[[], object]) -> object:
    """What it returned, or the error it ended in."""
    try:
        found = act()
    except SpaceExhausted:
        return "full"
    except DeviceError:
        return "error"
    return bytes(found) if isinstance(found, bytes | bytearray | memoryview) else "done"


def read_expected(a: Fault, b: Fault) -> object:
    """OLD from whoever gives it, never anything else; one's checksum may vouch for the other's block."""
    vouched = {a.name, b.name} == {"rotten block", "rotten checksum"}
    return OLD if a.gives or b.gives or vouched else "error"


def write_expected(a: Fault, b: Fault) -> object:
    """A full member stops the write, a failed one does not, unless no member in sync is left."""
    in_sync = [fault for fault in (a, b) if fault.name != "stale"]
    if any(fault.name == "full" for fault in in_sync):
        return "full"
    return "done" if any(fault.takes for fault in in_sync) else "error"


def legal_after(a: Fault, b: Fault, *, promised: bool) -> set[bytes]:
    """What may be in each sector once power failed: NEW if that was promised, and kept.

    Nobody can tell afterwards that the preferred member lied: what it holds is what there is.
    """
    believed = any(fault.keeps for fault in (a, b) if fault.name != "stale")
    certain = promised and believed and a.name != "lies about flush"
    return {NEW[:SECTOR]} if certain else {OLD[:SECTOR], NEW[:SECTOR]}


def judge_pair(a: Fault, b: Fault, setup: Setup | None = None, *, busy: bool = False) -> None:
    """The first of two members has fault ``a``, the second ``b``; AssertionError if anything is wrong.

    ``busy``: the array was written to before, so what is noted ahead of a write is there already.
    """
    rig = prepare(a, b, setup or Setup(), busy=busy)
    found = outcome(lambda: rig.mirror.read(PLACE, BLOCK))
    assert found == read_expected(a, b)
    wrote = outcome(lambda: rig.mirror.write(PLACE, NEW))
    assert wrote == write_expected(a, b)
    flushed = outcome(rig.mirror.flush)
    if wrote == "done" and flushed == "done":
        assert outcome(lambda: rig.mirror.read(PLACE, BLOCK)) == NEW
    rig.power_cut(lambda: lambda _index: False, Random(1))
    rig.start((0, 1))
    left = outcome(lambda: rig.mirror.read(PLACE, BLOCK))
    assert isinstance(left, bytes)
    legal = legal_after(a, b, promised=(wrote, flushed) == ("done", "done"))
    assert {left[place : place + SECTOR] for place in range(0, BLOCK, SECTOR)} <= legal
    settled(rig, left)


def settled(rig: Rig, left: bytes) -> None:
    """The faults are over: both members get everything, and what was read stays."""
    rig.settle()
    assert bytes(rig.mirror.read(PLACE, BLOCK)) == left
    assert rig.having(MemberState.IN_SYNC) == [0, 1]
    assert rig.scrub().lost == 0  # it may find what rotted, where nobody has read it
    found = rig.scrub()
    assert (found.wrong, found.mismatches, found.lost) == (0, 0, 0)
