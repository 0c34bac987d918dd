import pytest

from tests.support.initiator import Initiator
from tests.unit.iscsi.support import GOOD, TARGET, TEST_UNIT_READY, Link, session, target
from twinlock.iscsi import limits
from twinlock.iscsi.events import CommandReceived, ProtocolFailure
from twinlock.iscsi.parameters import Parameters
from twinlock.wire.iscsi_codes import RejectReason

UNSOLICITED = Parameters(initial_r2t=False)
WRITE = b"\x2a" + bytes(15)


def delivered(link: Link) -> list[int]:
    return [event.task.initiator_task_tag for event in link.run() if isinstance(event, CommandReceived)]


def command_out_of_turn(link: Link, cmd_sn: int) -> int:
    tag = link.initiator.command(TEST_UNIT_READY, cmd_sn=cmd_sn)
    link.initiator.cmd_sn -= 1
    return tag


@pytest.mark.parametrize("first", [1, 0xFFFFFFF0])
def test_the_window_moves_as_tasks_end(first: int) -> None:
    link = Link(Initiator(TARGET, cmd_sn=first), target())
    link.log_in()
    for _ in range(limits.COMMAND_WINDOW):
        link.initiator.command(TEST_UNIT_READY)
    tasks = [event.task for event in link.run() if isinstance(event, CommandReceived)]
    assert len(tasks) == limits.COMMAND_WINDOW
    beyond = link.initiator.command(TEST_UNIT_READY)
    assert delivered(link) == []  # the window is closed: passed over in silence
    assert beyond not in [reply.header.initiator_task_tag for reply in link.initiator.replies]
    for ended, task in enumerate(tasks, 1):
        link.target.complete(task, status=GOOD, transfer_wanted=0)
        link.run()
        closed = (first + limits.COMMAND_WINDOW - 1) % (1 << 32)
        assert link.initiator.max_cmd_sn == (closed + ended) % (1 << 32)
        assert link.initiator.replies[-1].header.exp_cmd_sn == (closed + 1) % (1 << 32)
    link.initiator.cmd_sn = (first + limits.COMMAND_WINDOW) % (1 << 32)
    link.deliver(link.initiator.command(TEST_UNIT_READY))


@pytest.mark.parametrize("ahead", [-1, -5, limits.COMMAND_WINDOW, 1 << 31])
def test_numbers_outside_the_window_are_passed_over(ahead: int) -> None:
    link = session()
    command_out_of_turn(link, (link.initiator.cmd_sn + ahead) % (1 << 32))
    replies = len(link.initiator.replies)
    assert link.run() == []
    assert len(link.initiator.replies) == replies
    link.deliver(link.initiator.command(TEST_UNIT_READY))


def test_early_commands_wait_for_their_turn() -> None:
    link = session()
    first = link.initiator.cmd_sn
    third, second = command_out_of_turn(link, first + 2), command_out_of_turn(link, first + 1)
    link.initiator.nop(b"still alive")
    assert delivered(link) == []
    assert link.initiator.replies[-1].data == b"still alive"
    missing = link.initiator.command(TEST_UNIT_READY)
    assert delivered(link) == [missing, second, third]


def test_an_early_command_keeps_its_data() -> None:
    link = session(preferences=UNSOLICITED)
    first = link.initiator.cmd_sn
    data = bytes(range(200))
    early = link.initiator.command(WRITE, write=data, in_command=50, unsolicited=150, cmd_sn=first + 1)
    link.initiator.cmd_sn = first
    assert delivered(link) == []
    missing = link.initiator.command(TEST_UNIT_READY)
    events = [event.task for event in link.run() if isinstance(event, CommandReceived)]
    assert [task.initiator_task_tag for task in events] == [missing, early]
    assert bytes(events[1].data_out) == data


def test_the_same_early_number_twice_counts_once() -> None:
    link = session()
    first = link.initiator.cmd_sn
    early = command_out_of_turn(link, first + 1)
    command_out_of_turn(link, first + 1)
    missing = link.initiator.command(TEST_UNIT_READY)
    assert delivered(link) == [missing, early]


def test_early_data_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EARLY_DATA", 2000)
    link = session()
    for ahead in range(1, 4):
        link.initiator.command(WRITE, write=bytes(900), cmd_sn=1 + ahead)
    (failure,) = link.run()
    assert isinstance(failure, ProtocolFailure)


def test_immediate_commands_use_no_number_and_no_slot() -> None:
    link = session()
    before = link.initiator.cmd_sn
    tags = [link.initiator.command(TEST_UNIT_READY, immediate=True) for _ in range(3)]
    tasks = [event.task for event in link.run() if isinstance(event, CommandReceived)]
    assert [task.initiator_task_tag for task in tasks] == tags
    for task in tasks:
        assert task.immediate
        link.target.complete(task, status=GOOD, transfer_wanted=0)
    link.run()
    last = link.initiator.replies[-1].header
    assert (last.exp_cmd_sn, last.max_cmd_sn) == (before, before + limits.COMMAND_WINDOW - 1)


def test_too_many_immediate_commands() -> None:
    link = session()
    for _ in range(limits.IMMEDIATE_TASKS + 1):
        link.initiator.command(TEST_UNIT_READY, immediate=True)
    assert len(delivered(link)) == limits.IMMEDIATE_TASKS
    (reject,) = link.initiator.rejects
    assert reject.header.reason == RejectReason.IMMEDIATE_COMMAND_REJECT
