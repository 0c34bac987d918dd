"""How far a job in the background has come, how fast it goes, and how long it will take.

The rate is that of the last half minute: an average since the start would go on
promising the pace of an idle night while the initiator is busy.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

WINDOW = 30.0
"""Seconds that the rate is taken over."""
GRAIN = 1.0
"""Seconds between the samples that are kept."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes done, of those to do when the work began (and since)."""

    done: int = 0
    total: int = 0


class JobKind(StrEnum):
    """What is done to an array in the background."""

    RESYNC = "resync"
    """Chunks in which members may differ, or that a member lacks, are copied."""
    CHECKSUMS = "rebuild of checksums"
    SCRUB = "scrub"


@dataclass(frozen=True, slots=True)
class Job:
    """One that is under way.  Bytes, bytes per second, seconds; None where that is not known yet."""

    kind: JobKind
    done: int
    total: int
    rate: float | None = None
    seconds_left: float | None = None


class Meter:
    """Rate and time left of one job over a moving window.

    Told of progress by whoever does the work, asked by anyone; thread-safe.  ``clock`` gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._samples: deque[tuple[float, int]] = deque()
        self._progress = Progress()

    def note(self, progress: Progress) -> None:
        """The job has come so far.  One that has come less far than before is another job."""
        now = self._clock()
        with self._lock:
            if self._is_new(now, progress):
                self._samples.clear()
            self._progress = progress
            if not self._samples or now - self._samples[-1][0] >= GRAIN:
                self._samples.append((now, progress.done))
            self._forget_before(now - WINDOW)

    def reset(self) -> None:
        """The job is over."""
        with self._lock:
            self._samples.clear()
            self._progress = Progress()

    @property
    def rate(self) -> float | None:
        """Bytes per second; None before there is a second to tell it from."""
        now = self._clock()
        with self._lock:
            if not self._samples:
                return None
            began, done = self._samples[0]
            passed = now - began
            return (self._progress.done - done) / passed if passed >= GRAIN else None

    @property
    def seconds_left(self) -> float | None:
        """At that rate; None if it is not known, or nothing moves."""
        rate, progress = self.rate, self._progress
        return (progress.total - progress.done) / rate if rate else None

    def job(self, kind: JobKind, progress: Progress) -> Job:
        """All of it, of a job that is as far as ``progress``."""
        return Job(kind, progress.done, progress.total, self.rate, self.seconds_left)

    def _is_new(self, now: float, progress: Progress) -> bool:
        went_back = bool(self._samples) and now < self._samples[-1][0]
        return progress.done < self._progress.done or went_back

    def _forget_before(self, oldest: float) -> None:
        """Two are kept, however old: a job may take longer than the window for one piece."""
        while len(self._samples) > 2 and self._samples[1][0] <= oldest:
            self._samples.popleft()
