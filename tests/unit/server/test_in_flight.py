"""What has to wait for commands in flight waits without a thread, and no command slips through."""

import threading

import pytest

from twinlock.iscsi.task import Task, TaskEvent
from twinlock.server.in_flight import InFlight
from twinlock.wire.iscsi_codes import TaskAttribute


def task() -> Task:
    return Task(
        initiator_task_tag=1,
        lun=bytes(8),
        cdb=bytes(16),
        attribute=TaskAttribute.SIMPLE,
        immediate=False,
        read=False,
        write=False,
        expected_length=0,
    )


def anything(_task: Task) -> bool:
    return True


def test_an_action_runs_once_the_commands_before_it_have_ended_whatever_came_later() -> None:
    flight, done = InFlight(), list[str]()
    first, second, later = task(), task(), task()
    assert flight.begin(first)
    assert flight.begin(second)
    flight.when_ended(anything, lambda: done.append("reset"))
    assert flight.begin(later)
    flight.end(first)
    assert done == []
    flight.end(second)
    assert done == ["reset"], "a command that came later does not delay it"
    flight.end(later)
    assert done == ["reset"]


def test_an_action_waits_for_the_affected_commands_only() -> None:
    flight, done = InFlight(), list[str]()
    meant, other = task(), task()
    flight.begin(meant)
    flight.begin(other)
    flight.when_ended(lambda each: each is meant, lambda: done.append("aborted"))
    flight.end(meant)
    assert done == ["aborted"]


def test_an_action_with_nothing_to_wait_for_runs_at_once() -> None:
    flight, done = InFlight(), list[str]()
    flight.when_ended(anything, lambda: done.append("reset"))
    assert done == ["reset"]


def test_a_command_that_was_aborted_before_it_began_never_does() -> None:
    flight, late = InFlight(), task()
    late.happens(TaskEvent.READY)
    late.happens(TaskEvent.ABORTED)
    assert not flight.begin(late)


def test_behind_the_fence_nothing_begins_and_what_began_is_waited_for() -> None:
    flight, running = InFlight(), task()
    assert flight.begin(running)
    flight.fence()
    assert not flight.begin(task())
    waiting = threading.Thread(target=flight.wait_until_quiet)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    flight.end(running)
    waiting.join(10)
    assert not waiting.is_alive()


def test_what_follows_the_last_command_is_waited_for_too() -> None:
    """Or a logout would be answered before the reset that waited for the command."""
    flight, running = InFlight(), task()
    began, may_end, done = threading.Event(), threading.Event(), list[str]()

    def answer() -> None:
        began.set()
        assert may_end.wait(10)
        done.append("reset answered")

    def log_out() -> None:
        flight.wait_until_quiet()
        done.append("logout answered")

    flight.begin(running)
    flight.when_ended(anything, answer)
    flight.fence()
    ending = threading.Thread(target=flight.end, args=(running,))
    ending.start()
    assert began.wait(10)
    leaving = threading.Thread(target=log_out)
    leaving.start()
    leaving.join(0.05)
    assert done == []
    may_end.set()
    for thread in (ending, leaving):
        thread.join(10)
    assert done == ["reset answered", "logout answered"]


def test_what_follows_a_command_and_fails_keeps_nobody_waiting() -> None:
    flight, running = InFlight(), task()

    def fail() -> None:
        raise RuntimeError("a bug")

    flight.begin(running)
    flight.when_ended(anything, fail)
    flight.fence()
    with pytest.raises(RuntimeError, match="a bug"):
        flight.end(running)
    flight.wait_until_quiet()
