"""Shared mode: several sessions at once, and task management that reaches from one to the others."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.initiator import Outcome
from tests.support.rig import (
    HELD,
    ISID,
    MAC,
    OTHER_ISID,
    PC,
    READ_16,
    TARGET,
    Peer,
    Rig,
    cdb,
    eventually,
)
from tests.unit.block.arrays import BLOCK
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import AbortTasks
from twinlock.server.admission import MAX_SESSIONS, TURNED_AWAY
from twinlock.server.task_management import MAX_PENDING
from twinlock.wire.iscsi_codes import AsyncEvent
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function
from twinlock.wire.iscsi_codes import TaskManagementResponse as Response
from twinlock.wire.iscsi_responses import AsyncMessage, LogoutResponse, NopIn, TaskManagementAnswer

FLAT_LUN_0 = bytes([0x40]) + bytes(7)
"""Flat space addressing: the other way to write LUN 0 (SAM-5)."""
NO_SUCH_LUN = bytes([0, 5]) + bytes(6)
RESERVE_6 = bytes([0x16]) + bytes(15)
CHECK_CONDITION, RESERVATION_CONFLICT = 0x02, 0x18
CLEARED, RESET, BUS_RESET = (0x2F, 0x00), (0x29, 0x03), (0x29, 0x02)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(shared=True) as made:
        yield made


def two(rig: Rig) -> tuple[Peer, Peer]:
    return rig.log_in(MAC), rig.log_in(PC)


def attention(outcome: Outcome) -> tuple[int, int] | None:
    """The additional sense code of a unit attention, if the outcome is one."""
    if outcome.status != CHECK_CONDITION or outcome.sense[2] & 0xF != 6:
        return None
    return outcome.sense[12], outcome.sense[13]


def test_unit_ready(peer: Peer) -> Outcome:
    return peer.execute(bytes(16))


test_unit_ready.__test__ = False  # type: ignore[attr-defined]


def answered(peer: Peer) -> list[int]:
    return [answer.response for answer in peer.answers(TaskManagementAnswer)]


def hold_a_write(rig: Rig, peer: Peer, lun: bytes = bytes(8)) -> int:
    """A write of ``peer`` that waits in a slow member."""
    rig.gate.close()
    rig.gate.began.clear()
    tag = peer.write(fua=True, lun=lun)
    assert rig.gate.began.wait(10)
    return tag


def silence(peer: Peer) -> None:
    """What was sent has been dealt with: one ping may be answered ahead of it, but not a second."""
    for _ in range(2):
        before = len(peer.answers(NopIn))
        peer.protocol.nop()
        peer.until(lambda before=before: len(peer.answers(NopIn)) > before)  # type: ignore[misc]


# -- sessions -----------------------------------------------------------------------------------------


def test_several_initiators_work_side_by_side(rig: Rig) -> None:
    one, other = two(rig)
    third = rig.log_in(MAC, OTHER_ISID)
    one.wait(one.write(fill=b"1"))
    assert other.read() == third.read() == b"1" * HELD
    assert rig.sessions() == [MAC, PC, MAC]


def test_the_same_nexus_is_reinstated_behind_a_fence(rig: Rig) -> None:
    one, other = two(rig)
    hold_a_write(rig, one)
    again = rig.attempt(MAC)
    rig.timer.await_sleepers()
    assert again.status is None
    assert test_unit_ready(other).status == 0, "the others go on"
    rig.gate.open()
    again.join()
    assert again.protocol.logged_in
    assert one.is_closed()
    assert rig.sessions() == [PC, MAC]


def test_there_is_a_limit(rig: Rig) -> None:
    first = rig.log_in(MAC, bytes([0x80, 0, 0, 0, 1, 0]))
    for number in range(1, MAX_SESSIONS):
        rig.log_in(MAC, bytes([0x80, 0, 0, 0, 1, number])).stay_alive()
    first.stay_alive()
    late = rig.attempt(PC)
    late.join()
    assert late.status is TURNED_AWAY
    assert len(rig.sessions()) == MAX_SESSIONS


# -- task management ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "mine", "theirs"),
    [
        (Function.CLEAR_TASK_SET, None, CLEARED),
        (Function.LOGICAL_UNIT_RESET, RESET, RESET),
        (Function.TARGET_WARM_RESET, BUS_RESET, BUS_RESET),
    ],
    ids=["clear task set", "logical unit reset", "target warm reset"],
)
def test_a_function_that_reaches_all_sessions(
    rig: Rig, function: Function, mine: tuple[int, int] | None, theirs: tuple[int, int]
) -> None:
    """The others' commands end in silence, and the answer waits until none of them can reach a member."""
    one, other = two(rig)
    bystander = rig.log_in(MAC, OTHER_ISID)
    tag = hold_a_write(rig, other)
    one.manage(function)
    silence(one)
    assert answered(one) == []
    rig.gate.open()
    one.until(lambda: answered(one))
    assert answered(one) == [Response.FUNCTION_COMPLETE]
    assert attention(test_unit_ready(other)) == theirs
    assert attention(test_unit_ready(one)) == mine
    assert attention(test_unit_ready(bystander)) == (None if theirs == CLEARED else theirs)
    assert other.protocol.outcomes[tag].status is None, "an aborted command is not answered"
    assert test_unit_ready(other).status == 0


