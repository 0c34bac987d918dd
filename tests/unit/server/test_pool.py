"""A thread for every command that waits, and none of them lost where threads run short."""

import threading
from collections.abc import Iterator

import pytest

from twinlock.server.pool import Pool


class Gate:
    """Jobs that wait until they are told to go on."""

    def __init__(self) -> None:
        self._started = threading.Semaphore(0)
        self._open = threading.Event()

    def job(self) -> None:
        self._started.release()
        self._open.wait()

    def await_started(self, count: int) -> bool:
        return all(self._started.acquire(timeout=10) for _ in range(count))

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def test_jobs_that_wait_hold_up_no_other(gate: Gate) -> None:
    pool, done = Pool(), threading.Event()
    for _ in range(200):
        pool.submit(gate.job)
    assert gate.await_started(200)
    pool.submit(done.set)
    assert done.wait(10)
    gate.open()
    pool.close()
    assert pool.threads == 0


def test_there_is_a_limit_and_what_is_beyond_waits(gate: Gate) -> None:
    pool, done = Pool(most=4), threading.Event()
    for _ in range(4):
        pool.submit(gate.job)
    assert gate.await_started(4)
    pool.submit(done.set)
    assert pool.threads == 4
    assert not done.wait(0.05)
    gate.open()
    assert done.wait(10)
    pool.close()


def test_a_thread_that_is_free_is_taken_before_another_is_started() -> None:
    pool = Pool()
    for _ in range(50):
        done = threading.Event()
        pool.submit(done.set)
        assert done.wait(10)
    assert pool.threads <= 2, "at most the one that had not come back yet when the next job came"
    pool.close()


def test_threads_that_were_not_needed_for_a_while_end(gate: Gate) -> None:
    pool = Pool(idle=0.05)
    for _ in range(20):
        pool.submit(gate.job)
    assert gate.await_started(20)
    assert pool.threads == 20
    others = [thread for thread in threading.enumerate() if thread.name == "medium"]
    gate.open()
    ended = threading.Event()
    for _ in range(200):
        if pool.threads == 0:
            break
        ended.wait(0.05)
    assert pool.threads == 0
    assert len(others) >= 20
    pool.close()


def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)


def test_where_no_thread_can_be_started_commands_take_turns(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, done = Pool(), list[int]()
    pool.submit(gate.job)
    assert gate.await_started(1)
    finished = threading.Event()
    with monkeypatch.context() as patch:
        no_more_threads(patch)
        for number in range(5):
            pool.submit(lambda number=number: done.append(number))  # type: ignore[misc]
        pool.submit(finished.set)
    assert pool.threads == 1
    gate.open()
    assert finished.wait(10)
    assert done == [0, 1, 2, 3, 4], "each once, in order"
    pool.close()


def test_without_any_thread_the_job_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, done = Pool(), list[str]()
    with monkeypatch.context() as patch:
        no_more_threads(patch)
        with pytest.raises(RuntimeError):
            pool.submit(lambda: done.append("first"))
    finished = threading.Event()
    pool.submit(finished.set)
    assert finished.wait(10)
    pool.close()
    assert done == [], "nobody runs it later"


def test_a_pool_that_was_not_used_has_no_thread() -> None:
    before = threading.active_count()
    pool = Pool()
    assert threading.active_count() == before
    pool.close()


@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError])
def test_a_job_that_fails_takes_no_thread_with_it(error: type[Exception]) -> None:
    pool, done = Pool(most=1), threading.Event()

    def fail() -> None:
        raise error

    pool.submit(fail)
    pool.submit(done.set)
    assert done.wait(10)
    assert pool.threads == 1
    pool.close()
