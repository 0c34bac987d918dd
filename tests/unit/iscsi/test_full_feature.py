"""Everything of the full feature phase that is neither a command nor text."""

from typing import Any

import pytest

from tests.support.initiator import Initiator, pdu
from tests.unit.iscsi.support import GOOD, TEST_UNIT_READY, Link, session, target
from twinlock.iscsi.events import CommandReceived, LoggedOut, PingAnswered, ProtocolFailure
from twinlock.wire.iscsi_codes import (
    RESERVED_TAG,
    AsyncEvent,
    LogoutReason,
    LogoutResponseCode,
    RejectReason,
    TaskAttribute,
)
from twinlock.wire.iscsi_requests import (
    BasicHeader,
    DataOut,
    LoginRequest,
    LogoutRequest,
    NopOut,
    ScsiCommand,
    SnackRequest,
    TaskManagementRequest,
    TextRequest,
)
from twinlock.wire.iscsi_responses import AsyncMessage, LogoutResponse, NopIn
from twinlock.wire.structure import Structure

# -- pings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"ping", bytes(4096)])
@pytest.mark.parametrize("immediate", [True, False])
def test_a_ping_is_echoed(data: bytes, immediate: bool) -> None:
    link = session()
    link.initiator.nop(data, immediate=immediate)
    assert link.run() == []
    reply = link.initiator.replies[-1]
    assert isinstance(reply.header, NopIn)
    assert reply.data == data
    assert reply.header.target_transfer_tag == RESERVED_TAG
    assert reply.header.exp_cmd_sn == link.initiator.cmd_sn


def test_an_echo_fits_what_the_initiator_takes() -> None:
    link = session(keys={"MaxRecvDataSegmentLength": "512"})
    link.initiator.nop(bytes(600))
    link.run()
    assert len(link.initiator.replies[-1].data) == 512


def test_the_target_pings() -> None:
    link = session()
    link.target.ping()
    assert link.run() == [PingAnswered()]
    ping = link.initiator.replies[-1].header
    assert ping.initiator_task_tag == RESERVED_TAG
    assert ping.target_transfer_tag != RESERVED_TAG
    assert ping.stat_sn == link.initiator.exp_stat_sn  # shown, not used up


def test_an_answer_to_no_ping_is_nothing() -> None:
    link = session()
    link.initiator.send(NopOut(initiator_task_tag=RESERVED_TAG, target_transfer_tag=5, cmd_sn=1))
    link.initiator.send(NopOut(initiator_task_tag=RESERVED_TAG, cmd_sn=1))
    assert link.run() == []


def test_every_ping_has_a_tag_of_its_own() -> None:
    link = session()
    for _ in range(2):
        link.target.ping()
        link.run()
    first, second = (r.header for r in link.initiator.replies if isinstance(r.header, NopIn))
    assert first.target_transfer_tag != second.target_transfer_tag


# -- logout -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [LogoutReason.CLOSE_SESSION, LogoutReason.CLOSE_CONNECTION])
def test_logout(reason: LogoutReason) -> None:
    link = session()
    task = link.deliver(link.initiator.command(TEST_UNIT_READY))
    link.initiator.logout(reason)
    assert link.run() == [LoggedOut(reason)]
    reply = link.initiator.replies[-1].header
    assert isinstance(reply, LogoutResponse)
    assert reply.response == LogoutResponseCode.SUCCESS
    assert task.aborted
    link.target.complete(task, status=GOOD, transfer_wanted=0)
    link.target.ping()
    link.target.request_logout(1)
    assert link.target.take_output() == []
    link.initiator.nop()
    assert link.run() == []  # whatever comes now is ignored


def test_nothing_is_done_after_a_logout_that_had_to_wait() -> None:
    """What came early is handled in turn, up to the logout."""
    link = session()
    first = link.initiator.cmd_sn
    link.initiator.send(LogoutRequest(immediate=False, initiator_task_tag=90, cmd_sn=first + 1))
    link.initiator.send(TextRequest(initiator_task_tag=91, cmd_sn=first + 2), b"no text at all")
    link.initiator.command(TEST_UNIT_READY, cmd_sn=first + 3)
    assert link.run() == []
    link.initiator.cmd_sn = first
    link.initiator.command(TEST_UNIT_READY)
    received, over = link.run()
    assert isinstance(received, CommandReceived)
    assert isinstance(over, LoggedOut)


