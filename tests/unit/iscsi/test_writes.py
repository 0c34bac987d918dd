"""Writes: immediate, unsolicited and solicited data, and what can go wrong with them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.initiator import Initiator
from tests.unit.iscsi.support import CHECK_CONDITION, GOOD, TARGET, Link, session, target
from twinlock.iscsi import limits
from twinlock.iscsi.events import CommandReceived
from twinlock.iscsi.parameters import PREFERENCES, Parameters
from twinlock.iscsi.write_fault import WriteFault
from twinlock.wire.iscsi_codes import RESERVED_TAG
from twinlock.wire.iscsi_requests import DataOut
from twinlock.wire.iscsi_responses import R2T

WRITE = b"\x2a" + bytes(15)
UNSOLICITED = Parameters(initial_r2t=False, max_outstanding_r2t=8)


def pattern(length: int) -> bytes:
    return bytes(index * 7 % 251 for index in range(length))


def r2ts(link: Link) -> list[tuple[int, int, int]]:
    """R2TSN, offset and length of all R2Ts so far."""
    headers = [reply.header for reply in link.initiator.replies if isinstance(reply.header, R2T)]
    return [(h.r2t_sn, h.buffer_offset, h.desired_data_transfer_length) for h in headers]


def fault(link: Link, tag: int) -> bytes:
    """Run, and expect the command to fail; its sense data."""
    assert link.run() == []
    outcome = link.initiator.outcomes[tag]
    assert (outcome.status, outcome.residual) == (CHECK_CONDITION, 0)
    assert outcome.sense[2] == 0x0B
    return outcome.sense


@pytest.mark.parametrize("length", [1, 3, 512, 4096, 65536])
def test_immediate_data_are_all(length: int) -> None:
    link = session()
    data = pattern(length)
    task = link.deliver(link.initiator.command(WRITE, write=data))
    assert bytes(task.data_out) == data
    assert (task.write, task.read, task.expected_length) == (True, False, length)
    assert r2ts(link) == []


def test_immediate_data_are_not_copied() -> None:
    link = session()
    link.initiator.command(WRITE, write=pattern(4096))
    sent = link.initiator.take_output()
    (event,) = link.target.receive(sent)
    assert isinstance(event, CommandReceived)
    assert isinstance(event.task.data_out, memoryview)
    assert event.task.data_out.obj is sent


def test_the_rest_is_solicited_in_bursts() -> None:
    link = session(keys={"MaxBurstLength": "8192", "FirstBurstLength": "4096"})
    data = pattern(30_000)
    task = link.deliver(link.initiator.command(WRITE, write=data))
    assert bytes(task.data_out) == data
    assert r2ts(link) == [(0, 4096, 8192), (1, 12288, 8192), (2, 20480, 8192), (3, 28672, 1328)]


def test_several_bursts_at_once() -> None:
    link = session(keys={"MaxBurstLength": "4096", "MaxOutstandingR2T": "3", "ImmediateData": "No"})
    link.initiator.answers_r2t = False
    tag = link.initiator.command(WRITE, write=pattern(20_000))
    assert link.run() == []
    assert r2ts(link) == [(0, 0, 4096), (1, 4096, 4096), (2, 8192, 4096)]
    first = next(reply.header for reply in link.initiator.replies if isinstance(reply.header, R2T))
    link.initiator.data_out(tag, first.target_transfer_tag, 0, 4096)
    link.run()
    assert r2ts(link)[3:] == [(3, 12288, 4096)]


@pytest.mark.parametrize("piece", [100, 512, 5000])
def test_bursts_in_small_pdus(piece: int) -> None:
    link = session(keys={"MaxBurstLength": "8192", "ImmediateData": "No"})
    link.initiator.data_out_length = piece
    data = pattern(20_000)
    assert bytes(link.deliver(link.initiator.command(WRITE, write=data)).data_out) == data


def test_exp_data_sn_counts_the_r2ts() -> None:
    link = session(keys={"MaxBurstLength": "4096", "ImmediateData": "No"})
    task = link.deliver(link.initiator.command(WRITE, write=pattern(10_000)))
    link.target.complete(task, status=GOOD, transfer_wanted=10_000)
    link.run()
    assert link.initiator.replies[-1].header.exp_data_sn == 3


@pytest.mark.parametrize(("in_command", "unsolicited"), [(0, 65536), (4096, 61440), (512, 512), (0, 20_000)])
def test_unsolicited_data(in_command: int, unsolicited: int) -> None:
    """With InitialR2T=No; as ESXi does, with immediate data and Data-Outs in one write."""
    link = session(preferences=UNSOLICITED)
    data = pattern(100_000)
    task = link.deliver(
        link.initiator.command(WRITE, write=data, in_command=in_command, unsolicited=unsolicited)
    )
    assert bytes(task.data_out) == data
    assert r2ts(link)[0][1] == in_command + unsolicited


def test_unsolicited_data_may_be_all() -> None:
    link = session(preferences=UNSOLICITED)
    task = link.deliver(link.initiator.command(WRITE, write=pattern(9000), in_command=1000, unsolicited=8000))
    assert bytes(task.data_out) == pattern(9000)
    assert r2ts(link) == []


def test_two_writes_whose_data_mingle() -> None:
    link = session(keys={"MaxBurstLength": "4096", "ImmediateData": "No"})
    first = link.initiator.command(WRITE, write=pattern(9000))
    second = link.initiator.command(WRITE, write=pattern(10_000)[::-1])
    tasks = {
        event.task.initiator_task_tag: event.task
        for event in link.run()
        if isinstance(event, CommandReceived)
    }
    assert bytes(tasks[first].data_out) == pattern(9000)
    assert bytes(tasks[second].data_out) == pattern(10_000)[::-1]


def test_a_write_of_nothing() -> None:
    link = session()
    link.initiator.command(WRITE, write=b"x", in_command=0, expected_data_transfer_length=0)
    assert link.deliver().data_out == b""


# -- faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "command", "expected"),
    [
        ({"keys": {"ImmediateData": "No"}}, {"in_command": 512}, WriteFault.UNEXPECTED_UNSOLICITED_DATA),
        ({}, {"in_command": 0, "unsolicited": 1024}, WriteFault.UNEXPECTED_UNSOLICITED_DATA),
        ({"keys": {"FirstBurstLength": "512"}}, {"in_command": 1024}, WriteFault.INCORRECT_AMOUNT_OF_DATA),
        ({}, {"expected_data_transfer_length": 1000}, WriteFault.INCORRECT_AMOUNT_OF_DATA),
        (
            {"preferences": UNSOLICITED, "keys": {"FirstBurstLength": "512"}},
            {"in_command": 0, "unsolicited": 1024},
            WriteFault.INCORRECT_AMOUNT_OF_DATA,
        ),
    ],
)
def test_too_much_too_soon(options: dict[str, Any], command: dict[str, Any], expected: WriteFault) -> None:
    link = session(**options)
    tag = link.initiator.command(WRITE, write=pattern(1024), **command)
    assert fault(link, tag)[12:14] == bytes(expected.value)


def solicited(**keys: str) -> tuple[Link, int, int]:
    """A write of 1024 bytes that has been asked for all of its data: link, its tag, the transfer tag."""
    link = session(keys={"ImmediateData": "No"} | keys)
    link.initiator.answers_r2t = False
    tag = link.initiator.command(WRITE, write=pattern(1024))
    assert link.run() == []
    return link, tag, link.initiator.replies[-1].header.target_transfer_tag


@pytest.mark.parametrize(
    ("change", "length", "expected"),
    [
        ({"data_sn": 27}, 1024, WriteFault.DATA_PHASE_ERROR),
        ({"data_sn": 0xFFFFFFFF}, 1024, WriteFault.DATA_PHASE_ERROR),
        ({"buffer_offset": 512}, 512, WriteFault.DATA_OFFSET_ERROR),
        ({"target_transfer_tag": 77}, 1024, WriteFault.INVALID_TARGET_PORT_TRANSFER_TAG),
        ({"target_transfer_tag": RESERVED_TAG}, 1024, WriteFault.UNEXPECTED_UNSOLICITED_DATA),
        ({}, 1025, WriteFault.INCORRECT_AMOUNT_OF_DATA),
        ({"final": True}, 512, WriteFault.INCORRECT_AMOUNT_OF_DATA),
    ],
)
def test_wrong_data_outs(change: dict[str, Any], length: int, expected: WriteFault) -> None:
    link, tag, transfer_tag = solicited()
    header = DataOut(
        final=True, initiator_task_tag=tag, target_transfer_tag=transfer_tag, data_sn=0, buffer_offset=0
    )
    link.initiator.send(header.replace(**change), bytes(length))
    assert fault(link, tag)[12:14] == bytes(expected.value)
    link.initiator.send(header, bytes(1024))  # data still under way are passed over
    assert link.run() == []
    assert link.initiator.rejects == []


@pytest.mark.parametrize("numbers", [(0, 0), (1, 0)])
def test_data_outs_in_the_wrong_order(numbers: tuple[int, int]) -> None:
    link, tag, transfer_tag = solicited()
    for data_sn, offset in zip(numbers, (0, 512), strict=True):
        header = DataOut(
            final=offset == 512,
            initiator_task_tag=tag,
            target_transfer_tag=transfer_tag,
            data_sn=data_sn,
            buffer_offset=offset,
        )
        link.initiator.send(header, bytes(512))
    assert fault(link, tag)[12:14] == bytes(WriteFault.DATA_PHASE_ERROR.value)


def test_data_outs_of_no_task_are_passed_over() -> None:
    link = session()
    link.initiator.send(DataOut(final=True, initiator_task_tag=99, data_sn=0, buffer_offset=0), b"late")
    assert link.run() == []
    assert link.initiator.replies[-1].header.opcode == 0x23  # nothing since the login


# -- bounds of memory ---------------------------------------------------------------------------------


def test_a_write_beyond_the_maximum_is_delivered_without_its_data() -> None:
    link = session(preferences=UNSOLICITED)
    tag = link.initiator.command(
        WRITE,
        write=pattern(2048),
        in_command=1024,
        unsolicited=1024,
        expected_data_transfer_length=limits.TRANSFER_LENGTH + 1,
    )
    task = link.deliver(tag)
    assert (task.data_withheld, task.data_out) == (True, b"")
    assert r2ts(link) == []
    link.target.complete(task, status=CHECK_CONDITION, sense=b"\x70", transfer_wanted=0)
    link.run()
    assert link.initiator.outcomes[tag].residual == -(limits.TRANSFER_LENGTH + 1)


def test_writes_wait_for_memory_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATHERED_DATA", 25_000)
    link = session(keys={"ImmediateData": "No"})
    tags = [link.initiator.command(WRITE, write=pattern(size)) for size in (10_000, 12_000, 10_000, 100)]
    first, second = (event.task for event in link.run() if isinstance(event, CommandReceived))
    assert [first.initiator_task_tag, second.initiator_task_tag] == tags[:2]
    link.target.complete(second, status=GOOD, transfer_wanted=12_000)
    assert [
        event.task.initiator_task_tag for event in link.run() if isinstance(event, CommandReceived)
    ] == tags[2:]


def test_a_write_larger_than_all_memory_still_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATHERED_DATA", 5_000)
    link = session(keys={"ImmediateData": "No"})
    assert len(bytes(link.deliver(link.initiator.command(WRITE, write=pattern(9000))).data_out)) == 9000


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 5000), min_size=1, max_size=5),
    first_burst=st.integers(512, 2000),
    max_burst=st.integers(2000, 4000),
    outstanding=st.integers(1, 4),
    immediate=st.booleans(),
    unsolicited=st.booleans(),
    piece=st.integers(1, 600),
    step=st.sampled_from([1, 97, 1 << 30]),
)
def test_every_way_to_write(
    lengths: list[int],
    first_burst: int,
    max_burst: int,
    outstanding: int,
    immediate: bool,
    unsolicited: bool,
    piece: int,
    step: int,
) -> None:
    keys = {
        "FirstBurstLength": str(first_burst),
        "MaxBurstLength": str(max_burst),
        "MaxOutstandingR2T": str(outstanding),
        "ImmediateData": "Yes" if immediate else "No",
        "InitialR2T": "No" if unsolicited else "Yes",
    }
    preferences = UNSOLICITED if unsolicited else PREFERENCES
    link = Link(Initiator(TARGET, keys=keys), target(preferences=preferences), step=step)
    link.log_in()
    link.initiator.data_out_length = piece
    sent = {}
    for length in lengths:
        data = pattern(length)
        in_command = min(length, first_burst, 700) if immediate else 0
        more = min(length, first_burst) - in_command if unsolicited else 0
        sent[link.initiator.command(WRITE, write=data, in_command=in_command, unsolicited=more)] = data
    tasks = [event.task for event in link.run() if isinstance(event, CommandReceived)]
    assert {task.initiator_task_tag: bytes(task.data_out) for task in tasks} == sent
    for task in tasks:
        link.target.complete(task, status=GOOD, transfer_wanted=task.expected_length)
    link.run()
    assert {outcome.status for outcome in link.initiator.outcomes.values()} == {GOOD}


def test_a_read_has_no_unsolicited_data_whatever_its_f_bit_says() -> None:
    link = session(keys={"InitialR2T": "Yes"})
    tag = link.initiator.command(bytes(16), read=8, final=False)
    assert not link.deliver(tag).write
