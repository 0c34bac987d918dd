import pytest

from tests.support.initiator import Reply
from tests.unit.iscsi.support import CHECK_CONDITION, GOOD, TEST_UNIT_READY, Link, session
from twinlock.iscsi import limits
from twinlock.iscsi.events import CommandReceived, TaskManagementRequested
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function
from twinlock.wire.iscsi_codes import TaskManagementResponse as Response
from twinlock.wire.iscsi_responses import R2T, TaskManagementAnswer

LUN0, LUN1 = bytes(8), b"\x00\x01" + bytes(6)
WRITE = b"\x2a" + bytes(15)


def start(link: Link, *luns: bytes) -> list[Task]:
    for lun in luns:
        link.initiator.command(TEST_UNIT_READY, lun=lun)
    return [event.task for event in link.run() if isinstance(event, CommandReceived)]


def request(link: Link, function: Function, **fields: object) -> TaskManagementRequested:
    link.initiator.task_management(function, **fields)
    (event,) = link.run()
    assert isinstance(event, TaskManagementRequested)
    assert event.function is function
    return event


def answer(link: Link) -> Reply:
    link.run()
    reply = link.initiator.replies[-1]
    assert isinstance(reply.header, TaskManagementAnswer)
    return reply


def test_abort_task() -> None:
    link = session()
    first, second = start(link, LUN0, LUN0)
    event = request(link, Function.ABORT_TASK, referenced_task_tag=first.initiator_task_tag)
    assert event.tasks == (first,)
    assert (first.aborted, second.aborted) == (True, False)
    link.target.complete(first, status=GOOD, transfer_wanted=0)  # in silence
    link.target.finish_task_management(event, Response.FUNCTION_COMPLETE)
    assert answer(link).header.response == Response.FUNCTION_COMPLETE
    assert link.initiator.outcomes[first.initiator_task_tag].status is None
    link.target.complete(second, status=GOOD, transfer_wanted=0)
    link.run()
    assert link.initiator.outcomes[second.initiator_task_tag].status == GOOD


def test_an_aborted_task_gives_its_slot_back_when_it_ends() -> None:
    link = session()
    (task,) = start(link, LUN0)
    request(link, Function.ABORT_TASK, referenced_task_tag=task.initiator_task_tag)
    link.initiator.nop()
    link.run()
    before = link.initiator.max_cmd_sn
    link.target.complete(task, status=GOOD, transfer_wanted=0)
    link.initiator.nop()
    link.run()
    assert link.initiator.max_cmd_sn == before + 1


def test_the_tag_of_an_aborted_task_may_come_again_before_it_ends() -> None:
    link = session()
    (old,) = start(link, LUN0)
    request(link, Function.ABORT_TASK, referenced_task_tag=old.initiator_task_tag)
    link.initiator.command(TEST_UNIT_READY, initiator_task_tag=old.initiator_task_tag)
    new = link.deliver()
    link.target.complete(old, status=CHECK_CONDITION, transfer_wanted=0)
    link.target.complete(new, status=GOOD, transfer_wanted=0)
    link.run()
    assert link.initiator.outcomes[old.initiator_task_tag].status == GOOD


def test_a_task_that_is_not_there() -> None:
    link = session()
    (task,) = start(link, LUN0)
    link.target.complete(task, status=GOOD, transfer_wanted=0)
    link.run()
    link.initiator.task_management(
        Function.ABORT_TASK, referenced_task_tag=task.initiator_task_tag, ref_cmd_sn=1
    )
    assert link.run() == []
    assert answer(link).header.response == Response.TASK_DOES_NOT_EXIST


def test_a_task_that_has_not_come_counts_as_come() -> None:
    link = session()
    missing = link.initiator.cmd_sn
    link.initiator.cmd_sn += 1
    early = link.initiator.command(TEST_UNIT_READY)  # the one before is missing
    assert link.run() == []
    link.initiator.task_management(Function.ABORT_TASK, referenced_task_tag=77, ref_cmd_sn=missing)
    event, received = link.run()
    assert isinstance(event, TaskManagementRequested)
    assert event.tasks == ()
    assert isinstance(received, CommandReceived)
    assert received.task.initiator_task_tag == early
    link.initiator.cmd_sn = missing
    link.initiator.command(TEST_UNIT_READY)  # it comes after all, too late to be a task
    assert link.run() == []


