"""Time that stands still until a test moves it."""

import threading
from collections.abc import Callable

PATIENCE = 20.0
"""Real seconds after which a test that waits for another thread has failed."""


class FakeTimer:
    """A :class:`twinlock.server.timing.Timer`: who waits by it sleeps until the test moves the time on."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._flows = False
        self._lock = threading.Condition()
        self._sleepers: dict[object, tuple[threading.Condition, float]] = {}

    def now(self) -> float:
        return self._now

    def wait_for(self, condition: threading.Condition, predicate: Callable[[], bool], seconds: float) -> bool:
        if predicate():
            return True
        if self._flows:
            self._now += seconds
            return predicate()
        until, sleeper = self._now + seconds, object()
        with self._lock:
            self._sleepers[sleeper] = condition, until
            self._lock.notify_all()
        while not predicate() and self._now < until:
            assert condition.wait(PATIENCE), "nobody woke a sleeper"
        with self._lock:
            del self._sleepers[sleeper]
            self._lock.notify_all()
        return predicate()

    def advance(self, seconds: float) -> None:
        """Move the time on, by small steps; whoever is due wakes up before this returns."""
        end, step = self._now + seconds, max(0.5, seconds / 100)
        while self._now < end:
            self._now = min(end, self._now + step)
            for condition, _ in list(self._sleepers.values()):
                with condition:
                    condition.notify_all()
            with self._lock:
                due = [sleeper for sleeper, (_, until) in self._sleepers.items() if until <= self._now]
                assert self._lock.wait_for(lambda: not set(due) & self._sleepers.keys(), PATIENCE)  # noqa: B023

    def let_flow(self) -> None:
        """From now on nobody sleeps: the time moves on by itself."""
        self._flows = True
        self.advance(3600)

    def await_sleepers(self, count: int = 1) -> None:
        """Return once so many threads wait for the time to move on."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self._sleepers) >= count, PATIENCE), "nobody waits"
