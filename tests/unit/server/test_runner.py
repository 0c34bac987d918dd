"""Tasks run one at a time beside the main loop."""

import select
import threading
from collections.abc import Iterator

import pytest

from twinlock.server.maintenance.runner import Runner
from twinlock.server.messages import Envelope


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.close()


def test_the_loop_goes_on_while_a_task_runs_and_is_woken_at_its_end(runner: Runner) -> None:
    may_end = threading.Event()

    def work() -> Envelope:
        may_end.wait(10)
        return Envelope(id=7)

    runner.submit(None, work)
    assert not select.select([runner], [], [], 0)[0], "nothing to answer yet, and nobody waits"
    may_end.set()
    assert select.select([runner], [], [], 10)[0]
    assert [reply.id for _, reply in runner.take_done()] == [7]
    assert not select.select([runner], [], [], 0)[0]


def test_one_at_a_time(runner: Runner) -> None:
    running, most = [], []

    def work() -> Envelope:
        running.append(1)
        most.append(len(running))
        running.pop()
        return Envelope()

    for _ in range(20):
        runner.submit(None, work)
    runner._jobs.put(None)
    assert runner._thread is not None
    runner._thread.join()
    assert most == [1] * 20


def test_what_has_not_begun_when_it_closes_is_not_begun(runner: Runner) -> None:
    began, may_end, ran = threading.Event(), threading.Event(), []

    def first() -> Envelope:
        began.set()
        may_end.wait(10)
        return Envelope()

    runner.submit(None, first)
    runner.submit(None, lambda: ran.append(1) or Envelope())  # type: ignore[func-returns-value]
    began.wait(10)
    runner.is_closing = True
    may_end.set()
    runner.close()
    assert not ran
