"""Where logins wait that come from an address from which wrong secrets came."""

import threading

from tests.support.timer import PATIENCE, FakeTimer
from twinlock.server.gate import HOLD_SECONDS, Gate
from twinlock.server.throttle import FIRST_DELAY, Throttle

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Attempt:
    """A login that waits at the gate."""

    def __init__(self, gate: Gate, address: str) -> None:
        self.gone = False
        self.passed: bool | None = None
        self._thread = threading.Thread(target=self._run, args=(gate, address), daemon=True)
        self._thread.start()

    def _run(self, gate: Gate, address: str) -> None:
        self.passed = gate.pass_through(address, lambda: self.gone)

    def result(self) -> bool | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.passed


def gate() -> tuple[Gate, FakeTimer]:
    timer = FakeTimer()
    return Gate(Throttle(timer.now), timer), timer


def test_who_did_nothing_wrong_does_not_wait() -> None:
    closed, _ = gate()
    closed.failed(HERE)
    assert Attempt(closed, THERE).result()


def test_after_a_wrong_secret_the_next_attempt_waits() -> None:
    closed, timer = gate()
    closed.failed(HERE)
    attempt = Attempt(closed, HERE)
    timer.await_sleepers()
    assert attempt.passed is None
    timer.advance(FIRST_DELAY)
    assert attempt.result()


def test_nobody_waits_longer_than_an_initiator_does() -> None:
    closed, timer = gate()
    attempts = []
    for _ in range(6):
        closed.failed(HERE)
    for count in range(1, 5):  # ten seconds each: only the first has its turn in time
        attempts.append(Attempt(closed, HERE))
        timer.await_sleepers(count)
    timer.advance(HOLD_SECONDS + 1)
    assert sorted(bool(attempt.result()) for attempt in attempts) == [False, False, False, True]


def test_one_that_leaves_is_noticed() -> None:
    closed, timer = gate()
    for _ in range(6):
        closed.failed(HERE)
    attempt = Attempt(closed, HERE)
    timer.await_sleepers()
    attempt.gone = True
    timer.advance(1)
    assert attempt.result() is False
