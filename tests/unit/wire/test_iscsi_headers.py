"""The declarations of the headers against what RFC 7143 draws, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.wire.iscsi_codes import Opcode
from twinlock.wire.iscsi_requests import BHS_SIZE, REQUESTS, DataOut, LoginRequest, ScsiCommand
from twinlock.wire.iscsi_responses import R2T, RESPONSES, AsyncMessage, DataIn, LoginResponse, ScsiResponse
from twinlock.wire.structure import Structure

ALL = REQUESTS | RESPONSES


def test_every_opcode_has_a_declaration() -> None:
    assert ALL.keys() == set(Opcode)


@pytest.mark.parametrize("opcode", ALL)
def test_headers_are_48_bytes_and_cite_their_section(opcode: int) -> None:
    assert ALL[opcode].SIZE == BHS_SIZE
    assert ALL[opcode].SECTION.startswith("RFC 7143 section 11.")
    assert ALL[opcode].FIELDS["opcode"].default == opcode


@given(st.sampled_from(sorted(ALL)), st.binary(min_size=BHS_SIZE, max_size=BHS_SIZE))
def test_any_bytes_parse_and_build_to_the_same(opcode: int, data: bytes) -> None:
    header = ALL[opcode].parse(data)
    assert ALL[opcode].parse(header.build()) == header


# Written down by hand from the figures of section 11: header, and its 48 bytes in groups of four.
DRAWN: list[tuple[Structure, str]] = [
    (
        ScsiCommand(
            immediate=True,
            final=True,
            read=True,
            write=False,
            attribute=2,
            data_segment_length=0x010203,
            lun=bytes([0, 5, 0, 0, 0, 0, 0, 0]),
            initiator_task_tag=0xA0A1A2A3,
            expected_data_transfer_length=0x1000,
            cmd_sn=0xB0B1B2B3,
            exp_stat_sn=0xC0C1C2C3,
            cdb=bytes(range(0x28, 0x38)),
        ),
        "41c20000 00010203 00050000 00000000 a0a1a2a3 00001000 b0b1b2b3 c0c1c2c3 "
        "28292a2b 2c2d2e2f 30313233 34353637",
    ),
    (
        ScsiResponse(
            overflow=True,
            status=2,
            data_segment_length=20,
            initiator_task_tag=1,
            stat_sn=2,
            exp_cmd_sn=3,
            max_cmd_sn=4,
            exp_data_sn=5,
            residual_count=6,
        ),
        "21840002 00000014 00000000 00000000 00000001 00000000 00000002 00000003 "
        "00000004 00000005 00000000 00000006",
    ),
    (
        DataOut(
            final=True, initiator_task_tag=1, target_transfer_tag=2, exp_stat_sn=3, data_sn=4, buffer_offset=5
        ),
        "05800000 00000000 00000000 00000000 00000001 00000002 00000000 00000003 "
        "00000000 00000004 00000005 00000000",
    ),
    (
        DataIn(
            final=True,
            underflow=True,
            status_present=True,
            data_segment_length=512,
            initiator_task_tag=1,
            stat_sn=2,
            exp_cmd_sn=3,
            max_cmd_sn=4,
            data_sn=5,
            buffer_offset=6,
            residual_count=7,
        ),
        "25830000 00000200 00000000 00000000 00000001 ffffffff 00000002 00000003 "
        "00000004 00000005 00000006 00000007",
    ),
    (
        R2T(
            initiator_task_tag=1,
            target_transfer_tag=2,
            stat_sn=3,
            exp_cmd_sn=4,
            max_cmd_sn=5,
            r2t_sn=6,
            buffer_offset=7,
            desired_data_transfer_length=8,
        ),
        "31800000 00000000 00000000 00000000 00000001 00000002 00000003 00000004 "
        "00000005 00000006 00000007 00000008",
    ),
    (
        LoginRequest(
            transit=True,
            more=False,
            current_stage=1,
            next_stage=3,
            isid=bytes.fromhex("400001370000"),
            tsih=0x1122,
            initiator_task_tag=0x33445566,
            cid=0x7788,
            cmd_sn=1,
            exp_stat_sn=2,
        ),
        "43870000 00000000 40000137 00001122 33445566 77880000 00000001 00000002 "
        "00000000 00000000 00000000 00000000",
    ),
    (
        LoginResponse(
            current_stage=1,
            isid=bytes.fromhex("400001370000"),
            tsih=5,
            initiator_task_tag=1,
            stat_sn=2,
            exp_cmd_sn=3,
            max_cmd_sn=4,
            status=0x0301,
        ),
        "23040000 00000000 40000137 00000005 00000001 00000000 00000002 00000003 "
        "00000004 03010000 00000000 00000000",
    ),
    (
        AsyncMessage(
            stat_sn=2, exp_cmd_sn=3, max_cmd_sn=4, event=1, parameter1=5, parameter2=6, parameter3=7
        ),
        "32800000 00000000 00000000 00000000 ffffffff 00000000 00000002 00000003 "
        "00000004 01000005 00060007 00000000",
    ),
]


@pytest.mark.parametrize(("header", "drawn"), DRAWN, ids=lambda value: type(value).__name__)
def test_fields_lie_where_the_standard_draws_them(header: Structure, drawn: str) -> None:
    assert header.build().hex() == drawn.replace(" ", "")
    assert type(header).parse(bytes.fromhex(drawn)) == header