@pytest.mark.parametrize(
    ("reason", "cid", "response"),
    [
        (LogoutReason.REMOVE_FOR_RECOVERY, 0, LogoutResponseCode.RECOVERY_NOT_SUPPORTED),
        (LogoutReason.CLOSE_CONNECTION, 9, LogoutResponseCode.CID_NOT_FOUND),
    ],
)
def test_a_logout_that_cannot_be(reason: LogoutReason, cid: int, response: LogoutResponseCode) -> None:
    link = session()
    link.initiator.logout(reason, cid)
    assert link.run() == []
    assert link.initiator.replies[-1].header.response == response
    link.initiator.nop(b"still here")
    link.run()
    assert link.initiator.replies[-1].data == b"still here"


def test_the_target_asks_for_a_logout() -> None:
    link = session()
    link.target.request_logout(15)
    link.run()
    message = link.initiator.replies[-1].header
    assert isinstance(message, AsyncMessage)
    assert (message.event, message.parameter3) == (1, 15)
    link.initiator.logout()
    assert link.run() == [LoggedOut(LogoutReason.CLOSE_SESSION)]


@pytest.mark.parametrize(
    ("event", "parameters"),
    [
        (AsyncEvent.LOGOUT_REQUESTED, (0, 0, 9)),
        (AsyncEvent.CONNECTION_DROPPED, (0, 7, 0)),
        (AsyncEvent.ALL_CONNECTIONS_DROPPED, (0, 7, 0)),
    ],
)
def test_announcements(event: AsyncEvent, parameters: tuple[int, int, int]) -> None:
    """Parameters: the connection, Time2Wait, and Time2Retain or the seconds to log out."""
    link = session(keys={"DefaultTime2Wait": "7"})
    link.target.announce(event, seconds=9)
    link.run()
    message = link.initiator.replies[-1].header
    assert isinstance(message, AsyncMessage)
    assert message.event == event
    assert (message.parameter1, message.parameter2, message.parameter3) == parameters
    assert message.initiator_task_tag == RESERVED_TAG
    link.initiator.nop()
    link.run()
    assert link.initiator.replies[-1].header.stat_sn == message.stat_sn + 1


def test_an_announcement_overtakes_data() -> None:
    link = session()
    task = link.deliver(link.initiator.command(b"\x28" + bytes(15), read=512))
    link.target.complete(task, status=GOOD, data_in=bytes(512), transfer_wanted=512)
    link.target.announce(AsyncEvent.ALL_CONNECTIONS_DROPPED)
    link.run()
    assert isinstance(link.initiator.replies[-2].header, AsyncMessage)


@pytest.mark.parametrize("event", [AsyncEvent.SCSI_EVENT, AsyncEvent.NEGOTIATION_REQUESTED])
def test_what_is_not_announced(event: AsyncEvent) -> None:
    with pytest.raises(ValueError, match="not announced"):
        session().target.announce(event)


# -- what is rejected ---------------------------------------------------------------------------------

COMMAND = ScsiCommand(initiator_task_tag=50, cmd_sn=1, cdb=bytes(16))
REJECTED: list[tuple[Structure, bytes, RejectReason]] = [
    (SnackRequest(initiator_task_tag=50), b"", RejectReason.SNACK_REJECT),
    (BasicHeader(opcode=0x1C, initiator_task_tag=50), b"data", RejectReason.COMMAND_NOT_SUPPORTED),
    (BasicHeader(opcode=0x3F, initiator_task_tag=50), b"", RejectReason.COMMAND_NOT_SUPPORTED),
    (LoginRequest(cmd_sn=1), b"", RejectReason.PROTOCOL_ERROR),
    (COMMAND.replace(initiator_task_tag=RESERVED_TAG), b"", RejectReason.INVALID_PDU_FIELD),
    (COMMAND.replace(attribute=5), b"", RejectReason.INVALID_PDU_FIELD),
    (COMMAND.replace(read=True), b"data", RejectReason.INVALID_PDU_FIELD),
    (COMMAND.replace(read=True, write=True), b"", RejectReason.COMMAND_NOT_SUPPORTED),
]


