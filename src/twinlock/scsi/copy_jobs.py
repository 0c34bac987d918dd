"""What becomes of EXTENDED COPY commands, for RECEIVE COPY RESULTS to tell (SPC-4, third-party copies).

A job is remembered under its initiator and list identifier until the same initiator
uses the identifier again, or goes.
"""

from threading import Lock
from typing import NamedTuple

from twinlock.scsi.nexus import Nexus
from twinlock.wire.scsi_copy import CopyStatus

MOST_JOBS = 1024
"""Jobs remembered at once; the oldest that has ended is forgotten for a new one."""


class Segment(NamedTuple):
    """``length`` bytes from ``source`` to ``destination``, offsets in bytes."""

    source: int
    destination: int
    length: int


class CopyJob:
    """One copy, as far as it has come.  One thread changes it, any may look."""

    def __init__(self) -> None:
        self.status = CopyStatus.IN_PROGRESS
        self.segments = 0
        """Segments that are copied."""
        self.copied = 0
        """Bytes, of all segments."""
        self.command_status = 0
        self.sense = b""
        """How its command ended, if the copy failed: status and sense data."""

    @property
    def running(self) -> bool:
        """True from its command's arrival to its end."""
        return self.status is CopyStatus.IN_PROGRESS

    def advance(self, length: int) -> None:
        """So many bytes more."""
        self.copied += length

    def succeed(self) -> None:
        """All of it is copied."""
        self.status = CopyStatus.COMPLETED

    def fail(self, command_status: int, sense: bytes = b"") -> None:
        """It ended early, and its command like this."""
        self.command_status, self.sense = command_status, sense
        self.status = CopyStatus.FAILED


class CopyJobs:
    """The jobs of one logical unit; safe to use from several threads."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[Nexus, int], CopyJob] = {}
        self._lock = Lock()

    def new(self, nexus: Nexus, identifier: int | None) -> CopyJob | None:
        """A job of ``nexus``; None if one with this list ``identifier`` has not ended.

        Without an identifier nobody can ask after it, so it is not remembered.
        """
        job = CopyJob()
        if identifier is None:
            return job
        with self._lock:
            known = self._jobs.pop((nexus, identifier), None)
            if known is not None and known.running:
                self._jobs[nexus, identifier] = known
                return None
            self._make_room()
            self._jobs[nexus, identifier] = job
        return job

    def get(self, nexus: Nexus, identifier: int) -> CopyJob | None:
        """What ``nexus`` started last under ``identifier``."""
        with self._lock:
            return self._jobs.get((nexus, identifier))

    def forget(self, nexus: Nexus) -> None:
        """The session of ``nexus`` ended for good."""
        with self._lock:
            self._jobs = {key: job for key, job in self._jobs.items() if key[0] != nexus}

    def clear(self) -> None:
        """After a reset there is nothing to tell."""
        with self._lock:
            self._jobs.clear()

    def _make_room(self) -> None:
        if len(self._jobs) >= MOST_JOBS:
            ended = (key for key, job in self._jobs.items() if not job.running)
            self._jobs.pop(next(ended, next(iter(self._jobs))))
