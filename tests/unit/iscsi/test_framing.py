import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.initiator import pdu
from twinlock.errors import ProtocolError
from twinlock.iscsi.framing import Pdu, PduReader
from twinlock.wire.iscsi_requests import BasicHeader, DataOut, NopOut, ScsiCommand
from twinlock.wire.structure import Structure

LIMIT = 4096


def nop(tag: int = 1) -> NopOut:
    return NopOut(initiator_task_tag=tag, cmd_sn=1)


def reader() -> PduReader:
    return PduReader(data_segment_limit=LIMIT)


def parts(pdus: list[Pdu]) -> list[tuple[Structure, bytes, bytes]]:
    return [(one.header, bytes(one.data), one.extended_cdb()) for one in pdus]


@given(st.lists(st.binary(max_size=70), max_size=6), st.lists(st.integers(0, 500), max_size=12))
def test_cuts_do_not_matter(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pdu(nop(tag), payload) for tag, payload in enumerate(payloads))
    whole = parts(list(reader().feed(stream)))
    assert [data for _, data, _ in whole] == payloads
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces, in_pieces = reader(), []
    for start, end in itertools.pairwise(edges):
        in_pieces += parts(list(pieces.feed(stream[start:end])))
    assert in_pieces == whole


def test_the_data_of_a_whole_pdu_are_not_copied() -> None:
    stream = pdu(nop(), bytes(100))
    (one,) = reader().feed(stream)
    assert one.data.obj is stream


@pytest.mark.parametrize("length", [LIMIT, LIMIT - 1])
def test_a_data_segment_within_the_limit(length: int) -> None:
    (one,) = reader().feed(pdu(nop(), bytes(length)))
    assert len(one.data) == length


@pytest.mark.parametrize("cut", [48, 1000])
def test_a_data_segment_beyond_the_limit_is_noticed_with_the_header(cut: int) -> None:
    with pytest.raises(ProtocolError, match="4097 bytes"):
        list(reader().feed(pdu(nop(), bytes(LIMIT + 1))[:cut]))


def test_the_limit_may_change_between_two_pdus() -> None:
    changing, sizes = reader(), []
    for one in changing.feed(pdu(nop(), bytes(8)) + pdu(nop(), bytes(LIMIT * 2))):
        sizes.append(len(one.data))
        changing.data_segment_limit = LIMIT * 2
    assert sizes == [8, LIMIT * 2]


def test_an_unknown_opcode_keeps_the_basic_header() -> None:
    (one,) = reader().feed(pdu(BasicHeader(opcode=0x1F, initiator_task_tag=9), b"abc"))
    assert isinstance(one.header, BasicHeader)
    assert (one.header.initiator_task_tag, bytes(one.data)) == (9, b"abc")
    assert one.basic_header[0] == 0x1F


def command(ahs: bytes) -> bytes:
    return pdu(ScsiCommand(initiator_task_tag=1, cmd_sn=1, write=True, cdb=bytes(16)), b"data", ahs)


def test_an_extended_cdb() -> None:
    extension = bytes(range(16))
    (one,) = reader().feed(command(b"\0\x11\x01\0" + extension))
    assert one.extended_cdb() == extension
    assert bytes(one.data) == b"data"


def test_an_extended_cdb_after_another_header() -> None:
    (one,) = reader().feed(command(b"\0\x05\x02\0\0\0\x10\0" + b"\0\x06\x01\0vwxyz\0\0\0"))
    assert one.extended_cdb() == b"vwxyz"


@pytest.mark.parametrize("ahs", [b"\0\0\x01\0", b"\0\x06\x01\0abcd", b"\xff\xff\x01\0abcd"])
def test_an_additional_header_that_leaves_its_pdu(ahs: bytes) -> None:
    (one,) = reader().feed(command(ahs))
    with pytest.raises(ProtocolError):
        one.extended_cdb()


def test_each_kind_of_header_is_parsed_as_such() -> None:
    header = DataOut(final=True, initiator_task_tag=1, data_sn=0, buffer_offset=0)
    (one,) = reader().feed(pdu(header))
    assert one.header == header
