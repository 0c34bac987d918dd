"""What leaves first, and with which numbers."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.initiator import Initiator, Reply, replies_in
from tests.unit.iscsi.support import (
    CHECK_CONDITION,
    GOOD,
    TARGET,
    TEST_UNIT_READY,
    Link,
    Numbers,
    session,
    target,
)
from twinlock.iscsi import limits
from twinlock.iscsi.events import CommandReceived, LoggedOut, TaskManagementRequested
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import LoginStatus
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function
from twinlock.wire.iscsi_codes import TaskManagementResponse as Response
from twinlock.wire.iscsi_responses import (
    R2T,
    DataIn,
    LoginResponse,
    LogoutResponse,
    NopIn,
    ScsiResponse,
    TaskManagementAnswer,
)

READ, WRITE = b"\x28" + bytes(15), b"\x2a" + bytes(15)
SMALL = {"MaxRecvDataSegmentLength": "512", "MaxBurstLength": "1024"}


def send(link: Link) -> list[Any]:
    """Give the target what the initiator has queued; nothing of the target's is taken."""
    return link.target.receive(link.initiator.take_output())


def reading(link: Link, size: int) -> tuple[int, Task]:
    """A read that was completed, and whose data wait."""
    tag = link.initiator.command(READ, read=size)
    (event,) = send(link)
    link.target.complete(event.task, status=GOOD, data_in=bytes(size), transfer_wanted=size)
    return tag, event.task


def taken(link: Link, maximum: int | None = None) -> list[Reply]:
    output = b"".join(bytes(part) for part in link.target.take_output(maximum))
    replies, rest = replies_in(output)
    assert rest == b""
    link.initiator.receive(output)
    return replies


def kinds(replies: list[Reply]) -> list[type[Any]]:
    return [type(reply.header) for reply in replies]


# -- the order ----------------------------------------------------------------------------------------


def test_a_ping_is_answered_ahead_of_data() -> None:
    link = session(keys=SMALL)
    reading(link, 2048)
    link.initiator.nop(b"ping")
    send(link)
    assert kinds(taken(link)) == [NopIn, DataIn, DataIn, DataIn, DataIn]


def test_a_ping_is_answered_between_two_portions_of_data() -> None:
    link = session(keys=SMALL)
    reading(link, 2048)
    assert kinds(taken(link, 1000)) == [DataIn, DataIn]
    link.initiator.nop(b"ping")
    send(link)
    assert kinds(taken(link)) == [NopIn, DataIn, DataIn]


@pytest.mark.parametrize("status", [GOOD, CHECK_CONDITION])
def test_a_response_without_data_overtakes_the_data_of_others(status: int) -> None:
    link = session(keys=SMALL)
    reading(link, 1024)
    link.initiator.command(TEST_UNIT_READY)
    (event,) = send(link)
    link.target.complete(event.task, status=status, transfer_wanted=0)
    assert kinds(taken(link)) == [ScsiResponse, DataIn, DataIn]


def test_a_response_does_not_overtake_the_data_of_its_own_task() -> None:
    link = session(keys=SMALL)
    link.initiator.command(READ, read=2048)
    (event,) = send(link)
    link.target.complete(event.task, status=CHECK_CONDITION, data_in=bytes(1024), transfer_wanted=1024)
    assert kinds(taken(link)) == [DataIn, DataIn, ScsiResponse]


def test_a_failed_write_does_not_overtake_its_own_r2t() -> None:
    link = session(keys=SMALL | {"ImmediateData": "No"})
    tag = link.initiator.command(WRITE, write=bytes(1024))
    send(link)
    link.initiator.data_out(tag, 77, 0, 1024)  # an answer to no R2T
    send(link)
    assert kinds(taken(link)) == [R2T, ScsiResponse]


def test_a_task_management_response_overtakes_the_data_of_others() -> None:
    link = session(keys=SMALL)
    reading(link, 1024)
    link.initiator.task_management(Function.LOGICAL_UNIT_RESET, lun=b"\0\1" + bytes(6))
    (event,) = send(link)
    link.target.finish_task_management(event, Response.FUNCTION_COMPLETE)
    assert kinds(taken(link)) == [TaskManagementAnswer, DataIn, DataIn]


def test_a_logout_response_is_the_last() -> None:
    link = session(keys=SMALL)
    reading(link, 1024)
    link.initiator.nop(b"ping")
    link.initiator.logout()
    assert [type(event) for event in send(link)] == [LoggedOut]
    assert kinds(taken(link)) == [NopIn, DataIn, DataIn, LogoutResponse]


