"""Power cuts at any moment, any subset of unflushed writes lost; an oracle knows what may be read afterwards.

Each block may hold what the last successful flush left there, or anything that was
written to it since; one that was discarded may hold zeros as well, for only one of the
members knows how to.  Members come and go between the cuts, and run out of room.
"""

from random import Random

import pytest

from tests.support.faults import times
from tests.unit.block.arrays import BLOCK, Array, Keeper, make, media
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import MemberState
from twinlock.block.mirror.record import Record
from twinlock.errors import SpaceExhausted
from twinlock.units import MIB

SIZE = 24 * MIB
DATA = member_layout(SIZE).data_offset
PLACES = [chunk * 4 * MIB + block * BLOCK for chunk in (0, 1, 4) for block in range(6)]
LIVES, CYCLES = times(25, 1000), 6


class PowerCut(Exception):
    """The machine stops in the middle of an operation."""


class Oracle:
    """What each block may hold."""

    def __init__(self) -> None:
        self.legal: dict[int, set[int]] = {place: {0} for place in PLACES}
        self.last: dict[int, set[int]] = {place: {0} for place in PLACES}

    def begins(self, place: int, value: int) -> None:
        """A write that may come to nothing."""
        self.legal[place].add(value)
        self.last[place] = self.last[place] | {value}

    def written(self, place: int, value: int) -> None:
        self.last[place] = {value}

    def flushed(self) -> None:
        self.legal = {place: set(values) for place, values in self.last.items()}

    def check(self, place: int, found: bytes, *, settled: bool) -> None:
        """What is read is legal; it stays so if the members agree, and no disk can fail that alone has it."""
        value = int.from_bytes(found[:8], "little")
        assert found == value.to_bytes(8, "little") * (BLOCK // 8), f"block {place} is torn"
        assert value in self.legal[place], f"block {place} holds {value}, not one of {self.legal[place]}"
        self.last[place] = {value} if settled else set(self.legal[place])
        self.legal[place] = set(self.last[place])


class Life:
    """One array through many power cuts."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.array = Array([*media(1, SIZE), Keeper(SIZE, BLOCK, path="keeper")])
        self.oracle = Oracle()
        self.value = 0
        self.lost = False
        self.share = 1.0
        make(self.array.media)

    def cycle(self) -> None:
        self.array.start(*self.random.choice([(0, 1)] * 4 + [self.current()]))
        self.random.choice([self.recover, self.check])()
        self.lost = False
        budget = self.random.randrange(200)

        def tick(_kind: str, _offset: int, _length: int) -> None:
            nonlocal budget
            budget -= 1
            if budget < 0:
                raise PowerCut

        for disk in self.array.disks:
            disk.hook = tick
        try:
            while True:
                self.act()
        except PowerCut:
            pass
        for disk in self.array.disks:
            disk.hook = None
            self.share = self.random.random()
            disk.power_cut(self.survives)

    def survives(self, _index: int) -> bool:
        return self.random.random() < self.share

    def current(self) -> tuple[int, ...]:
        """A member that may start alone: one that is in sync with the last that ran."""
        mirror = getattr(self.array, "mirror", None)
        if mirror is None:
            return (0,)
        in_sync = [m.role for m in mirror.status().members if m.state is MemberState.IN_SYNC]
        return (self.random.choice(in_sync),) if len(in_sync) == 1 else (0, 1)

    def act(self) -> None:
        self.random.choice(ACTS)(self)

    def write(self) -> None:
        place = self.random.choice(PLACES)
        self.value += 1
        self.oracle.begins(place, self.value)
        self.array.mirror.write(place, self.value.to_bytes(8, "little") * (BLOCK // 8))
        self.oracle.written(place, self.value)

    def discard(self) -> None:
        place = self.random.choice(PLACES)
        self.oracle.begins(place, 0)
        self.array.mirror.discard(place, BLOCK)

    def write_without_room(self) -> None:
        """One member has no room for what comes next, be it data or a note about them."""
        disk = self.random.choice(self.array.disks)
        disk.plan = "S"
        try:
            self.write()
        except SpaceExhausted:
            pass
        finally:
            disk.plan = ""

    def flush(self) -> None:
        self.array.mirror.flush()
        self.oracle.flushed()

    def rest(self) -> None:
        self.array.clock.now += 5
        self.array.mirror.step()

    def step(self) -> None:
        self.array.mirror.step()

    def lose(self) -> None:
        """One of two members in sync vanishes, now and then."""
        in_sync = [m.role for m in self.array.mirror.status().members if m.state is MemberState.IN_SYNC]
        if len(in_sync) == 2 and not self.lost and self.random.random() < 0.2:
            self.lost = True
            self.array.disks[self.random.randrange(2)].vanish()

    def check(self, *, settled: bool = False) -> None:
        for place in PLACES:
            self.oracle.check(place, bytes(self.array.mirror.read(place, BLOCK)), settled=settled)

    def recover(self) -> None:
        """Every block is legal before, during and after the resync, and then the members agree."""
        mirror = self.array.mirror
        seen = [bytes(mirror.read(place, BLOCK)) for place in PLACES]
        self.check()
        self.array.settle()
        self.check(settled=True)
        assert seen == [bytes(mirror.read(place, BLOCK)) for place in PLACES]
        mirror.flush()
        if all(member.state is MemberState.IN_SYNC for member in mirror.status().members):
            left, right = (bytes(medium.read(DATA, SIZE - DATA)) for medium in self.array.media)
            same = left == right  # apart from the assertion, which would spell out megabytes of difference
            assert same, "the members differ after the resync"


ACTS = [
    *[Life.write] * 6,
    Life.flush,
    Life.rest,
    *[Life.step] * 2,
    Life.lose,
    Life.discard,
    Life.write_without_room,
]


def live(seed: int) -> None:
    life = Life(seed)
    for _ in range(CYCLES):
        life.cycle()
    life.array.start()
    life.recover()
    states = [member.state for member in life.array.mirror.status().members]
    assert states == [MemberState.IN_SYNC, MemberState.IN_SYNC]


def live_all() -> None:
    for seed in range(LIVES):
        live(seed)


@pytest.mark.parametrize("seed", range(LIVES))
def test_nothing_flushed_is_lost_and_nothing_wrong_is_read(seed: int) -> None:
    live(seed)


def test_the_oracle_notices_a_bitmap_that_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Record, "mark", lambda self, chunks: None)
    with pytest.raises(AssertionError, match=r"differ|holds"):
        live_all()


def test_the_oracle_notices_a_failure_that_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(self: Record, broken: dict[object, object]) -> None:
        self._expel(broken)  # type: ignore[arg-type]
        self.recorded = True

    monkeypatch.setattr(Record, "fail", forget)
    with pytest.raises(AssertionError, match=r"differ|holds"):
        live_all()
