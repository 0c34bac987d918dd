"""TransportIDs, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.scsi.nexus import Nexus
from twinlock.scsi.reservations.transport_ids import (
    BadTransportId,
    Truncated,
    parse_transport_ids,
    transport_id,
)

PORT = Nexus("iqn.2026-11.test:a", bytes.fromhex("00023d000001"))
BYTES = bytes.fromhex("4500 0024") + b"iqn.2026-11.test:a,i,0x00023d000001" + bytes(1)


def parsed(data: bytes) -> list[Nexus]:
    return list(parse_transport_ids(data))


def test_a_port() -> None:
    assert transport_id(PORT) == BYTES
    assert parsed(BYTES) == [PORT]


def test_a_short_name_is_padded_to_twenty_bytes() -> None:
    short = Nexus("x", bytes(6))
    assert transport_id(short) == bytes.fromhex("4500 0014") + b"x,i,0x000000000000" + bytes(2)


@given(
    st.lists(
        st.builds(
            Nexus, st.from_regex(r"[a-z0-9.:-]{1,223}", fullmatch=True), st.binary(min_size=6, max_size=6)
        )
    )
)
def test_there_and_back(nexuses: list[Nexus]) -> None:
    assert parsed(b"".join(map(transport_id, nexuses))) == nexuses


@pytest.mark.parametrize("length", range(1, len(BYTES)))
def test_one_that_is_cut_short(length: int) -> None:
    with pytest.raises(Truncated):
        parsed(BYTES[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"\x05" + BYTES[1:],  # a device, not a port
        b"\x46" + BYTES[1:],  # another transport
        bytes.fromhex("4500 0010") + b"x,i,0x0000000000",  # below twenty bytes
        bytes.fromhex("4500 0015") + b"x,i,0x000000000000" + bytes(3),  # no multiple of four
        bytes.fromhex("4500 0014") + b"xyz,i,0x000000000000",  # not ended
        bytes.fromhex("4500 0014") + b"x,i,0x00000000000z" + bytes(2),
        bytes.fromhex("4500 0014") + b"x,i,0x0000000000" + bytes(4),  # an ISID too short
        bytes.fromhex("4500 0014") + b"x,i,0x00 00 00 00 " + bytes(2),  # blanks instead of digits
        bytes.fromhex("4500 0014") + b",i,0x000000000000" + bytes(3),  # no name
        bytes.fromhex("4500 0014") + b"iqn.2026-11.test:a" + bytes(2),  # no ISID
        bytes.fromhex("4500 0014") + b"\xff,i,0x000000000000" + bytes(2),  # no text
        bytes.fromhex("4500 0018") + b"x,i,0x000000000000" + b"\0\0\0\0\0x",  # padding that is none
        bytes.fromhex("4500 00f4") + b"x" * 224 + b",i,0x000000000000" + bytes(3),  # a name too long
    ],
)
def test_what_names_no_port(data: bytes) -> None:
    with pytest.raises(BadTransportId):
        parsed(data)