@pytest.mark.parametrize(("header", "data", "reason"), REJECTED)
def test_rejects(header: Structure, data: bytes, reason: RejectReason) -> None:
    link = session()
    sent = pdu(header, data)
    link.initiator._output += sent
    assert link.run() == []
    (reject,) = link.initiator.rejects
    assert reject.header.reason == reason
    assert reject.data == sent[:48]
    link.initiator.cmd_sn = reject.header.exp_cmd_sn
    link.deliver(link.initiator.command(TEST_UNIT_READY))


def test_a_tag_in_use() -> None:
    link = session()
    task = link.deliver(link.initiator.command(TEST_UNIT_READY))
    link.initiator.command(TEST_UNIT_READY, initiator_task_tag=task.initiator_task_tag)
    assert link.run() == []
    (reject,) = link.initiator.rejects
    assert reject.header.reason == RejectReason.TASK_IN_PROGRESS
    link.target.complete(task, status=GOOD, transfer_wanted=0)
    link.run()
    assert link.initiator.outcomes[task.initiator_task_tag].status == GOOD


@pytest.mark.parametrize(
    "header",
    [
        COMMAND,
        TaskManagementRequest(immediate=False, function=1, initiator_task_tag=50, cmd_sn=1),
        DataOut(final=True, initiator_task_tag=50, data_sn=0, buffer_offset=0),
    ],
)
def test_a_discovery_session_is_for_text(header: Structure) -> None:
    link = Link(Initiator(None), target())
    link.log_in()
    link.initiator.send(header)
    assert link.run() == []
    (reject,) = link.initiator.rejects
    assert reject.header.reason == RejectReason.PROTOCOL_ERROR
    link.initiator.cmd_sn = reject.header.exp_cmd_sn
    link.initiator.text({"SendTargets": "All"})
    assert len(link.run()) == 1


# -- what a command carries ---------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", TaskAttribute)
def test_a_command_as_the_owner_sees_it(attribute: TaskAttribute) -> None:
    link = session()
    cdb, lun = bytes(range(1, 17)), bytes(range(8))
    tag = link.initiator.command(cdb, read=512, lun=lun, attribute=attribute)
    task = link.deliver(tag)
    assert (task.cdb, task.lun, task.attribute, task.expected_length) == (cdb, lun, attribute, 512)
    assert (task.read, task.write, task.immediate, task.aborted) == (True, False, False, False)


def test_an_extended_cdb() -> None:
    link = session()
    link.initiator.command(bytes(range(16)), ahs=b"\0\x11\x01\0" + bytes(range(16, 32)))
    assert link.deliver().cdb == bytes(range(32))


def test_an_extended_cdb_that_leaves_its_pdu() -> None:
    link = session()
    link.initiator.command(bytes(16), ahs=b"\0\xff\x01\0")
    assert "additional header" in link.failure().reason


# -- the door -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["complete", "ping", "request_logout", "finish_task_management"])
def test_nothing_is_sent_to_nobody(call: str) -> None:
    arguments: dict[str, tuple[Any, dict[str, Any]]] = {
        "complete": ((None,), {"status": 0, "transfer_wanted": 0}),
        "request_logout": ((1,), {}),
        "finish_task_management": ((None, 0), {}),
    }
    positional, named = arguments.get(call, ((), {}))
    with pytest.raises(ValueError, match="nobody is logged in"):
        getattr(target(), call)(*positional, **named)


def test_a_data_segment_that_is_too_long_ends_the_connection() -> None:
    link = session()
    task = link.deliver(link.initiator.command(TEST_UNIT_READY))
    link.initiator.nop(bytes(262145))
    assert isinstance(link.run()[-1], ProtocolFailure)
    assert task.aborted


def test_a_first_pdu_that_is_no_login() -> None:
    connection = target()
    (failure,) = connection.receive(pdu(NopOut(initiator_task_tag=1, cmd_sn=1)))
    assert failure == ProtocolFailure("the first PDU is no login request")
    assert connection.take_output() == []