@pytest.mark.parametrize("function", [Function.ABORT_TASK, Function.ABORT_TASK_SET])
def test_a_function_for_the_own_tasks_leaves_the_others_alone(rig: Rig, function: Function) -> None:
    one, other = two(rig)
    theirs = hold_a_write(rig, other)
    mine = one.protocol.command(cdb(READ_16, 0, 1), read=BLOCK)
    assert one.wait(mine).status == 0
    one.manage(Function.ABORT_TASK_SET)
    one.until(lambda: answered(one))
    assert answered(one) == [Response.FUNCTION_COMPLETE]
    rig.gate.open()
    assert other.wait(theirs).status == 0
    assert test_unit_ready(other).status == 0


@pytest.mark.parametrize("function", [Function.LOGICAL_UNIT_RESET, Function.CLEAR_TASK_SET])
def test_a_task_that_names_the_unit_in_another_form_is_meant_too(rig: Rig, function: Function) -> None:
    one, other = two(rig)
    hold_a_write(rig, other, FLAT_LUN_0)
    one.manage(function)
    silence(one)
    assert answered(one) == []
    rig.gate.open()
    one.until(lambda: answered(one))


def test_an_own_task_that_names_the_unit_in_another_form_is_meant_too(rig: Rig) -> None:
    one, _ = two(rig)
    tag = hold_a_write(rig, one, FLAT_LUN_0)
    one.manage(Function.ABORT_TASK_SET)
    silence(one)
    assert answered(one) == []
    rig.gate.open()
    one.until(lambda: answered(one))
    assert one.protocol.outcomes[tag].status is None


def test_an_abort_waits_for_its_task_alone(rig: Rig) -> None:
    one, other = two(rig)
    hold_a_write(rig, other)
    one.write(100, fua=True)
    tag = one.write(200, fua=True)
    eventually(lambda: rig.gate.arrived == 3)
    one.manage(Function.ABORT_TASK, referenced_task_tag=tag)
    silence(one)
    assert answered(one) == []
    rig.gate.open()
    one.until(lambda: answered(one))
    assert one.protocol.outcomes[tag].status is None


def test_a_reset_waits_for_what_had_been_aborted_before(rig: Rig) -> None:
    """The task is in no task set any more, but its write is still under way."""
    one, _other = two(rig)
    tag = hold_a_write(rig, one)
    one.manage(Function.ABORT_TASK, referenced_task_tag=tag)
    one.manage(Function.LOGICAL_UNIT_RESET)
    silence(one)
    assert answered(one) == []
    rig.gate.open()
    one.until(lambda: len(answered(one)) == 2)
    assert answered(one) == [Response.FUNCTION_COMPLETE] * 2


