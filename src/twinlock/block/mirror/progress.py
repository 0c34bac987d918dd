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


@dataclass(frozen=True, slots=True)
class _Sample:
    """When, how far, and how many bytes were read for it."""

    time: float
    done: int
    moved: int


class Meter:
    """Rate and time left of one job over a moving window.

    The rate is of bytes that were read, as the limits are; what was passed over shows in the time left.
    Told of progress by whoever does the work, asked by anyone; thread-safe.  ``clock`` gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._samples: deque[_Sample] = deque()
        self._last: _Sample | None = None

    def note(self, progress: Progress, moved: int) -> None:
        """The job has come so far, and has read ``moved`` bytes, counted from anywhere.

        One that has come less far than before is another job.
        """
        sample = _Sample(self._clock(), progress.done, moved)
        with self._lock:
            if self._is_new(sample):
                self._samples.clear()
            self._last = sample
            if not self._samples or sample.time - self._samples[-1].time >= GRAIN:
                self._samples.append(sample)
            self._forget_before(sample.time - WINDOW)

    def reset(self) -> None:
        """The job is over."""
        with self._lock:
            self._samples.clear()
            self._last = None

    def job(self, kind: JobKind, progress: Progress) -> Job:
        """All of it, of a job that is as far as ``progress``."""
        with self._lock:
            first, last, seconds = self._measured(self._clock())
        if first is None or last is None or progress.done < last.done:
            return Job(kind, progress.done, progress.total)
        rate, speed = (last.moved - first.moved) / seconds, (last.done - first.done) / seconds
        left = (progress.total - progress.done) / speed if speed else None
        return Job(kind, progress.done, progress.total, rate, left)

    def _measured(self, now: float) -> tuple[_Sample | None, _Sample | None, float]:
        """From when to when, and how long that took; None, None before there is anything to tell from.

        Pieces come at once and are paid for by waiting: so it counts from one to the other, unless the
        next one is long overdue.
        """
        first, last = self._samples[0] if self._samples else None, self._last
        if first is None or last is None:
            return None, None, 0.0
        seconds = last.time - first.time
        if now - last.time > max(WINDOW, seconds):
            seconds = now - first.time
        return (first, last, seconds) if seconds >= GRAIN else (None, None, 0.0)

    def _is_new(self, sample: _Sample) -> bool:
        last = self._last
        return last is not None and (sample.done < last.done or sample.time < last.time)

    def _forget_before(self, oldest: float) -> None:
        """Two are kept, however old: a job may take longer than the window for one piece."""
        while len(self._samples) > 2 and self._samples[1].time <= oldest:
            self._samples.popleft()