@pytest.mark.parametrize("ahead", [0, 1, 5, -1, -200])
def test_a_task_that_cannot_come_any_more(ahead: int) -> None:
    """Its number has passed, or is not older than the abort: nothing is plugged."""
    link = session()
    following = link.initiator.cmd_sn
    link.initiator.task_management(
        Function.ABORT_TASK, referenced_task_tag=77, ref_cmd_sn=(following + ahead) % (1 << 32)
    )
    assert link.run() == []
    assert answer(link).header.response == Response.TASK_DOES_NOT_EXIST
    link.deliver(link.initiator.command(TEST_UNIT_READY))


@pytest.mark.parametrize(
    ("function", "all_units"),
    [
        (Function.ABORT_TASK_SET, False),
        (Function.CLEAR_TASK_SET, False),
        (Function.LOGICAL_UNIT_RESET, False),
        (Function.TARGET_WARM_RESET, True),
        (Function.TARGET_COLD_RESET, True),
    ],
)
def test_functions_for_many_tasks(function: Function, all_units: bool) -> None:
    link = session()
    tasks = start(link, LUN0, LUN1, LUN0)
    event = request(link, function, lun=LUN0)
    assert event.lun == LUN0
    assert list(event.tasks) == (tasks if all_units else [tasks[0], tasks[2]])
    assert tasks[1].aborted is all_units


def test_early_commands_of_the_task_set_are_dropped() -> None:
    link = session()
    first = link.initiator.cmd_sn
    link.initiator.cmd_sn += 1
    link.initiator.command(TEST_UNIT_READY, lun=LUN0)
    kept = link.initiator.command(TEST_UNIT_READY, lun=LUN1)
    link.initiator.cmd_sn = first
    assert link.run() == []
    assert request(link, Function.LOGICAL_UNIT_RESET, lun=LUN0).tasks == ()
    missing = link.initiator.command(TEST_UNIT_READY, lun=LUN1)
    assert [event.task.initiator_task_tag for event in link.run() if isinstance(event, CommandReceived)] == [
        missing,
        kept,
    ]


def test_gathering_stops_and_late_data_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATHERED_DATA", 3000)
    link = session(keys={"ImmediateData": "No"})
    link.initiator.answers_r2t = False
    asked, waiting, last = (link.initiator.command(WRITE, write=bytes(2000)) for _ in range(3))
    assert link.run() == []
    burst = link.initiator.replies[-1].header
    assert isinstance(burst, R2T)
    assert request(link, Function.ABORT_TASK, referenced_task_tag=waiting).tasks == ()
    link.initiator.answers_r2t = True
    link.initiator.task_management(Function.ABORT_TASK, referenced_task_tag=asked)
    event, received = link.run()
    assert isinstance(event, TaskManagementRequested)
    assert event.tasks == ()
    assert isinstance(received, CommandReceived)  # the last has the memory now
    assert received.task.initiator_task_tag == last
    link.initiator.data_out(asked, burst.target_transfer_tag, 0, 2000)
    assert link.run() == []
    assert link.initiator.rejects == []
    assert link.initiator.outcomes[asked].status is None


@pytest.mark.parametrize(
    ("function", "response"),
    [
        (Function.CLEAR_ACA, Response.FUNCTION_NOT_SUPPORTED),
        (Function.TASK_REASSIGN, Response.REASSIGNMENT_NOT_SUPPORTED),
        (0, Response.FUNCTION_REJECTED),
        (99, Response.FUNCTION_REJECTED),
    ],
)
def test_functions_that_are_not_supported(function: int, response: Response) -> None:
    link = session()
    link.initiator.task_management(function)
    assert link.run() == []
    assert answer(link).header.response == response
