"""One array through many crashes: random acts, a power cut, a start, and the oracle's word."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Self

from tests.faults.harness.acts import ACTS, NAMED, Act, put
from tests.faults.harness.history import History
from tests.faults.harness.judging import judge_media, judge_scrub
from tests.faults.harness.legal import explained
from tests.faults.harness.oracle import ANYTHING, SECTOR, Illegal, Oracle
from tests.faults.harness.points import POINTS, Cutter, PowerCut, points_for
from tests.faults.harness.promise import judge_promise
from tests.faults.harness.rig import Rig, Setup, setup_for
from tests.faults.harness.rot import let_rot
from twinlock.block.mirror.member import MemberState
from twinlock.errors import DeviceError, TwinlockError
from twinlock.units import MIB

PRESENT = (MemberState.IN_SYNC, MemberState.REBUILDING)
CYCLES = 6
"""Power cuts in one life."""
ACTS_AT_MOST = 80
BLOCK = 4096
CHUNK = 4 * MIB
LEAD = 0.1
"""How often the act that leads to a chosen point comes, besides its own share."""
POINT_SHARE = 0.6
"""How often power fails at a point that has a name."""


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
    history: History = field(default_factory=History)
    refusals: Counter[str] = field(default_factory=Counter)
    """Of media that ran apart, and of such of which a third one could have told that nothing is lost."""
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
        oracle = Oracle(0 if rig.container is None else ANYTHING)
        life = cls(random, rig, oracle, trusted=set(numbers), known=set(numbers), party=set(numbers))
        life.history.together(numbers)
        if rig.container is not None:
            life._fill()
        return life

    def _fill(self) -> None:
        """What was never written is noise within a container: something is written wherever is looked."""
        self.start(tuple(sorted(self.known)))
        for block in self.blocks:
            put(self, block, BLOCK)
        self._stop()

    @property
    def blocks(self) -> list[int]:
        """Where is written to and looked at (bytes of the array): blocks in some chunks, and the end."""
        size = self.rig.top.size
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
            if not self.rotten and (self._leads_to("stop") or self.random.random() < 0.2):
                self._stop()
                self.rig.cutter = None
                return
        except PowerCut:
            pass
        self.lose_power()

    def _leads_to(self, act: str) -> bool:
        """True if power is to fail during that act."""
        return self.cut_at is not None and POINTS[self.cut_at].by == act

    def _arm(self) -> None:
        self.cut_at = None
        count = self.random.randrange(250)
        if self.random.random() < POINT_SHARE:
            self.cut_at = self.random.choice(points_for(container=self.rig.setup.container))
            count = self.random.choice([0, 0, 1, 2, 3, 5, 8])
        self.rig.cutter = Cutter(self.cut_at, count)

    def _live(self, numbers: tuple[int, ...]) -> None:
        self.start(numbers)
        repair = self._leads_to("read of a bad sector")  # wants an array that agrees
        first = self.recover if repair else self.random.choice([self.recover, self.look, None])
        if first is not None:
            first()
        if repair:
            self.act(NAMED["read of a bad sector"])
        for _ in range(8 if self._leads_to("stop") else ACTS_AT_MOST):
            self.act(self._next_act(ACTS))

    def _next_act(self, acts: Sequence[Act]) -> Act:
        """By chance, and more often one that leads to where power is to fail."""
        lead = None if self.cut_at is None else NAMED.get(POINTS[self.cut_at].by or "")
        if lead is not None and self.random.random() < LEAD:
            return lead
        return self.random.choices(acts, weights=[act.weight for act in acts])[0]

    def start(self, numbers: tuple[int, ...]) -> None:
        """Assemble these, and find out who has everything."""
        if numbers != self.last_start:
            self.oracle.others_answer()
        self.last_start = numbers
        self.told.append(f"start {numbers}")
        self.old_rot = set(self.rotten)
        try:
            self.rig.start(numbers)
        except PowerCut:
            self.history.together(numbers)
            self.trusted = self.trusted & set(numbers) or self.trusted  # the others are called gone, perhaps
            raise
        except (TwinlockError, DeviceError) as error:
            self._without_strangers(numbers, error)
            return
        self._new_stretch()
        self.note_members()

    def _without_strangers(self, numbers: tuple[int, ...], error: Exception) -> None:
        """Who left long ago may be refused, and a person takes it away; those of the last run never are."""
        whole, self.party = self.party, self.party & set(numbers)
        strangers = [number for number in numbers if number not in whole]
        refused = [number for number in strangers if explained(self, "start", number, error)]
        if not refused:
            raise error
        self.told.append(f"refused: {type(error).__name__}")
        self.note_refusal(refused)
        present, self.party = tuple(sorted(self.party)), whole
        self.known &= whole
        self.start(present)

    def note_refusal(self, numbers: Sequence[int]) -> None:
        """Some were refused, because they ran apart as far as they know themselves."""
        told = all(self.history.could_be_told(number, self.party) for number in numbers)
        self.refusals["that a third member could tell apart" if told else "of members that ran apart"] += 1

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
            if set(self.rig.having(MemberState.IN_SYNC)) != before:
                self._new_stretch()
                if self.rig.setup.checksums:  # with them, a read settles what it returns on all members
                    self.oracle.members_left()
                else:
                    self.oracle.others_answer()
        self.note_members()

    def _new_stretch(self) -> None:
        """Others take part than before: who joined has what those have that it joined."""
        in_sync = self.rig.having(MemberState.IN_SYNC)
        for number in self.rig.having(MemberState.REBUILDING):
            self.history.joined(number, in_sync[0])
        present = self.rig.having(*PRESENT)
        self.history.together(present)
        self.history.sized(present, self.rig.mirror.size)

    def note_members(self) -> None:
        """Nothing is under way: who is in sync now has everything."""
        in_sync = set(self.rig.having(MemberState.IN_SYNC))
        if in_sync != self.trusted:
            self.oracle.others_answer()
            self._new_stretch()
        self.trusted = in_sync
        self.party = set(self.rig.having(*PRESENT))
        self.known |= set(self.rig.having(*PRESENT, MemberState.SPARE))

    # -- its end --------------------------------------------------------------------------------

    def lose_power(self) -> None:
        self.told.append(f"power cut at {self.cut_at}")
        if self.cut_at is not None and self.rig.cutter is not None and self.rig.cutter.cut:
            self.hit(self.cut_at)
        self.rig.power_cut(self.survives, self.random)
        self.oracle.crashed()

    def hit(self, point: str) -> None:
        """Power failed at a point that has a name."""
        self.points[point] = self.points.get(point, 0) + 1

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
        with self.rig.doing("read"):
            for block in self.blocks:
                self.oracle.check(block // SECTOR, bytes(self.rig.top.read(block, BLOCK)))

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
        judge_scrub(self)
        judge_media(self)
        if self.rig.setup.checksums and self.random.random() < 0.3:
            let_rot(self)

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
        self.lose_power()
        judge_promise(self)


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