def test_task_management_is_answered_ahead_of_a_logout() -> None:
    link = session()
    link.initiator.task_management(Function.LOGICAL_UNIT_RESET)
    link.initiator.logout()
    event, _ = send(link)
    link.target.finish_task_management(event, Response.FUNCTION_COMPLETE)
    assert kinds(taken(link)) == [TaskManagementAnswer, LogoutResponse]


def test_task_management_is_not_answered_behind_a_logout() -> None:
    link = session()
    link.initiator.task_management(Function.LOGICAL_UNIT_RESET)
    link.initiator.logout()
    event, _ = send(link)
    assert kinds(taken(link)) == [LogoutResponse]
    link.target.finish_task_management(event, Response.FUNCTION_COMPLETE)
    assert link.target.output_size == 0


def test_a_logout_that_is_refused_does_not_wait() -> None:
    link = session(keys=SMALL)
    reading(link, 1024)
    link.initiator.logout(reason=2)
    send(link)
    assert kinds(taken(link)) == [LogoutResponse, DataIn, DataIn]


# -- what is not sent after all -----------------------------------------------------------------------


def test_an_abort_withdraws_what_was_not_taken() -> None:
    """The task has ended, but the initiator cannot know: to it, the task is there and aborted."""
    link = session(keys=SMALL)
    tag, _ = reading(link, 2048)
    other, _ = reading(link, 512)
    assert kinds(taken(link, 500)) == [DataIn]
    link.initiator.task_management(Function.ABORT_TASK, referenced_task_tag=tag)
    (event,) = send(link)
    assert isinstance(event, TaskManagementRequested)
    assert event.tasks == ()
    link.target.finish_task_management(event, Response.FUNCTION_COMPLETE)
    answer, rest = taken(link)
    assert isinstance(answer.header, TaskManagementAnswer)
    assert rest.header.initiator_task_tag == other
    assert rest.header.stat_sn == answer.header.stat_sn + 1
    assert link.initiator.outcomes[tag].status is None
    assert link.target.output_size == 0


def test_an_abort_withdraws_r2ts() -> None:
    link = session(keys=SMALL | {"ImmediateData": "No"})
    tag = link.initiator.command(WRITE, write=bytes(1024))
    send(link)
    link.initiator.task_management(Function.ABORT_TASK, referenced_task_tag=tag)
    (event,) = send(link)
    link.target.finish_task_management(event, Response.FUNCTION_COMPLETE)
    assert kinds(taken(link)) == [TaskManagementAnswer]


def test_an_abort_by_others_leaves_answers_alone() -> None:
    link = session(keys=SMALL | {"ImmediateData": "No"})
    tag, _ = reading(link, 1024)
    delivered = link.initiator.command(TEST_UNIT_READY)
    gathered = link.initiator.command(WRITE, write=bytes(1024))
    (event,) = send(link)
    (aborted,) = link.target.abort_tasks(lambda _task: True)
    assert aborted is event.task
    assert aborted.aborted
    assert kinds(taken(link)) == [DataIn, DataIn]  # the R2T has gone
    link.target.complete(aborted, status=GOOD, transfer_wanted=0)
    assert taken(link) == []
    assert link.initiator.outcomes[tag].status == GOOD
    assert {link.initiator.outcomes[other].status for other in (delivered, gathered)} == {None}
    link.initiator.nop()
    send(link)
    taken(link)
    assert link.initiator.max_cmd_sn == link.initiator.cmd_sn + limits.COMMAND_WINDOW - 1


def test_an_abort_by_others_of_some() -> None:
    link = session()
    first, second = (link.initiator.command(TEST_UNIT_READY) for _ in range(2))
    tasks = [event.task for event in send(link)]
    assert link.target.abort_tasks(lambda task: task.initiator_task_tag == second) == (tasks[1],)
    assert [task.aborted for task in tasks] == [False, True]
    link.target.complete(tasks[0], status=GOOD, transfer_wanted=0)
    link.run()
    assert link.initiator.outcomes[first].status == GOOD


def test_an_abort_by_others_after_the_end() -> None:
    link = session()
    link.initiator.command(TEST_UNIT_READY)
    link.initiator.logout()
    send(link)
    assert link.target.abort_tasks(lambda _task: True) == ()
    with pytest.raises(ValueError, match="nobody is logged in"):
        target().abort_tasks(lambda _task: True)


