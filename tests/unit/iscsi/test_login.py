import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.initiator import Initiator, pdu, replies_in, text_of
from tests.unit.iscsi.support import TARGET
from twinlock.errors import ProtocolError
from twinlock.iscsi import limits
from twinlock.iscsi.login import FirstRequest, first_request, refuse
from twinlock.iscsi.session import SessionType
from twinlock.wire.iscsi_codes import LoginStatus
from twinlock.wire.iscsi_requests import LoginRequest, NopOut


def first_bytes(target_name: str | None = TARGET) -> bytes:
    initiator = Initiator(target_name)
    initiator.login()
    return initiator.take_output()


def peek(data: bytes) -> FirstRequest:
    request = first_request(data)
    assert request is not None
    return request


def test_a_normal_login() -> None:
    request = peek(first_bytes() + b"and more")
    assert request.initiator_name == "iqn.2026-11.example:initiator"
    assert request.target_name == TARGET
    assert request.session_type is SessionType.NORMAL
    assert request.isid == b"\x80\x00\x00\x00\x00\x01"


def test_a_discovery_login() -> None:
    request = peek(first_bytes(None))
    assert (request.target_name, request.session_type) == (None, SessionType.DISCOVERY)


def test_every_beginning_is_incomplete() -> None:
    data = first_bytes()
    assert [first_request(data[:length]) for length in range(len(data))] == [None] * len(data)


def test_a_text_that_goes_on_gives_what_is_whole() -> None:
    text = text_of({"InitiatorName": "iqn.a", "TargetName": TARGET})[:-10]
    request = peek(pdu(LoginRequest(more=True), text))
    assert (request.initiator_name, request.target_name) == ("iqn.a", None)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"G", id="another protocol"),
        pytest.param(pdu(NopOut(initiator_task_tag=1, cmd_sn=1)), id="another PDU"),
        pytest.param(pdu(LoginRequest(), bytes(limits.LOGIN_DATA_SEGMENT + 1))[:48], id="too long"),
        pytest.param(pdu(LoginRequest(), b"garbage"), id="no text"),
        pytest.param(pdu(LoginRequest(), b"A=1\0A=2\0"), id="twice"),
        pytest.param(pdu(LoginRequest(), b"A=1\0" * (limits.TEXT_KEYS + 1)), id="too many keys"),
        pytest.param(pdu(LoginRequest(), b"A=" + b"x" * (limits.TEXT_VALUE + 1)), id="too long a value"),
    ],
)
def test_what_is_no_login(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        first_request(data)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(data: bytes, begins_well: bool) -> None:
    if begins_well:
        data = b"\x43\x81\x00\x00\x00\x00\x00\x30" + data
    try:
        request = first_request(data)
    except ProtocolError:
        return
    assert request is None or isinstance(request, FirstRequest)


@pytest.mark.parametrize("status", [LoginStatus.TARGET_NOT_FOUND, LoginStatus.SERVICE_UNAVAILABLE, 0x0206])
def test_a_refusal(status: LoginStatus | int) -> None:
    (reply,), rest = replies_in(refuse(peek(first_bytes()), status))
    assert rest == b""
    assert (reply.header.status, reply.header.isid) == (status, b"\x80\x00\x00\x00\x00\x01")
    assert not reply.header.transit
    initiator = Initiator(TARGET)
    initiator.receive(refuse(peek(first_bytes()), status))
    assert (initiator.logged_in, initiator.login_status) == (False, status)
