"""Digests: published vectors, cuts anywhere, what a wrong one does, and when they begin."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.initiator import NO_DIGESTS, Digests, Initiator, pdu
from tests.unit.iscsi.support import CHECK_CONDITION, GOOD, TARGET, TEST_UNIT_READY, Link, session, target
from twinlock.errors import ProtocolError
from twinlock.iscsi import digest as ours
from twinlock.iscsi.events import CommandReceived, LoggedIn, ProtocolFailure
from twinlock.iscsi.framing import Pdu, PduReader
from twinlock.iscsi.parameters import Parameters
from twinlock.wire.iscsi_codes import LoginStatus, RejectReason, TaskManagementFunction
from twinlock.wire.iscsi_requests import DataOut, NopOut, ScsiCommand
from twinlock.wire.iscsi_responses import R2T, NopIn

READ_10 = bytes.fromhex(
    "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018"
    "28000000 00000000 02000000 00000000"
)
VECTORS = [
    pytest.param(bytes(32), "aa36918a", id="zeros"),
    pytest.param(b"\xff" * 32, "43aba862", id="ones"),
    pytest.param(bytes(range(32)), "4e79dd46", id="incrementing"),
    pytest.param(bytes(range(31, -1, -1)), "5cdb3f11", id="decrementing"),
    pytest.param(READ_10, "563a96d9", id="an iSCSI SCSI Read (10) command PDU"),
]
BOTH = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
WRITE, READ = b"\x2a" + bytes(15), b"\x28" + bytes(15)
KINDS = [Digests(True, False), Digests(False, True), Digests(True, True)]
UNSOLICITED = Parameters(initial_r2t=False, max_outstanding_r2t=8)


def pattern(length: int) -> bytes:
    return bytes(index * 13 % 241 for index in range(length))


def with_digests(**options: Any) -> Link:
    return session(keys=BOTH | options.pop("keys", {}), **options)


# -- the digest itself ------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "expected"), VECTORS)
@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(bytearray(data))])
def test_the_vectors_of_rfc_7143_appendix_a_4(data: bytes, expected: str, kind: Any) -> None:
    assert ours.digest(kind(data)).hex() == expected


@given(st.binary(max_size=70), st.integers(0, 70))
def test_padding_counts(data: bytes, cut: int) -> None:
    assert ours.digest(data[:cut], data[cut:]) == ours.digest(data)


# -- framing ----------------------------------------------------------------------------------------


def reader(digests: Digests = NO_DIGESTS) -> PduReader:
    cutter = PduReader(data_segment_limit=4096)
    cutter.digests = ours.Digests(digests.header, digests.data)
    return cutter


def parts(pdus: list[Pdu]) -> list[Any]:
    return [(one.header, bytes(one.data), one.extended_cdb(), one.intact) for one in pdus]


@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.binary(max_size=70), st.booleans()), max_size=6),
    st.lists(st.integers(0, 700), max_size=12),
)
def test_cuts_do_not_matter(digests: Digests, payloads: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    stream = b"".join(
        pdu(NopOut(initiator_task_tag=tag, cmd_sn=1), data, b"\0\5\1\0abcd" * has_ahs, digests)
        for tag, (data, has_ahs) in enumerate(payloads)
    )
    whole = parts(list(reader(digests).feed(stream)))
    assert [(data, intact) for _, data, _, intact in whole] == [(data, True) for data, _ in payloads]
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces, in_pieces = reader(digests), []
    for start, end in itertools.pairwise(edges):
        in_pieces += parts(list(pieces.feed(stream[start:end])))
    assert in_pieces == whole


def test_the_data_are_not_copied() -> None:
    stream = pdu(NopOut(initiator_task_tag=1, cmd_sn=1), bytes(4096), digests=Digests(True, True))
    (one,) = reader(Digests(True, True)).feed(stream)
    assert one.data.obj is stream


def feed_all(cutter: PduReader, pieces: list[bytes]) -> None:
    for piece in pieces:
        for _ in cutter.feed(piece):
            pass


@pytest.mark.parametrize("position", range(52))
@pytest.mark.parametrize("step", [1, 1 << 30])
def test_no_bit_of_a_header_changes_unnoticed(position: int, step: int) -> None:
    """Not even those of its length, and before any of the data is waited for."""
    header = NopOut(initiator_task_tag=1, cmd_sn=1)
    for bit in range(8):
        stream = bytearray(pdu(header, digests=Digests(True, True)))
        stream[position] ^= 1 << bit
        cutter = reader(Digests(True, True))
        fed = [bytes(stream[at : at + step]) for at in range(0, len(stream), step)]
        # A changed length of the additional headers moves the digest: then it is missed where it should be.
        fed.append(bytes(1024) if position == 4 else b"")
        with pytest.raises(ProtocolError, match="header digest"):
            feed_all(cutter, fed)


def test_no_bit_of_the_data_or_their_padding_changes_unnoticed() -> None:
    clean = pdu(NopOut(initiator_task_tag=1, cmd_sn=1), b"abcde", digests=Digests(False, True))
    for position in range(48, len(clean)):
        stream = bytearray(clean)
        stream[position] ^= 0x10
        (one,) = reader(Digests(False, True)).feed(stream)
        assert not one.intact


# -- when they begin ----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 1 << 30])
@pytest.mark.parametrize("header", ["CRC32C", "None"])
@pytest.mark.parametrize("data", ["CRC32C", "None"])
def test_they_begin_with_the_full_feature_phase(header: str, data: str, step: int) -> None:
    keys = {"HeaderDigest": header, "DataDigest": data, "MaxRecvDataSegmentLength": "1000"}
    link = Link(Initiator(TARGET, keys=keys), target(preferences=UNSOLICITED), step=step)
    parameters = link.log_in().parameters
    assert (parameters.header_digest, parameters.data_digest) == (header, data)
    assert link.initiator.digests == Digests(header == "CRC32C", data == "CRC32C")
    written = pattern(70_001)
    link.initiator.data_out_length = 5000
    tag = link.initiator.command(WRITE, write=written, in_command=1001, unsolicited=3000)
    task = link.deliver(tag)
    assert bytes(task.data_out) == written
    link.target.complete(task, status=GOOD, transfer_wanted=len(written))
    reading = link.initiator.command(READ, read=5003)
    link.target.complete(link.deliver(reading), status=GOOD, data_in=pattern(5003), transfer_wanted=5003)
    link.initiator.nop(b"ping!")
    link.run()
    assert link.initiator.outcomes[tag].status == GOOD
    assert link.initiator.outcomes[reading].data == pattern(5003)
    assert [reply.data for reply in link.initiator.replies if isinstance(reply.header, NopIn)] == [b"ping!"]


def test_the_first_pdu_may_come_with_the_last_of_the_login() -> None:
    initiator, connection = Initiator(TARGET, keys=BOTH), target()
    initiator.login()
    connection.receive(initiator.take_output())
    initiator.receive(b"".join(connection.take_output()))
    last = initiator.take_output()
    ahead = pdu(ScsiCommand(initiator_task_tag=9, cmd_sn=1, cdb=TEST_UNIT_READY), digests=Digests(True, True))
    logged_in, received = connection.receive(last + ahead)
    assert isinstance(logged_in, LoggedIn)
    assert isinstance(received, CommandReceived)
    connection.ping()
    initiator.receive(b"".join(bytes(part) for part in connection.take_output()))
    assert isinstance(initiator.replies[-1].header, NopIn)


def test_a_login_that_is_taken_back_has_none() -> None:
    link = Link(Initiator(TARGET, keys=BOTH), target())
    link.initiator.login()
    link.target.receive(link.initiator.take_output())
    link.initiator.receive(b"".join(link.target.take_output()))
    link.target.receive(link.initiator.take_output())
    link.target.refuse_session()
    link.initiator.receive(b"".join(link.target.take_output()))
    assert link.initiator.login_status is LoginStatus.TOO_MANY_CONNECTIONS


def test_data_that_are_sent_are_not_copied() -> None:
    link = with_digests()
    task = link.deliver(link.initiator.command(READ, read=4096))
    data = pattern(4096)
    link.target.complete(task, status=GOOD, data_in=data, transfer_wanted=4096)
    assert any(isinstance(part, memoryview) and part.obj is data for part in link.target.take_output())


def test_discovery_has_digests_too() -> None:
    link = Link(Initiator(None, keys=BOTH), target())
    link.log_in()
    link.initiator.text({"SendTargets": "All"})
    link.run()
    assert TARGET.encode() in link.initiator.replies[-1].data


# -- wrong ones ---------------------------------------------------------------------------------------


def spoil(link: Link, position: int = -1) -> None:
    """Change a byte of what the initiator has queued (the last of its data digest)."""
    link.initiator._output[position] ^= 1


def test_a_wrong_header_digest_ends_the_connection() -> None:
    link = with_digests()
    task = link.deliver(link.initiator.command(TEST_UNIT_READY))
    link.initiator.nop()
    spoil(link)
    assert link.failure() == ProtocolFailure("a header digest that is wrong")
    assert link.initiator.rejects == []
    assert task.aborted


@pytest.mark.parametrize("immediate", [True, False])
def test_a_ping_with_wrong_data(immediate: bool) -> None:
    """At level 0 nobody is bound to send a numbered PDU again, so without it the session cannot go on."""
    link = with_digests()
    link.initiator.nop(b"data", immediate=immediate)
    sent = bytes(link.initiator._output[:48])
    spoil(link)
    events = link.run()
    (reject,) = link.initiator.rejects
    assert (reject.header.reason, reject.data) == (RejectReason.DATA_DIGEST_ERROR, sent)
    if immediate:
        assert events == []
        link.initiator.nop(b"again")
        link.run()
        assert link.initiator.replies[-1].data == b"again"
    else:
        assert isinstance(events[-1], ProtocolFailure)


def test_a_command_with_wrong_immediate_data_is_never_delivered() -> None:
    link = with_digests()
    link.initiator.command(WRITE, write=pattern(512))
    spoil(link)
    (event,) = link.run()
    assert isinstance(event, ProtocolFailure)
    assert [reject.header.reason for reject in link.initiator.rejects] == [RejectReason.DATA_DIGEST_ERROR]


def wrong_piece(link: Link, tag: int, transfer_tag: int, start: int, end: int) -> None:
    link.initiator.take_output()
    link.initiator.data_out(tag, transfer_tag, start, end)
    spoil(link)


def crc_error(link: Link, tag: int) -> None:
    outcome = link.initiator.outcomes[tag]
    assert (outcome.status, outcome.residual) == (CHECK_CONDITION, 0)
    assert (outcome.sense[2], outcome.sense[12:14]) == (0x0B, b"\x47\x05")


def test_a_data_out_that_is_wrong() -> None:
    """Rejected at once; the write ends when all that was asked for has come (RFC 7143 section 7.8)."""
    link = with_digests(keys={"ImmediateData": "No", "MaxOutstandingR2T": "2", "MaxBurstLength": "1024"})
    link.initiator.answers_r2t = False
    tag = link.initiator.command(WRITE, write=pattern(4096))
    assert link.run() == []
    first, second = (reply.header for reply in link.initiator.replies if isinstance(reply.header, R2T))
    wrong_piece(link, tag, first.target_transfer_tag, 0, 1024)
    assert link.run() == []
    assert [reject.header.reason for reject in link.initiator.rejects] == [RejectReason.DATA_DIGEST_ERROR]
    assert link.initiator.outcomes[tag].status is None
    link.initiator.data_out(tag, second.target_transfer_tag, 1024, 2048)
    assert link.run() == []
    crc_error(link, tag)
    assert (
        sum(isinstance(reply.header, R2T) for reply in link.initiator.replies) == 2
    )  # nothing more was asked
    link.initiator.answers_r2t = True
    again = link.initiator.command(WRITE, write=pattern(4096))
    assert bytes(link.deliver(again).data_out) == pattern(4096)


def test_the_last_data_out_is_wrong() -> None:
    link = with_digests(keys={"ImmediateData": "No"})
    link.initiator.answers_r2t = False
    tag = link.initiator.command(WRITE, write=pattern(1024))
    link.run()
    wrong_piece(link, tag, link.initiator.replies[-1].header.target_transfer_tag, 0, 1024)
    assert link.run() == []
    crc_error(link, tag)


def test_unsolicited_data_that_are_wrong() -> None:
    link = with_digests(preferences=UNSOLICITED)
    tag = link.initiator.command(WRITE, write=pattern(9000), in_command=100, unsolicited=900)
    spoil(link)
    assert link.run() == []
    crc_error(link, tag)
    assert not any(isinstance(reply.header, R2T) for reply in link.initiator.replies)


def test_wrong_data_of_an_early_command() -> None:
    link = with_digests(preferences=UNSOLICITED)
    first = link.initiator.cmd_sn
    early = link.initiator.command(
        WRITE, write=pattern(200), in_command=50, unsolicited=150, cmd_sn=first + 1
    )
    spoil(link)
    assert link.run() == []
    link.initiator.cmd_sn = first
    link.deliver(link.initiator.command(TEST_UNIT_READY))
    crc_error(link, early)
    assert len(link.initiator.rejects) == 1


def test_an_abort_ends_the_wait_for_the_rest() -> None:
    link = with_digests(keys={"ImmediateData": "No", "MaxOutstandingR2T": "2", "MaxBurstLength": "1024"})
    link.initiator.answers_r2t = False
    tag = link.initiator.command(WRITE, write=pattern(4096))
    link.run()
    first = next(reply.header for reply in link.initiator.replies if isinstance(reply.header, R2T))
    wrong_piece(link, tag, first.target_transfer_tag, 0, 1024)
    link.run()
    link.initiator.task_management(TaskManagementFunction.ABORT_TASK, referenced_task_tag=tag)
    assert len(link.run()) == 1
    assert link.initiator.outcomes[tag].status is None


def test_wrong_data_of_no_task_are_rejected_all_the_same() -> None:
    link = with_digests()
    link.initiator.send(DataOut(final=True, initiator_task_tag=99, data_sn=0, buffer_offset=0), b"late")
    spoil(link)
    assert link.run() == []
    assert [reject.header.reason for reject in link.initiator.rejects] == [RejectReason.DATA_DIGEST_ERROR]


def test_an_immediate_command_with_wrong_data_is_forgotten() -> None:
    link = with_digests(preferences=UNSOLICITED)
    link.initiator.command(WRITE, write=pattern(200), in_command=200, immediate=True)
    spoil(link)
    assert link.run() == []
    assert len(link.initiator.rejects) == 1
    link.deliver(link.initiator.command(TEST_UNIT_READY))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_wrong_data_never_reach_the_owner(data: st.DataObject) -> None:
    """Whichever byte of a write's Data-Outs changes on the way."""
    link = with_digests(keys={"ImmediateData": "No", "MaxBurstLength": "1024"})
    link.initiator.data_out_length = 400
    tag = link.initiator.command(WRITE, write=pattern(3000))
    while True:
        sent = bytearray(link.initiator.take_output())
        if sent and sent[0] == 0x05 and data.draw(st.booleans()):
            sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        for event in link.target.receive(bytes(sent)):
            if isinstance(event, ProtocolFailure):
                return
            assert isinstance(event, CommandReceived)
            assert bytes(event.task.data_out) == pattern(3000)
        answer = b"".join(bytes(part) for part in link.target.take_output())
        if not sent and not answer:
            break
        link.initiator.receive(answer)
    assert link.initiator.outcomes[tag].status in (None, CHECK_CONDITION)