# -- the amount ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("maximum", "count"), [(0, 1), (1, 1), (560, 1), (561, 2), (1120, 2), (1 << 30, 4)])
def test_how_much_is_taken(maximum: int, count: int) -> None:
    """Whole PDUs of 560 bytes each: as many as it takes to reach the maximum."""
    link = session(keys=SMALL)
    reading(link, 2048)
    assert link.target.output_size == 4 * 560
    assert len(taken(link, maximum)) == count
    assert link.target.output_size == (4 - count) * 560
    taken(link)
    assert link.target.output_size == 0
    assert link.target.take_output(100) == []


def test_what_waits_is_counted() -> None:
    link = session()
    assert (link.target.output_size, link.target.answers_waiting) == (0, 0)
    link.initiator.nop(bytes(100))
    link.initiator.nop()
    send(link)
    assert (link.target.output_size, link.target.answers_waiting) == (196, 2)


def test_a_login_that_is_taken_back_leaves_nothing_else() -> None:
    initiator, connection = Initiator(TARGET), target()
    initiator.login()
    connection.receive(initiator.take_output())
    initiator.receive(b"".join(connection.take_output()))
    last = initiator.take_output()
    initiator.command(READ, read=512)
    initiator.nop(b"ahead")
    _, received = connection.receive(last + initiator.take_output())
    assert isinstance(received, CommandReceived)
    connection.complete(received.task, status=GOOD, data_in=bytes(512), transfer_wanted=512)
    connection.refuse_session(LoginStatus.TARGET_ERROR)
    (only,), _ = replies_in(b"".join(bytes(part) for part in connection.take_output()))
    assert isinstance(only.header, LoginResponse)
    assert only.header.status == LoginStatus.TARGET_ERROR
    assert connection.output_size == 0


# -- the numbers --------------------------------------------------------------------------------------


def by_tag(tags: set[int]) -> Callable[[Task], bool]:
    return lambda task: task.initiator_task_tag in tags


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["read", "write", "nop", "abort", "reset", "fence", "complete", "finish", "ping", "take"]
        ),
        st.integers(0, 5000),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_numbers_and_order_whatever_is_taken_when(actions: list[tuple[str, int]]) -> None:
    """StatSN has no gap, MaxCmdSN never goes back, no task has anything after its end on the wire."""
    link = session(keys=SMALL | {"ImmediateData": "No"})
    tasks: list[Task] = []
    requests: list[TaskManagementRequested] = []
    numbers = Numbers(link.initiator.replies[-1].header)
    numbers.check(link.initiator.replies[-1].header)
    over: set[int] = set()
    data_sn: dict[int, int] = {}

    def take(maximum: int | None) -> None:
        for reply in taken(link, maximum):
            header = reply.header
            numbers.check(header)
            assert header.initiator_task_tag not in over
            if isinstance(header, DataIn):
                assert header.data_sn == data_sn.get(header.initiator_task_tag, 0)
                data_sn[header.initiator_task_tag] = header.data_sn + 1
            if isinstance(header, ScsiResponse) or getattr(header, "status_present", False):
                over.add(header.initiator_task_tag)
            if isinstance(header, TaskManagementAnswer):
                over.update(meant.pop(header.initiator_task_tag))

    meant: dict[int, set[int]] = {}
    for action, number in actions:
        tags = set(link.initiator.outcomes)
        if action == "read":
            link.initiator.command(READ, read=number + 1)
        elif action == "write":
            link.initiator.command(WRITE, write=bytes(number + 1))
        elif action == "nop":
            link.initiator.nop(bytes(number % 512))
        elif action == "ping":
            link.target.ping()
        elif action == "abort" and tags:
            tag = sorted(tags)[number % len(tags)]
            link.initiator.task_management(Function.ABORT_TASK, referenced_task_tag=tag, ref_cmd_sn=1)
            meant[link.initiator._tag] = {tag}
        elif action == "reset":
            link.initiator.task_management(Function.LOGICAL_UNIT_RESET)
            meant[link.initiator._tag] = tags
        elif action == "fence":
            fenced = {tag for tag in tags if tag % 3 == number % 3}
            link.target.abort_tasks(by_tag(fenced))
        elif action == "complete" and tasks:
            task = tasks.pop(number % len(tasks))
            status = CHECK_CONDITION if number % 5 == 0 else GOOD
            link.target.complete(task, status=status, data_in=bytes(number), transfer_wanted=number)
        elif action == "finish" and requests:
            if not set(requests[0].tasks) & set(tasks):
                link.target.finish_task_management(requests.pop(0), 0)
        elif action == "take":
            take(number)
        for event in send(link):
            if isinstance(event, CommandReceived):
                tasks.append(event.task)
            elif isinstance(event, TaskManagementRequested):
                requests.append(event)
    take(None)
    assert link.target.output_size == 0
    assert link.target.answers_waiting == 0
