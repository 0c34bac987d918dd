"""Every bound of ``twinlock.iscsi.limits``: what lies at it is taken, one more is not."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.initiator import Initiator, pdu, text_of
from tests.unit.iscsi.support import POLICY, TARGET, TEST_UNIT_READY, Link, session, target
from tests.unit.iscsi.test_chap import proof
from twinlock.errors import ChapSecretUnusable, ProtocolError
from twinlock.iscsi import limits
from twinlock.iscsi.chap import ChapExchange, ChapPolicy, Secret
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.errors import LoginRefused
from twinlock.iscsi.events import CommandReceived, LoggedIn, ProtocolFailure
from twinlock.iscsi.login import first_request
from twinlock.iscsi.parameters import Parameters
from twinlock.wire import iscsi_text
from twinlock.wire.iscsi_codes import RejectReason
from twinlock.wire.iscsi_requests import LoginRequest
from twinlock.wire.iscsi_responses import R2T

NAMES = {"InitiatorName": "iqn.a", "TargetName": TARGET}
DISCOVERY = {"InitiatorName": "iqn.a", "SessionType": "Discovery"}
FINISH = LoginRequest(transit=True, current_stage=1, next_stage=3, cmd_sn=1)
WRITE = b"\x2a" + bytes(15)


def logs_in(text: bytes, connection: TargetConnection | None = None) -> bool:
    """Whether a login of one request succeeds; the same goes for whoever peeks at it."""
    request = pdu(FINISH, text)
    (event,) = (connection or target()).receive(request)
    assert isinstance(event, LoggedIn | ProtocolFailure)
    return isinstance(event, LoggedIn)


def peeked(text: bytes) -> bool:
    try:
        return first_request(pdu(FINISH, text)) is not None
    except ProtocolError:
        return False


# -- each by itself: whether an amount is taken -------------------------------------------------------


def login_data_segment(size: int) -> bool:
    text = text_of(NAMES).ljust(size, b"\0")
    assert peeked(text) is logs_in(text)
    return logs_in(text)


def discovery_data_segment(size: int) -> bool:
    link = Link(Initiator(None))
    link.log_in()
    link.initiator.nop(bytes(size))
    return link.run() == []


def negotiation_text(size: int) -> bool:
    text = text_of(NAMES).ljust(size, b"\0")
    pieces = [text[start : start + 8000] for start in range(0, size, 8000)]
    connection = target()
    for piece in pieces[:-1]:
        header = LoginRequest(current_stage=1, more=True, cmd_sn=1)
        assert connection.receive(pdu(header, piece)) == []
    return logs_in(pieces[-1], connection)


def login_rounds(count: int) -> bool:
    connection = target()
    for number in range(count - 1):
        header = LoginRequest(current_stage=1, cmd_sn=1)
        if connection.receive(pdu(header, b"" if number else text_of(NAMES))):
            return False
    return logs_in(b"", connection)


def text_keys(count: int) -> bool:
    text = text_of(NAMES | {f"X-{number}": "" for number in range(count - len(NAMES))})
    assert peeked(text) is logs_in(text)
    return logs_in(text)


def text_value(length: int) -> bool:
    text = text_of(NAMES | {"X-key": "v" * length})
    assert peeked(text) is logs_in(text)
    return logs_in(text)


def key_length(length: int) -> bool:
    return logs_in(text_of(NAMES | {"X" * length: "1"}))


def number_length(length: int) -> bool:
    link = Link(Initiator(TARGET, keys={"MaxBurstLength": "4096".rjust(length, "0")}))
    link.log_in()
    return link.initiator.negotiated["MaxBurstLength"] == "4096"


def name_length(length: int) -> bool:
    return logs_in(text_of(NAMES | {"InitiatorName": "iqn." + "a" * (length - 6) + "é"}))


def chap_challenge(length: int) -> bool:
    source = iter(range(1 << 20))
    chap = ChapExchange(POLICY, lambda size: bytes(next(source) % 256 for _ in range(size)))
    challenge = chap.answer({"CHAP_A": "7"})
    keys = {"CHAP_N": "owner", "CHAP_R": "0x" + proof(challenge).hex()}
    with contextlib.suppress(LoginRefused):
        chap.answer(keys | {"CHAP_I": "1", "CHAP_C": "0x" + b"c".hex() * length})
    return chap.done


def chap_secret(length: int) -> bool:
    try:
        ChapPolicy("owner", Secret("s" * length))
    except ChapSecretUnusable:
        return False
    return True


def receive_data_segment(size: int) -> bool:
    link = session()
    link.initiator.nop(bytes(size))
    return link.run() == []


def command_window(count: int) -> bool:
    link = session()
    for _ in range(count):
        link.initiator.command(TEST_UNIT_READY)
    return len(link.run()) == count


def immediate_tasks(count: int) -> bool:
    link = session()
    for _ in range(count):
        link.initiator.command(TEST_UNIT_READY, immediate=True)
    link.run()
    reasons = {reject.header.reason for reject in link.initiator.rejects}
    assert reasons <= {RejectReason.IMMEDIATE_COMMAND_REJECT}
    return not reasons


def transfer_length(size: int) -> bool:
    link = session(keys={"ImmediateData": "No"})
    link.initiator.answers_r2t = False
    link.initiator.command(WRITE, write=b"x", expected_data_transfer_length=size)
    (withheld,) = [
        event.task.data_withheld for event in link.run() if isinstance(event, CommandReceived)
    ] or [False]
    return not withheld


def gathered_data(size: int) -> bool:
    link = session(keys={"ImmediateData": "No"})
    link.initiator.answers_r2t = False
    half = limits.TRANSFER_LENGTH
    whole, rest = divmod(size, half)
    for length in [half] * whole + [rest] * (rest > 0):
        link.initiator.command(WRITE, write=b"x", expected_data_transfer_length=length)
    link.run()
    asked = {
        reply.header.initiator_task_tag for reply in link.initiator.replies if isinstance(reply.header, R2T)
    }
    return len(asked) == len(link.initiator.outcomes)


def early_data(size: int) -> bool:
    """Commands with their data, ahead of one that is missing."""
    link = session(preferences=Parameters(first_burst_length=1 << 18))
    link.initiator.keys["FirstBurstLength"] = str(1 << 18)
    chunk, cmd_sn = 1 << 17, 2
    while size:
        length = min(size, chunk) - 48 - (-size % 4)
        ahead = b"x" * length
        link.initiator.command(WRITE, write=ahead, in_command=length, cmd_sn=cmd_sn)
        cmd_sn += 1
        size -= min(size, chunk)
    return link.run() == []


CASES: list[tuple[str, int, Callable[[int], bool]]] = [
    ("LOGIN_DATA_SEGMENT", limits.LOGIN_DATA_SEGMENT, login_data_segment),
    ("LOGIN_DATA_SEGMENT", limits.LOGIN_DATA_SEGMENT, discovery_data_segment),
    ("NEGOTIATION_TEXT", limits.NEGOTIATION_TEXT, negotiation_text),
    ("LOGIN_ROUNDS", limits.LOGIN_ROUNDS, login_rounds),
    ("TEXT_KEYS", limits.TEXT_KEYS, text_keys),
    ("TEXT_VALUE", limits.TEXT_VALUE, text_value),
    ("KEY_LENGTH", iscsi_text.KEY_LENGTH, key_length),
    ("NUMBER_LENGTH", iscsi_text.NUMBER_LENGTH, number_length),
    ("NAME_LENGTH", limits.NAME_LENGTH, name_length),
    ("CHAP_CHALLENGE", limits.CHAP_CHALLENGE, chap_challenge),
    ("RECEIVE_DATA_SEGMENT", limits.RECEIVE_DATA_SEGMENT, receive_data_segment),
    ("COMMAND_WINDOW", limits.COMMAND_WINDOW, command_window),
    ("IMMEDIATE_TASKS", limits.IMMEDIATE_TASKS, immediate_tasks),
    ("TRANSFER_LENGTH", limits.TRANSFER_LENGTH, transfer_length),
    ("GATHERED_DATA", limits.GATHERED_DATA, gathered_data),
    ("EARLY_DATA", limits.EARLY_DATA, early_data),
]


@pytest.mark.parametrize(
    ("name", "limit", "takes"), CASES, ids=[f"{name}-{f.__name__}" for name, _, f in CASES]
)
def test_at_the_limit_and_beyond(name: str, limit: int, takes: Callable[[int], bool]) -> None:
    assert takes(limit)
    assert not takes(limit + 1), name


def test_a_secret_may_not_be_shorter() -> None:
    assert chap_secret(limits.CHAP_SECRET_MINIMUM)
    assert not chap_secret(limits.CHAP_SECRET_MINIMUM - 1)


def test_every_limit_is_here() -> None:
    named: set[str] = {name for name, _, _ in CASES} | {"CHAP_SECRET_MINIMUM"}
    own: dict[str, Any] = {name: value for name, value in vars(limits).items() if isinstance(value, int)}
    assert {name for name in own if name.isupper()} - {"KIB", "MIB"} <= named
