"""Many lives on all cores, and one verdict."""

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
from tests.faults.harness.switches import without

KILLS = 5
"""Kills in one life."""


@dataclass(frozen=True, slots=True)
class Task:
    """One life; ``kills``: its crashes are kills.  ``off`` is a mechanism to go without."""

    seed: str
    kills: bool = False
    off: str | None = None
    cycles: int = CYCLES


@dataclass(slots=True)
class Verdict:
    """Of one life, or of all."""

    cycles: int = 0
    lost: int = 0
    wrong: int = 0
    points: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        """And what another one found."""
        self.cycles += other.cycles
        self.lost += other.lost
        self.wrong += other.wrong
        self.points += other.points
        self.told += other.told

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
            verdict.points.update(_live(task).points)
    except Exception as error:
        lost = isinstance(error, Illegal) and error.lost
        verdict.lost, verdict.wrong = int(lost), int(not lost)
        verdict.told.append(f"{task}\n{traceback.format_exc()}")
    return verdict


def _live(task: Task) -> Life:
    return KillLife.live(task.seed, task.cycles) if task.kills else live(task.seed, task.cycles)


def _clean_up_when_told_to_end() -> None:
    """A worker that is ended takes its child and its folder in memory with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, too, and ends the workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def judge_all(lives: Iterable[Task], jobs: int) -> Iterator[Verdict]:
    """All of them, as they end; each process judges one at a time."""
    with get_context("fork").Pool(jobs, _clean_up_when_told_to_end) as pool:
        yield from pool.imap_unordered(judge, lives)
