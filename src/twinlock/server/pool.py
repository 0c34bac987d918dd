"""Threads for commands that wait for a medium.

A slow disk must hold up nobody, so every command has a thread of its own: threads
are started as they are needed and end when nothing has come for a while.  A
thread that waits costs some kilobytes and no time.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable

MAX_THREADS = 1024
"""At once, in one worker: the tasks of six sessions (128 of the window and 32 immediate each), all slow."""
IDLE_SECONDS = 30.0
"""Without a job after which a thread ends."""

Job = Callable[[], None]

log = logging.getLogger(__name__)


class Pool:
    """Runs jobs, each in the first thread that is free."""

    def __init__(self, *, most: int = MAX_THREADS, idle: float = IDLE_SECONDS) -> None:
        self._most = most
        self._idle_seconds = idle
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._closed = False

    @property
    def threads(self) -> int:
        """How many there are now."""
        return len(self._threads)

    def submit(self, job: Job) -> None:
        """Run ``job`` in a thread that is free or new; if there can be no more, when another job has ended.

        Raises RuntimeError, and forgets the job, if there is no thread at all.
        """
        with self._changed:
            self._jobs.append(job)
            if len(self._jobs) <= self._idle:
                self._changed.notify()
                return
            if len(self._threads) >= self._most:
                return
            thread = threading.Thread(target=self._run, name="medium", daemon=True)
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("no more threads for commands that wait for a disk: %s", error)
            self._do_without(thread, job)

    def _do_without(self, thread: threading.Thread, job: Job) -> None:
        with self._changed:
            self._threads.discard(thread)
            if not self._threads and job in self._jobs:
                self._jobs.remove(job)
                raise RuntimeError("there is no thread to run it")

    def close(self) -> None:
        """Return once all jobs are done and all threads have ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        while threads := tuple(self._threads):
            threads[0].join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                log.exception("a job met a bug")
            del job  # with all it holds, however long the next one takes to come

    def _next(self) -> Job | None:
        """The next job; None if this thread is not needed any more."""
        with self._changed:
            while not self._jobs:
                if self._closed:
                    self._threads.discard(threading.current_thread())
                    return None
                self._idle += 1
                called = self._changed.wait(self._idle_seconds)
                self._idle -= 1
                if not called and not self._jobs:
                    self._threads.discard(threading.current_thread())
                    return None
            return self._jobs.popleft()
