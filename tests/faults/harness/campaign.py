"""Many lives on all cores, and one verdict."""

import shlex
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.faults.harness.kill import KillLife
from tests.faults.harness.life import CYCLES, Life, live
from tests.faults.harness.oracle import Illegal
from tests.faults.harness.points import POINTS
from tests.faults.harness.switches import setup_without, without

KILLS = 5
"""Kills in one life."""


@dataclass(frozen=True, slots=True)
class Task:
    """One life; ``kills``: its crashes are kills.  ``off`` is a mechanism to go without."""

    seed: str
    kills: bool = False
    off: str | None = None
    cycles: int = CYCLES

    @property
    def replay(self) -> str:
        """The line that does it again."""
        count = f"--kills {self.cycles}" if self.kills else f"--cycles {self.cycles} --kills 0"
        off = "" if self.off is None else f" --without {shlex.quote(self.off)}"
        return f"python -m tests.faults --life {shlex.quote(self.seed)} {count}{off}"


@dataclass(slots=True)
class Verdict:
    """Of one life, or of all."""

    cycles: int = 0
    lost: int = 0
    wrong: int = 0
    points: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    failed: list[Task] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        """And what another one found."""
        self.cycles += other.cycles
        self.lost += other.lost
        self.wrong += other.wrong
        self.points += other.points
        self.refusals += other.refusals
        self.told += other.told
        self.failed += other.failed

    def never_hit(self) -> list[str]:
        """The named points at which power never failed, in order."""
        return [name for name in POINTS if not self.points[name]]

    def __str__(self) -> str:
        return f"{self.cycles} cycles, {self.lost} lost, {self.wrong} wrong"


def tasks(seed: str, cycles: int, kills: int, off: str | None = None) -> list[Task]:
    """So many crashes of each kind, in lives of some; the kills first, for they take longest."""
    lives = [
        Task(f"{seed} {number}", True, off, min(KILLS, kills - start))
        for number, start in enumerate(range(0, kills, KILLS))
    ]
    return lives + [
        Task(f"{seed} {number}", False, off, min(CYCLES, cycles - start))
        for number, start in enumerate(range(0, cycles, CYCLES))
    ]


def judge(task: Task) -> Verdict:
    """One life, in this process, which has no other thread."""
    verdict = Verdict(task.cycles)
    try:
        with without(task.off):
            life = _live(task)
        verdict.points.update(life.points)
        verdict.refusals.update(life.refusals)
    except Exception as error:
        lost = isinstance(error, Illegal) and error.lost
        verdict.lost, verdict.wrong = int(lost), int(not lost)
        verdict.failed.append(task)
        verdict.told.append(f"{traceback.format_exc()}again: {task.replay}\n")
    return verdict


def is_right(task: Task) -> bool:
    """True if nothing is wrong with the same life where every mechanism is on: its lack was noticed."""
    try:
        _live(task)
    except Exception:
        return False
    return True


def _live(task: Task) -> Life:
    return (
        KillLife.live(task.seed, task.cycles)
        if task.kills
        else live(task.seed, task.cycles, setup_without(task.off))
    )


def _clean_up_when_told_to_end() -> None:
    """A worker that is ended takes its child and its folder in memory with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, too, and ends the workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def judge_all(lives: Iterable[Task], jobs: int) -> Iterator[Verdict]:
    """All of them, as they end; each process judges one at a time."""
    with get_context("fork").Pool(jobs, _clean_up_when_told_to_end) as pool:
        yield from pool.imap_unordered(judge, lives)