def test_commands_whose_data_are_on_their_way_are_cleared_too(rig: Rig) -> None:
    one, other = two(rig)
    other.protocol.answers_r2t = False
    other.protocol.command(cdb(0x8A, 0, HELD // BLOCK), write=b"x" * HELD, in_command=BLOCK)
    other.flush()
    silence(other)
    one.manage(Function.CLEAR_TASK_SET)
    one.until(lambda: answered(one))
    assert attention(test_unit_ready(other)) == CLEARED
    assert one.read() == bytes(HELD)


def test_who_had_nothing_under_way_is_told_nothing_by_clear_task_set(rig: Rig) -> None:
    one, other = two(rig)
    one.manage(Function.CLEAR_TASK_SET)
    one.until(lambda: answered(one))
    assert test_unit_ready(other).status == 0


@pytest.mark.parametrize(
    "function", [Function.ABORT_TASK_SET, Function.CLEAR_TASK_SET, Function.LOGICAL_UNIT_RESET]
)
def test_a_unit_that_is_not_there(rig: Rig, function: Function) -> None:
    one, other = two(rig)
    one.manage(function, lun=NO_SUCH_LUN)
    one.until(lambda: answered(one))
    assert answered(one) == [Response.LUN_DOES_NOT_EXIST]
    assert test_unit_ready(other).status == 0


def test_nobody_reserves_the_unit_before_what_a_reset_aborted_has_ended(rig: Rig) -> None:
    """Or what is written under the new reservation would be overwritten from before it."""
    one, other = two(rig)
    third = rig.log_in(MAC, OTHER_ISID)
    assert other.execute(RESERVE_6).status == 0
    hold_a_write(rig, other)
    one.manage(Function.LOGICAL_UNIT_RESET)
    silence(one)
    assert attention(test_unit_ready(third)) == RESET
    assert third.execute(RESERVE_6).status == RESERVATION_CONFLICT
    rig.gate.open()
    one.until(lambda: answered(one))
    assert third.execute(RESERVE_6).status == 0


def test_two_that_reset_the_unit_at_once_do_not_wait_for_each_other(rig: Rig) -> None:
    one, other = two(rig)
    rig.gate.close()
    one.write(0, fua=True)
    other.write(64, fua=True)
    eventually(lambda: rig.gate.arrived == 2)
    one.manage(Function.LOGICAL_UNIT_RESET)
    other.manage(Function.LOGICAL_UNIT_RESET)
    rig.gate.open()
    for peer in (one, other):
        peer.until(lambda peer=peer: answered(peer))  # type: ignore[misc]
        assert answered(peer) == [Response.FUNCTION_COMPLETE]


def test_a_reset_does_not_wait_for_a_peer_that_does_not_read(rig: Rig) -> None:
    one, other = two(rig)
    for number in range(60):
        other.protocol.command(cdb(READ_16, number, 512 * 1024 // BLOCK), read=512 * 1024)
    other.flush()
    connection = rig.service._lobby.all()[1]
    eventually(lambda: connection._commands._output.is_stuck)
    one.manage(Function.LOGICAL_UNIT_RESET)
    one.until(lambda: answered(one))
    assert answered(one) == [Response.FUNCTION_COMPLETE]


def test_a_read_that_is_aborted_before_it_begins_to_wait_for_room_ends(rig: Rig) -> None:
    """The abort comes between the judging of the command and its wait; nobody would drop it afterwards."""
    _one, other = two(rig)
    size = 512 * 1024
    command = cdb(READ_16, 0, size // BLOCK)
    for _ in range(60):
        other.protocol.command(command, read=size)
    other.flush()
    connection = rig.service._lobby.all()[1]
    eventually(lambda: connection._commands._output.is_stuck and connection._commands._data_in._waiting)
    start, judged = rig.target.start, threading.Event()

    def started(*arguments: Any) -> object:
        outcome = start(*arguments)
        connection.abort_tasks(lambda _task: True)
        judged.set()
        return outcome

    rig.target.start = started  # type: ignore[method-assign, assignment]
    other.protocol.command(command, read=size)
    other.flush()
    assert judged.wait(10)
    eventually(lambda: not connection.in_flight._running)


def test_too_many_functions_at_once_are_rejected(rig: Rig) -> None:
    one, other = two(rig)
    hold_a_write(rig, other)
    for _ in range(MAX_PENDING + 2):
        one.protocol.task_management(Function.LOGICAL_UNIT_RESET)
    one.flush()
    one.until(lambda: len(answered(one)) == 2)
    assert answered(one) == [Response.FUNCTION_REJECTED] * 2
    rig.gate.open()
    one.until(lambda: len(answered(one)) == MAX_PENDING + 2)


def test_a_cold_reset_is_answered_and_then_ends_every_session(rig: Rig) -> None:
    """RFC 7143 section 11.5.1: it is as a power on, which terminates all connections."""
    one, other = two(rig)
    hold_a_write(rig, other)
    one.manage(Function.TARGET_COLD_RESET)
    silence(one)
    assert answered(one) == []
    rig.gate.open()
    for peer in (one, other):
        assert peer.is_closed()
        (message,) = peer.answers(AsyncMessage)
        assert message.event == AsyncEvent.ALL_CONNECTIONS_DROPPED
    assert answered(one) == [Response.FUNCTION_COMPLETE]
    eventually(lambda: not rig.sessions())
    back = rig.connect(MAC)
    back.finish_login()
    assert attention(test_unit_ready(back)) in {(0x29, 0x00), (0x29, 0x01)}


def test_a_reset_that_is_waited_for_is_answered_before_a_logout(rig: Rig) -> None:
    one, other = two(rig)
    hold_a_write(rig, one)
    one.manage(Function.LOGICAL_UNIT_RESET)
    one.protocol.logout()
    one.flush()
    rig.gate.open()
    assert one.is_closed()
    kinds = [type(reply.header) for reply in one.protocol.replies]
    assert kinds[-2:] == [TaskManagementAnswer, LogoutResponse]
    assert attention(test_unit_ready(other)) == RESET


def test_a_reset_and_a_logout_that_come_together_are_answered_in_order(rig: Rig) -> None:
    one, _other = two(rig)
    for _ in range(5):
        one.protocol.command(cdb(0x8A, 0, HELD // BLOCK, fua=True), write=b"w" * HELD, in_command=HELD)
    one.protocol.task_management(Function.LOGICAL_UNIT_RESET)
    one.protocol.logout()
    one.flush()
    assert one.is_closed()
    kinds = [type(reply.header) for reply in one.protocol.replies]
    assert kinds[-2:] == [TaskManagementAnswer, LogoutResponse]


def test_a_logout_waits_for_a_reset_that_is_about_to_be_answered(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last command has ended, but the thread that ended it is slow to say so."""
    one, _other = two(rig)
    began, may_end = threading.Event(), threading.Event()

    def end() -> None:
        began.set()
        assert may_end.wait(10)

    monkeypatch.setattr(rig.target, "logical_unit_reset", lambda _lun: end)
    hold_a_write(rig, one)
    one.manage(Function.LOGICAL_UNIT_RESET)
    silence(one)
    rig.gate.open()
    assert began.wait(10)
    one.protocol.logout()
    one.flush()
    eventually(rig.service._lobby.all()[0].is_gone)
    threading.Timer(0.1, may_end.set).start()
    assert one.is_closed()
    kinds = [type(reply.header) for reply in one.protocol.replies]
    assert kinds[-2:] == [TaskManagementAnswer, LogoutResponse]


# -- PREEMPT AND ABORT --------------------------------------------------------------------------------


def preempting(rig: Rig, nexuses: tuple[Nexus, ...]) -> bytes:
    """A CDB that aborts the tasks of ``nexuses``, as PREEMPT AND ABORT does."""
    command, start = bytes([0xC0]) + bytes(15), rig.target.start

    def started(nexus: Nexus, lun: bytes, cdb: bytes, data_out: bytes = b"") -> object:
        return AbortTasks(nexuses) if cdb == command else start(nexus, lun, cdb, data_out)

    rig.target.start = started  # type: ignore[method-assign, assignment]
    return command


@pytest.mark.parametrize("lun", [bytes(8), FLAT_LUN_0])
def test_preempt_and_abort_ends_when_the_tasks_have(rig: Rig, lun: bytes) -> None:
    one, other = two(rig)
    command = preempting(rig, (Nexus(PC, ISID),))
    tag = hold_a_write(rig, other, lun)
    mine = one.protocol.command(command)
    silence(one)
    assert one.protocol.outcomes[mine].status is None
    rig.gate.open()
    assert one.wait(mine).status == 0
    assert attention(test_unit_ready(other)) == CLEARED
    assert other.protocol.outcomes[tag].status is None


def test_two_that_preempt_each_other_do_not_wait_for_each_other(rig: Rig) -> None:
    one, other = two(rig)
    command = preempting(rig, (Nexus(MAC, ISID), Nexus(PC, ISID)))
    rig.gate.close()
    one.write(0, fua=True)
    other.write(64, fua=True)
    eventually(lambda: rig.gate.arrived == 2)
    tags = [(peer, peer.protocol.command(command)) for peer in (one, other)]
    for peer in (one, other):
        peer.flush()
    rig.gate.open()
    for peer, _tag in tags:
        silence(peer)
    for peer in (one, other):
        test_unit_ready(peer)
        assert peer.read() is not None


def test_a_session_that_ends_while_it_waits_for_others_harms_nobody(rig: Rig) -> None:
    one, other = two(rig)
    command = preempting(rig, (Nexus(PC, ISID),))
    hold_a_write(rig, other)
    one.protocol.command(command)
    one.manage(Function.LOGICAL_UNIT_RESET)
    one.reset()
    eventually(lambda: rig.sessions() == [PC])
    rig.gate.open()
    assert attention(test_unit_ready(other)) is not None
    assert rig.service.status().target == TARGET
