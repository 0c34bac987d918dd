"""What an array does in the background: small pieces, one at a time, the most urgent first.

Copies that are missing come before checksums that are, and these before a scrub: without a
copy a failure loses data, and a scrub only says what is lost already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twinlock.block.mirror.bitmap import DAEMON_SLEEP
from twinlock.block.mirror.changes.enlist import fill_places
from twinlock.block.mirror.changes.leave import release_failed
from twinlock.block.mirror.changes.replace import Replacement, go_on
from twinlock.block.mirror.pace import Pace
from twinlock.block.mirror.progress import Job, JobKind, Meter, Progress
from twinlock.block.mirror.running import Running
from twinlock.block.mirror.scrub import Scrub
from twinlock.block.mirror.table_rebuild import TableRebuild
from twinlock.errors import DeviceError, TwinlockError

PERIOD = float(DAEMON_SLEEP)
"""Seconds between sweeps of the bitmap; the array is clean after one or two without a write."""
IDLE = 1.0
"""Seconds until the next look when there was nothing to do."""


class Worker(Protocol):
    """Who does one kind of work."""

    def step(self) -> bool:
        """Do a piece; True if there is more."""

    @property
    def moved(self) -> int:
        """Bytes read so far."""


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work: a piece of it (True: there is more), how far it is, and what it cost so far.

    ``moved`` are bytes that were read: what the pace is about.  What was passed over is progress, but free.
    """

    kind: JobKind
    step: Callable[[], bool]
    progress: Callable[[], Progress]
    moved: Callable[[], int]
    meter: Meter


class Jobs:
    """The background of one array.  Whoever calls holds :attr:`Running.turn`."""

    def __init__(self, running: Running, scrub: Scrub, flush: Callable[[], None]) -> None:
        self._running = running
        self._scrub = scrub
        self._flush = flush
        self._swept_at = running.clock()
        self._failed_at: float | None = None
        self._works: tuple[Work, ...] = ()
        self.pace = Pace(running.clock)
        self.replacement: Replacement | None = None
        self.renew()

    def renew(self) -> None:
        """The members, or their size, are others: what works on their data begins anew."""
        running = self._running
        scrub = self._scrub
        tables = TableRebuild(running.record, running.ranges, observer=running.observer, clock=running.clock)
        self._works = (
            self._as_work(JobKind.RESYNC, running.resync, lambda: running.resync.progress),
            self._as_work(JobKind.CHECKSUMS, tables, lambda: tables.progress),
            self._as_work(JobKind.SCRUB, scrub, lambda: _of_scrub(scrub)),
        )

    def _as_work(self, kind: JobKind, worker: Worker, progress: Callable[[], Progress]) -> Work:
        return Work(kind, worker.step, progress, lambda: worker.moved, Meter(self._running.clock))

    def step(self, foreground: int) -> float:
        """One bounded piece of what is most urgent; seconds until the next one is due."""
        self._sweep()
        self._tend()
        return self._work(foreground)

    @property
    def under_way(self) -> tuple[Job, ...]:
        """The jobs that are not at their end, for whoever wants to know."""
        found = []
        for work in self._works:
            progress = work.progress()
            if progress.done < progress.total:
                found.append(work.meter.job(work.kind, progress))
        return tuple(found)

    def reserved(self) -> tuple[int, ...]:
        """Places that no spare may take: a new member is being filled for them."""
        work = self.replacement
        return () if work is None else (work.place, *(() if work.new.role is None else (work.new.role,)))

    # -- housekeeping ---------------------------------------------------------------------------

    def _sweep(self) -> None:
        now = self._running.clock()
        if 0 <= now - self._swept_at < PERIOD:
            return
        self._swept_at = now
        try:
            self._running.intent.sweep(self._flush)
            self._running.intent.rest(self._flush)
        except DeviceError:
            # Bits that stay set and an array that stays marked active cost a resync, nothing else;
            # who failed is out by now, and the caller of the next write or flush hears of the rest.
            return

    def _tend(self) -> None:
        """Look after the members.  What fails there keeps no work from its turn, and is tried again soon."""
        now = self._running.clock()
        if self._failed_at is not None and 0 <= now - self._failed_at < IDLE:
            return
        self._failed_at = None
        try:
            self._look_after_members()
        except (DeviceError, TwinlockError) as error:
            self._failed_at = now
            self._stalled(error)

    def _look_after_members(self) -> None:
        """Members that failed are let go of, and free places filled."""
        release_failed(self._running.record)
        if self.replacement is not None:
            self.replacement = go_on(self._running, self.replacement)
        if self._running.record.degraded:
            fill_places(self._running, self.reserved())

    # -- work -----------------------------------------------------------------------------------

    def _work(self, foreground: int) -> float:
        if self.pace.told and (wait := self.pace.wait(foreground)):
            return wait  # the last piece is not paid for yet, and waits are short
        for number, work in enumerate(self._works):
            before = work.moved()
            try:
                more = work.step()
            except DeviceError as error:
                self._stalled(error)
                continue
            finally:
                self.pace.note(work.moved() - before)
            if more:
                work.meter.note(work.progress(), work.moved())
                for waiting in self._works[number + 1 :]:
                    waiting.meter.reset()  # its rate is that of its own time
                return self.pace.wait(foreground)
            work.meter.reset()
        return IDLE

    def _stalled(self, error: Exception) -> None:
        found = error if isinstance(error, DeviceError) else DeviceError(str(error))
        self._running.observer.resync_stalled(found)


def _of_scrub(scrub: Scrub) -> Progress:
    return scrub.status.progress if scrub.running else Progress()
