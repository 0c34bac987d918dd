"""What drives the background obeys what the step says, and survives it."""

import itertools
import threading
import time

import pytest

from twinlock.server import background
from twinlock.server.background import Background


def test_it_waits_as_long_as_the_step_says() -> None:
    times: list[float] = []
    enough = threading.Event()

    def step() -> float:
        times.append(time.monotonic())
        if len(times) >= 4:
            enough.set()
        return (0.0, 0.2, 0.0, 60.0)[min(len(times), 4) - 1]

    driver = Background(step)
    driver.start()
    assert enough.wait(10)
    driver.stop()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[1] >= 0.2
    assert gaps[0] < 0.2


def test_a_wait_is_never_long_and_an_exception_is_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "LONGEST_SECONDS", 0.01)
    calls: list[int] = []
    enough = threading.Event()

    def step() -> float:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("a bug")
        if len(calls) == 4:
            enough.set()
        return 3600.0

    driver = Background(step)
    driver.start()
    assert enough.wait(10), "an hour was waited for"
    driver.stop()
    assert "background work failed" in caplog.text
    after = len(calls)
    time.sleep(0.05)
    assert len(calls) == after
