"""Who is right, asked again and again while disks are taken away, put back and replaced in any order.

Beside what the members say, the truth is kept here: which writes each disk really has,
and which a bitmap really remembers.  No verdict may contradict it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.block.mirror.test_reconcile import F, S, Says
from twinlock.block.mirror.reconcile import Plan, Verdict, reconcile

PLACES = 2


@dataclass
class Disk:
    """What it says, and what it really holds."""

    says: Says
    holds: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Run:
    """One start of the array with some of its disks, some writes, and a stop.

    The kernel calls who is missing a spare, twinlock calls it faulty.
    """

    present: frozenset[int]
    replaces: bool = False
    kernel: bool = False
    writes: int = 1


@dataclass
class History:
    """All disks there ever were, by their numbers."""

    disks: dict[int, Disk] = field(
        default_factory=lambda: {number: Disk(Says(number, 10)) for number in range(PLACES)}
    )
    written: int = 0
    refused: int = 0

    def run(self, run: Run) -> None:
        present = [self.disks[number] for number in sorted(run.present) if number in self.disks]
        plan = reconcile([disk.says.view() for disk in present])
        if plan is None:
            return
        self._check(present, plan)
        if plan.having(Verdict.DIVERGED):
            self.refused += 1
            return
        self._go_on(present, plan, run)

    def _check(self, present: Sequence[Disk], plan: Plan) -> None:
        right = present[plan.freshest]
        for disk, verdict in zip(present, plan.verdicts, strict=True):
            if verdict is not Verdict.DIVERGED:
                assert disk.holds <= right.holds, "what only this one has would be lost"
            if verdict is Verdict.IN_SYNC:
                assert disk.holds == right.holds
            if verdict is Verdict.CATCH_UP:
                assert right.holds - disk.holds <= right.marked, "more is missing than the bitmap knows"

    def _go_on(self, present: Sequence[Disk], plan: Plan, run: Run) -> None:
        right = present[plan.freshest]
        live = {role: disk for disk, role in zip(present, plan.roles, strict=True) if role is not None}
        if run.replaces and len(live) < PLACES:
            (place,) = set(range(PLACES)) - set(live)
            number = len(self.disks)
            live[place] = self.disks[number] = Disk(Says(number, 0))
        new = frozenset(range(self.written, self.written + run.writes))
        self.written += run.writes
        complete = len(live) == PLACES
        holds = right.holds | new
        marked = frozenset() if complete else right.marked | new
        table = self._table(right, live, run)
        events = right.says.events + 4 + run.writes
        cleared = events if complete else right.says.cleared
        for disk in live.values():
            disk.says = replace(disk.says, events=events, roles=table, cleared=cleared)
            disk.holds, disk.marked = holds, marked

    def _table(self, right: Disk, live: dict[int, Disk], run: Run) -> tuple[int, ...]:
        roles = {disk.says.number: place for place, disk in live.items()}
        known = right.says.roles + (S,) * len(self.disks)
        gone = [S if run.kernel or role == S else F for role in known]
        return tuple(roles.get(number, gone[number]) for number in range(len(self.disks)))


RUNS = st.builds(
    Run,
    present=st.frozensets(st.integers(0, 5), min_size=1, max_size=3),
    replaces=st.booleans(),
    writes=st.integers(0, 9),
)


def alone(number: int, *, replaces: bool = False, writes: int = 1) -> Run:
    return Run(frozenset({number}), replaces=replaces, writes=writes)


def together(*numbers: int) -> Run:
    return Run(frozenset(numbers))


@given(st.lists(RUNS, max_size=12), st.booleans())
@example([alone(0, writes=9), alone(1, replaces=True), together(0, 1)], False)
@example([alone(0, writes=9), alone(1, replaces=True), together(0, 1, 2)], False)
@example([alone(0, replaces=True), alone(1), together(1, 2)], False)
def test_nothing_that_was_written_is_lost(runs: list[Run], kernel: bool) -> None:
    history = History()
    for run in runs:
        history.run(replace(run, kernel=kernel))


@given(st.lists(RUNS, max_size=12), st.booleans())
def test_who_goes_on_with_one_and_the_same_disk_is_never_refused(runs: list[Run], kernel: bool) -> None:
    """The other place may be taken by any other disk, in turn."""
    history = History()
    for run in runs:
        others = sorted(run.present - {0})[:1]
        history.run(replace(run, present=frozenset({0, *others}), kernel=kernel))
    assert history.refused == 0
