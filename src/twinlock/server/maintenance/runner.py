"""Runs a worker's tasks, one at a time, in a thread beside its main loop."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from socket import socket

from twinlock.server.messages import Envelope

Asker = socket | None
"""The supervisor's connection by which a task was asked for."""
_Job = tuple[Asker, Callable[[], Envelope]]


class Runner:
    """``fileno()`` becomes readable when :meth:`take_done` has something to give."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[Asker, Envelope]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        self.is_closing = False
        """True once no task shall begin to write any more."""

    def fileno(self) -> int:
        """For a selector."""
        return self._wake

    def submit(self, asker: Asker, work: Callable[[], Envelope]) -> None:
        """Have ``work`` done after what was submitted before; it raises nothing."""
        self._jobs.put((asker, work))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
            self._thread.start()

    def take_done(self) -> list[tuple[Asker, Envelope]]:
        """The replies that are ready, each with who asked."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        return [self._done.popleft() for _ in range(len(self._done))]

    def close(self) -> None:
        """Return once no task runs any more, nor will.  Idempotent."""
        self.is_closing = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            asker, work = job
            if not self.is_closing:
                self._done.append((asker, work()))
                os.eventfd_write(self._wake, 1)
