"""The first request of a login, read and refused without a connection object.

Whoever accepts connections peeks here to learn which target is meant, and
hands the socket on together with the bytes it has read.
"""

from dataclasses import dataclass

from typing_extensions import Buffer

from twinlock.errors import ProtocolError
from twinlock.iscsi import limits
from twinlock.iscsi.framing import Pdu, PduReader
from twinlock.iscsi.negotiation import unique
from twinlock.iscsi.session import SessionType
from twinlock.wire.iscsi_codes import LoginStatus
from twinlock.wire.iscsi_requests import LoginRequest
from twinlock.wire.iscsi_responses import LoginResponse
from twinlock.wire.iscsi_text import parse_pairs
from twinlock.wire.structure import Malformed


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """What a first login request says; names are None where it says nothing."""

    initiator_name: str | None
    target_name: str | None
    session_type: SessionType
    isid: bytes
    header: LoginRequest


def first_request(buffer: Buffer) -> FirstRequest | None:
    """The login request that ``buffer`` begins with, or None while it is incomplete.

    Raises :class:`ProtocolError` as soon as the bytes can be no login request within
    the limits of :mod:`twinlock.iscsi.limits`.
    """
    view = memoryview(buffer)
    if len(view) and view[0] & 0x3F != LoginRequest().opcode:
        raise ProtocolError("the first PDU is no login request")
    try:
        pdu = next(PduReader(data_segment_limit=limits.LOGIN_DATA_SEGMENT).feed(view), None)
        return None if pdu is None else _first_request(pdu)
    except Malformed as error:
        raise ProtocolError(str(error)) from error


def _first_request(pdu: Pdu) -> FirstRequest:
    header = pdu.header
    assert isinstance(header, LoginRequest)
    text = bytes(pdu.data)
    if header.more:  # the last key may be cut; those before it are whole
        text = text[: text.rfind(b"\0") + 1]
    keys = unique(parse_pairs(text, keys=limits.TEXT_KEYS, value_length=limits.TEXT_VALUE))
    discovery = keys.get("SessionType") == SessionType.DISCOVERY
    return FirstRequest(
        initiator_name=keys.get("InitiatorName"),
        target_name=keys.get("TargetName"),
        session_type=SessionType.DISCOVERY if discovery else SessionType.NORMAL,
        isid=header.isid,
        header=header,
    )


def refuse(request: FirstRequest, status: LoginStatus | int) -> bytes:
    """The login response that ends the login with ``status``."""
    header = request.header
    return LoginResponse(
        current_stage=header.current_stage,
        isid=header.isid,
        initiator_task_tag=header.initiator_task_tag,
        stat_sn=1,
        status=status,
    ).build()
