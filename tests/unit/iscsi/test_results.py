"""Reads and status: how data are cut up, residuals, sense, numbers."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.iscsi.support import CHECK_CONDITION, GOOD, TEST_UNIT_READY, Link, session
from twinlock.wire.iscsi_responses import DataIn, ScsiResponse

READ = b"\x28" + bytes(15)
WRITE = b"\x2a" + bytes(15)


def pattern(length: int) -> bytes:
    return bytes(index * 11 % 253 for index in range(length))


def data_ins(link: Link) -> list[tuple[Any, int]]:
    return [
        (reply.header, len(reply.data))
        for reply in link.initiator.replies
        if isinstance(reply.header, DataIn)
    ]


def test_a_small_read_is_one_pdu_with_status() -> None:
    link = session()
    tag = link.initiator.command(READ, read=4096)
    task = link.deliver(tag)
    data = pattern(4096)
    link.target.complete(task, status=GOOD, data_in=data, transfer_wanted=4096)
    header, sent = link.target.take_output()
    assert isinstance(sent, memoryview)
    assert sent.obj is data
    link.initiator.receive(bytes(header) + bytes(sent))
    ((only, _),) = data_ins(link)
    assert (only.final, only.status_present, only.data_sn, only.residual_count) == (True, True, 0, 0)
    assert link.initiator.outcomes[tag].data == data
    assert link.initiator.outcomes[tag].status == GOOD


def test_data_name_the_unit_as_the_command_did() -> None:
    """LUN 0 has two forms; whoever knows one may not recognise the other (RFC 7143 section 11.7.4)."""
    flat = b"\x40" + bytes(7)
    link = session()
    task = link.deliver(link.initiator.command(READ, read=512, lun=flat))
    assert task.lun == bytes(8)
    link.target.complete(task, status=GOOD, data_in=bytes(512), transfer_wanted=512)
    link.run()
    assert [header.lun for header, _ in data_ins(link)] == [flat]


def test_a_long_read_is_cut_by_segment_and_burst() -> None:
    link = session(keys={"MaxRecvDataSegmentLength": "1000", "MaxBurstLength": "2500"})
    task = link.deliver(link.initiator.command(READ, read=6000))
    link.target.complete(task, status=GOOD, data_in=pattern(6000), transfer_wanted=6000)
    link.run()
    cut = [(h.data_sn, h.buffer_offset, length, h.final, h.status_present) for h, length in data_ins(link)]
    assert cut == [
        (0, 0, 1000, False, False),
        (1, 1000, 1000, False, False),
        (2, 2000, 500, True, False),
        (3, 2500, 1000, False, False),
        (4, 3500, 1000, False, False),
        (5, 4500, 500, True, False),
        (6, 5000, 1000, True, True),
    ]


@pytest.mark.parametrize(
    ("expected", "wanted", "residual"),
    [
        (512, 512, 0),
        (0, 512, 512),
        (1024, 512, -512),
        (512, 1024, 512),
        (10_000, 512, -9488),
        (200, 512, 312),
    ],
)
def test_residuals_of_reads(expected: int, wanted: int, residual: int) -> None:
    link = session()
    tag = link.initiator.command(READ, read=1, expected_data_transfer_length=expected)
    link.target.complete(link.deliver(tag), status=GOOD, data_in=pattern(wanted), transfer_wanted=wanted)
    link.run()
    outcome = link.initiator.outcomes[tag]
    assert (outcome.status, outcome.residual) == (GOOD, residual)
    assert outcome.data == pattern(wanted)[:expected]


@pytest.mark.parametrize(
    ("expected", "wanted", "residual"), [(512, 512, 0), (1024, 512, -512), (512, 1024, 512), (200, 512, 312)]
)
def test_residuals_of_writes(expected: int, wanted: int, residual: int) -> None:
    link = session()
    tag = link.initiator.command(WRITE, write=pattern(expected))
    link.target.complete(link.deliver(tag), status=GOOD, transfer_wanted=wanted)
    link.run()
    assert link.initiator.outcomes[tag].residual == residual


def test_a_read_that_was_announced_as_a_write_gets_no_data() -> None:
    link = session()
    tag = link.initiator.command(READ, write=pattern(512))
    link.target.complete(link.deliver(tag), status=GOOD, data_in=pattern(512), transfer_wanted=512)
    link.run()
    assert link.initiator.outcomes[tag].status == GOOD
    assert link.initiator.outcomes[tag].data == b""


def test_a_length_without_a_direction_expects_nothing() -> None:
    link = session()
    link.initiator.command(TEST_UNIT_READY, expected_data_transfer_length=512)
    assert link.deliver().expected_length == 0


def test_an_error_has_sense_and_a_response_of_its_own() -> None:
    link = session()
    tag = link.initiator.command(READ, read=512)
    sense = bytes(range(18))
    link.target.complete(link.deliver(tag), status=CHECK_CONDITION, sense=sense, transfer_wanted=0)
    link.run()
    outcome = link.initiator.outcomes[tag]
    assert (outcome.status, outcome.sense, outcome.residual) == (CHECK_CONDITION, sense, -512)
    assert data_ins(link) == []


def test_data_before_an_error_are_sent_without_status() -> None:
    link = session()
    tag = link.initiator.command(READ, read=1024)
    link.target.complete(
        link.deliver(tag), status=CHECK_CONDITION, data_in=pattern(512), sense=b"\x70", transfer_wanted=512
    )
    link.run()
    ((only, _),) = data_ins(link)
    assert (only.final, only.status_present) == (True, False)
    response = link.initiator.replies[-1].header
    assert isinstance(response, ScsiResponse)
    assert response.exp_data_sn == 1
    assert link.initiator.outcomes[tag].data == pattern(512)


def test_completions_in_any_order_and_the_numbers_they_use() -> None:
    link = session()
    tags = [link.initiator.command(READ, read=8) for _ in range(3)]
    tasks = [event.task for event in link.run()]  # type: ignore[union-attr]
    for task in reversed(tasks):
        link.target.complete(task, status=GOOD, data_in=b"12345678", transfer_wanted=8)
    link.run()
    headers = [header for header, _ in data_ins(link)]
    assert [header.initiator_task_tag for header in headers] == tags[::-1]
    assert [header.stat_sn - headers[0].stat_sn for header in headers] == [0, 1, 2]


def test_a_task_ends_once() -> None:
    link = session()
    task = link.deliver(link.initiator.command(TEST_UNIT_READY))
    link.target.complete(task, status=GOOD, transfer_wanted=0)
    with pytest.raises(ValueError, match="answered"):
        link.target.complete(task, status=GOOD, transfer_wanted=0)


@settings(max_examples=60, deadline=None)
@given(
    expected=st.integers(0, 9000),
    available=st.integers(0, 9000),
    segment=st.integers(512, 3000),
    burst=st.integers(512, 5000),
)
def test_every_way_to_read(expected: int, available: int, segment: int, burst: int) -> None:
    link = session(keys={"MaxRecvDataSegmentLength": str(segment), "MaxBurstLength": str(burst)})
    tag = link.initiator.command(READ, read=1, expected_data_transfer_length=expected)
    data = pattern(available)
    link.target.complete(link.deliver(tag), status=GOOD, data_in=data, transfer_wanted=available)
    link.run()
    outcome = link.initiator.outcomes[tag]
    assert outcome.status == GOOD
    assert outcome.data == data[:expected]
    assert outcome.residual == available - expected
    in_burst = 0
    for number, (header, length) in enumerate(data_ins(link)):
        in_burst += length
        assert header.data_sn == number
        assert length <= segment
        assert in_burst <= burst
        if header.final:
            in_burst = 0
    assert in_burst == 0


def test_a_read_whose_cdb_is_a_write_underflows_by_all() -> None:
    link = session()
    tag = link.initiator.command(WRITE, read=4096)
    link.target.complete(link.deliver(tag), status=GOOD, transfer_wanted=8192)
    link.run()
    assert link.initiator.outcomes[tag].residual == -4096
