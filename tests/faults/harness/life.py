"""One array through many crashes: random acts, a power cut, a start, and the oracle's word."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Self

from tests.faults.harness.acts import ACTS, FLUSH, Act, put
from tests.faults.harness.oracle import SECTOR, Illegal, Oracle
from tests.faults.harness.points import POINTS, Cutter, PowerCut
from tests.faults.harness.rig import Rig, Setup
from tests.faults.harness.rot import let_rot
from twinlock.block.mirror.member import MemberState
from twinlock.errors import MembersDiverged, MemberUnusable, TwinlockError
from twinlock.units import MIB

PRESENT = (MemberState.IN_SYNC, MemberState.REBUILDING)
CYCLES = 6
"""Power cuts in one life."""
ACTS_AT_MOST = 80
BLOCK = 4096
CHUNK = 4 * MIB
POINT_SHARE = 0.6
"""How often power fails at a point that has a name."""


def setup_for(random: Random) -> Setup:
    """Any kind of array."""
    members = random.choice([2, 2, 2, 3])
    keepers = tuple(number for number in range(members + 4) if random.random() < 0.25)
    block_size = random.choice([512, 512, 4096])
    return Setup(members, random.random() < 0.7, block_size, keepers)


@dataclass
class Life:
    """``trusted``: media of which each alone has all that was acknowledged."""

    random: Random
    rig: Rig
    oracle: Oracle = field(default_factory=Oracle)
    value: int = 0
    trusted: set[int] = field(default_factory=set)
    known: set[int] = field(default_factory=set)
    """Media that are, or were, of the array."""
    party: set[int] = field(default_factory=set)
    """Media that took part when power failed last."""
    refusals: int = 0
    rotten: set[int] = field(default_factory=set)
    """Blocks that one member does not hold any more, and that nobody has read from it yet."""
    old_rot: set[int] = field(default_factory=set)
    """Those of before the last start: what rots of a table is not noticed while its page is in memory."""
    last_start: tuple[int, ...] = ()
    points: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    cut_at: str | None = None

    @classmethod
    def begin(cls, seed: int | str, setup: Setup | None = None) -> Self:
        """A new array."""
        random = Random(seed)
        rig = Rig.create(setup or setup_for(random))
        numbers = set(range(len(rig.media)))
        return cls(random, rig, trusted=set(numbers), known=set(numbers), party=set(numbers))

    @property
    def blocks(self) -> list[int]:
        """Where is written to and looked at (bytes of the array): blocks in some chunks, and the end."""
        size = self.rig.mirror.size
        starts = [*(chunk * CHUNK for chunk in (0, 1, 3)), size - 6 * BLOCK]
        if size > 18 * MIB:
            starts.append(18 * MIB)
        return [start + index * BLOCK for start in starts for index in range(6)]

    # -- a cycle --------------------------------------------------------------------------------

    def cycle(self) -> None:
        """A start, acts, and a crash (or now and then a stop)."""
        numbers = self._who_starts()
        self._arm()
        try:
            self._live(numbers)
        except PowerCut:
            self._lose_power()
            return
        self.rig.cutter = None
        if self.rotten or self.random.random() < 0.8:
            self._lose_power()
        else:
            self._stop()

    def _arm(self) -> None:
        self.cut_at = None
        count = self.random.randrange(250)
        if self.random.random() < POINT_SHARE:
            self.cut_at = self.random.choice(sorted(POINTS))
            count = self.random.choice([0, 0, 1, 2, 3, 5, 8])
        self.rig.cutter = Cutter(self.cut_at, count)

    def _live(self, numbers: tuple[int, ...]) -> None:
        self.start(numbers)
        first = self.random.choice([self.recover, self.look, None])
        if first is not None:
            first()
        for _ in range(ACTS_AT_MOST):
            self.act(self.random.choices(ACTS, weights=[act.weight for act in ACTS])[0])

    def start(self, numbers: tuple[int, ...]) -> None:
        """Assemble these, and find out who has everything."""
        if numbers != self.last_start:
            self.oracle.others_answer()
        self.last_start = numbers
        self.told.append(f"start {numbers}")
        self.old_rot = set(self.rotten)
        try:
            self.rig.start(numbers)
        except (MemberUnusable, MembersDiverged) as error:
            self._without_strangers(numbers, error)
            return
        self.note_members()

    def _without_strangers(self, numbers: tuple[int, ...], error: TwinlockError) -> None:
        """Who left long ago may be refused, and a person takes it away; those of the last run never are."""
        party = tuple(number for number in numbers if number in self.party)
        if party == numbers:
            raise error
        self.told.append(f"refused: {type(error).__name__}")
        self.refusals += 1
        self.known &= self.party
        self.start(party)

    def act(self, act: Act) -> None:
        """One of the acts, and what it changed."""
        before = set(self.trusted)
        self.told.append(act.name)
        try:
            with self.rig.doing(act.name):
                act.do(self)
        finally:
            self.trusted = before & set(self.rig.having(MemberState.IN_SYNC)) or before
            self.party |= set(self.rig.having(*PRESENT))
        self.note_members()

    def note_members(self) -> None:
        """Nothing is under way: who is in sync now has everything."""
        in_sync = set(self.rig.having(MemberState.IN_SYNC))
        if in_sync != self.trusted:
            self.oracle.others_answer()
        self.trusted = in_sync
        self.party = set(self.rig.having(*PRESENT))
        self.known |= set(self.rig.having(*PRESENT, MemberState.SPARE))

    # -- its end --------------------------------------------------------------------------------

    def _lose_power(self) -> None:
        self.told.append(f"power cut at {self.cut_at}")
        if self.cut_at is not None and self.rig.cutter is not None and self.rig.cutter.cut:
            self.points[self.cut_at] = self.points.get(self.cut_at, 0) + 1
        self.rig.power_cut(self.survives, self.random)
        self.oracle.crashed()

    def survives(self) -> Callable[[int], bool]:
        """A new share of what one disk keeps."""
        share = self.random.choice([0.0, 1.0, self.random.random()])
        return lambda _index: self.random.random() < share

    def _stop(self) -> None:
        self.told.append("stop")
        flush = self.oracle.flush_begins()
        self.rig.stop()
        self.oracle.flushed(flush)
        self.oracle.crashed()

    def _who_starts(self) -> tuple[int, ...]:
        """All, or some among whom is one that has everything."""
        everybody = sorted(self.known | self.trusted)
        if self.rotten or self.random.random() < 0.8:
            return tuple(everybody)
        sure = self.random.choice(sorted(self.trusted))
        return tuple(number for number in everybody if number == sure or self.random.random() < 0.5)

    # -- judging --------------------------------------------------------------------------------

    def look(self) -> None:
        """Everything that is read is legal."""
        with self.rig.doing("read") as mirror:
            for block in self.blocks:
                self.oracle.check(block // SECTOR, bytes(mirror.read(block, BLOCK)))

    def recover(self) -> None:
        """Legal before, during and after the resync; then the members agree, and checksums hold."""
        self.told.append("recover")
        self.look()
        self.rig.settle()
        self.look()
        with self.rig.doing("flush") as mirror:
            mirror.flush()
        self.note_members()
        self.oracle.settled()
        self.judge_scrub()
        self.judge_media()
        if self.rig.setup.checksums and self.random.random() < 0.3:
            let_rot(self)

    def judge_scrub(self) -> None:
        """Nothing but what rotted is found."""
        rotten = bool(self.rotten)
        found = self.rig.scrub()
        self.rotten -= self.old_rot
        self.told.append(
            f"scrub {found.state}: {found.wrong} wrong, {found.mismatches} differ, {found.lost} lost"
        )
        wrong = 0 if rotten else found.wrong
        if wrong or found.mismatches or found.lost or found.unreadable:
            raise Illegal(f"a scrub finds {found}")

    def judge_media(self) -> None:
        """All members in sync hold the same."""
        with self.rig.doing("flush") as mirror:
            mirror.flush()
        in_sync = self.rig.having(MemberState.IN_SYNC)
        size = self.rig.mirror.size
        starts = [self.rig.places[number].data_offset for number in in_sync]
        held = [self.rig.media[n].content[s : s + size] for n, s in zip(in_sync, starts, strict=True)]
        if any(each != held[0] for each in held):
            raise Illegal("the members differ after the resync")

    def end(self) -> None:
        """All members at once: every one of them gets everything."""
        self.rig.cutter = None
        self.start(tuple(sorted(self.known)))
        self.recover()
        while self.rig.mirror.status().degraded:
            self.rig.mirror.add_member(self.rig.insert(self.rig.add_medium()))
            self.rig.settle()
        self.recover()
        if not self.rig.complete:
            raise Illegal(f"not every place is filled: {self.rig.mirror.status().members}")
        self._lose_power()
        self.judge_promise()

    def judge_promise(self) -> None:
        """All blocks are written and flushed, and power fails: all are there, and so are their checksums."""
        numbers = tuple(sorted(self.known))
        self.start(numbers)
        self.recover()
        for block in self.blocks:
            put(self, block, BLOCK)
        self.act(FLUSH)
        self.rig.power_cut(lambda: lambda _index: False, self.random)
        self.oracle.crashed()
        self.start(numbers)
        self.look()
        if self.rig.setup.checksums and not self._have_checksums():
            raise Illegal("checksums of flushed blocks are not there")
        self._lose_power()

    def _have_checksums(self) -> bool:
        tables = self.rig.tables().values()
        return all(all(table.known(block, BLOCK)) for table in tables for block in self.blocks)


def live(seed: int | str, cycles: int = CYCLES, setup: Setup | None = None) -> Life:
    """One life; raises Illegal, or whatever else went wrong, with the story as a note."""
    life = Life.begin(seed, setup)
    with telling(life, seed):
        for _ in range(cycles):
            life.cycle()
        life.end()
    return life


@contextmanager
def telling(life: Life, seed: int | str) -> Iterator[None]:
    """An error tells what came before it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"seed {seed}, {life.rig.setup}: " + "; ".join(life.told[-60:]))
        raise
