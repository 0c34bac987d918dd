"""The crash that is real: a process with the array in it gets ``kill -9``, at any or a named moment.

It is a copy of this one (fork), so it has the media as they are, and changes its own copies only.  What it
did is in the journal; here it is done again, some of what was not flushed is thrown away, and the oracle
judges.  To be run in a process with one thread.
"""

import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.faults.harness.acts import ACTS
from tests.faults.harness.journal import (
    Journal,
    JournaledDevice,
    Reporter,
    ReportingKeyring,
    records,
    replay,
    replay_keys,
)
from tests.faults.harness.life import Life, telling
from tests.faults.harness.points import POINTS, Cutter, Operation, PowerCut, points_for
from tests.faults.harness.rig import setup_for

LONGEST = 0.5
"""Seconds until the kill, at most."""
CONTAINERS = 0.6
"""How many of the arrays have a container: what is read back went through its cipher."""
_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
DONE = 3
"""Exit code of a child that was not killed."""
_NAMES = ("write", "flush", "rest", "read", "discard", "write without room", "key change")
_ACTS = [act for act in ACTS if act.name in _NAMES]


class Killer(Cutter):
    """Where power would fail, the process ends; the journal has it that this was the place."""

    journal: Journal

    def __init__(self, point: str | None, count: int, journal: Journal) -> None:
        super().__init__(point, count)
        self.journal = journal

    def look(self, operation: Operation) -> None:
        """An operation is about to be done."""
        try:
            Cutter.look(self, operation)
        except PowerCut:
            self.journal.note("point", self.point)
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class KillLife(Life):
    """A life whose crashes are kills."""

    folder: Path = field(default=Path())

    @classmethod
    def live(cls, seed: str, cycles: int) -> "KillLife":
        """One life; raises as :func:`tests.faults.harness.life.live` does."""
        random = Random(f"container {seed}")
        setup = replace(setup_for(random), container=random.random() < CONTAINERS)
        life = cls.begin(seed, setup)
        with TemporaryDirectory(prefix="twinlock-kill-", dir=_MEMORY) as folder, telling(life, seed):
            life.folder = Path(folder)
            for _ in range(cycles):
                life.cycle()
            life.end()
        return life

    def cycle(self) -> None:
        """A child starts the array and uses it until it is killed; what is left is judged here."""
        numbers = tuple(sorted(self.known))
        path = self.folder / "journal"
        self.told.append("kill")
        path.write_bytes(b"")
        self._kill(numbers, path)
        self.rig.disks.clear()
        for number in numbers:
            self.rig.insert(number)
        self._learn(path)
        self.lose_power()
        self.start(numbers)
        self.recover()
        self.lose_power()

    def _learn(self, path: Path) -> None:
        """What the child did, from its journal."""
        found = records(path)
        self.value = max(self.value, replay(found, self.rig.disks, self.oracle))
        if self.rig.container is not None:
            replay_keys(found, self.rig.container.keyring)
        for kind, _number, *arguments in found:
            if kind == "point" and arguments[0] is not None:
                self.hit(arguments[0])

    def _kill(self, numbers: tuple[int, ...], path: Path) -> None:
        possible = [name for name in points_for(container=self.rig.setup.container) if _possible(name)]
        self.cut_at = self.random.choice([None, *possible])
        count = self.random.choice([0, 1, 2, 3, 5, 8])
        moment = self.random.uniform(0.02, LONGEST)
        child = os.fork()
        if not child:
            self._be_killed(numbers, path, count)
        try:
            time.sleep(moment)
        finally:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise AssertionError("the child ended by itself: " + (self.folder / "trace").read_text())

    def _be_killed(self, numbers: tuple[int, ...], path: Path, count: int) -> None:
        """Never returns."""
        try:
            journal = Journal(path)
            self.oracle = Reporter(journal)
            self.rig.wrap = lambda number, disk: JournaledDevice(disk, number, journal)
            self.rig.cutter = Killer(self.cut_at, count, journal) if self.cut_at is not None else None
            if self.rig.container is not None:
                self.rig.container.keyring = ReportingKeyring(self.rig.container.keyring, journal)
            self.start(numbers)
            threading.Thread(target=self._background, daemon=True).start()
            while True:
                self.act(self._next_act(_ACTS))
        except BaseException:
            (self.folder / "trace").write_text(traceback.format_exc())
        finally:
            sys.stderr.flush()
            os._exit(DONE)

    def _background(self) -> None:
        while True:
            self.rig.clock.now += 0.3
            time.sleep(min(self.rig.mirror.step(), 0.002))


def _possible(point: str) -> bool:
    """True if a child may come there."""
    return POINTS[point].by in (None, *_NAMES)
