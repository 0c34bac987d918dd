"""What has to wait for commands in flight waits without a thread."""

from twinlock.iscsi.task import Task
from twinlock.server.in_flight import MAX_WAITING, InFlight
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


def test_an_action_runs_once_the_commands_before_it_have_ended_whatever_came_later() -> None:
    flight, done = InFlight(), list[str]()
    first, second, later = task(), task(), task()
    flight.begin(first)
    flight.begin(second)
    assert flight.when_ended(lambda: done.append("reset"))
    flight.begin(later)
    flight.end(first)
    assert done == []
    flight.end(second)
    assert done == ["reset"], "a command that came later does not delay it"
    flight.end(later)
    assert done == ["reset"]
    flight.wait_until_quiet()


def test_an_action_with_nothing_to_wait_for_runs_at_once() -> None:
    flight, done = InFlight(), list[str]()
    assert flight.when_ended(lambda: done.append("reset"))
    assert done == ["reset"]


def test_there_is_a_limit() -> None:
    flight = InFlight()
    first = task()
    flight.begin(first)
    assert [flight.when_ended(lambda: None) for _ in range(MAX_WAITING + 1)] == [True] * MAX_WAITING + [False]
    flight.end(first)
    flight.wait_until_quiet()
