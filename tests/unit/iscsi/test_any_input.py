"""Whatever comes, the target answers with events; how it is cut makes no difference."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.initiator import Digests, first_reply, pdu, replies_in, text_of
from tests.unit.iscsi.support import POLICY, TARGET, Numbers, target
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.events import (
    CommandReceived,
    Discovered,
    LoggedIn,
    LoggedOut,
    PingAnswered,
    ProtocolFailure,
    TaskManagementRequested,
)
from twinlock.iscsi.parameters import KEYS, Parameters
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import RESERVED_TAG
from twinlock.wire.iscsi_requests import REQUESTS, BasicHeader, LoginRequest

KINDS = (
    CommandReceived,
    Discovered,
    LoggedIn,
    LoggedOut,
    PingAnswered,
    ProtocolFailure,
    TaskManagementRequested,
)
NORMAL = {"InitiatorName": "iqn.a", "TargetName": TARGET}
PLAIN_LOGIN = pdu(
    LoginRequest(transit=True, current_stage=1, next_stage=3, cmd_sn=1),
    text_of(NORMAL | {"InitialR2T": "No", "MaxRecvDataSegmentLength": "512", "MaxBurstLength": "1024"}),
)
DISCOVERY_LOGIN = pdu(
    LoginRequest(transit=True, current_stage=1, next_stage=3, cmd_sn=1),
    text_of({"InitiatorName": "iqn.a", "SessionType": "Discovery"}),
)
DIGEST_LOGIN = pdu(
    LoginRequest(transit=True, current_stage=1, next_stage=3, cmd_sn=1),
    text_of(NORMAL | {"InitialR2T": "No", "HeaderDigest": "CRC32C", "DataDigest": "CRC32C,None"}),
)
SMALL = st.integers(0, 6)
NUMBERS = st.one_of(SMALL, st.sampled_from([100, 1024, 4096, 0x7FFFFFFF, RESERVED_TAG - 1, RESERVED_TAG]))
KEY_NAMES = [key.name for key in KEYS] + [
    "CHAP_A",
    "CHAP_N",
    "CHAP_R",
    "CHAP_I",
    "CHAP_C",
    "X-odd",
    "bad key",
]
VALUES = st.sampled_from(
    ["Yes", "No", "None", "CHAP", "CHAP,None", "5", "7,8", "4096", "0x00", "All", TARGET, "", "iqn.a"]
)
TEXTS = st.dictionaries(st.sampled_from(KEY_NAMES), VALUES, max_size=5).map(text_of)


def value_of(name: str, kind: str, size: int) -> st.SearchStrategy[Any]:
    """A value for a header's field; lengths are filled in with the data."""
    if kind == "flag":
        return st.booleans()
    if kind == "raw":
        return st.sampled_from([bytes(size), bytes(range(size))])
    if kind == "bits":
        return st.integers(0, 7)
    return NUMBERS.map(lambda number: number % (1 << 8 * size))


def header_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    fields = {
        name: value_of(name, field.kind, field.size)
        for name, field in kind.FIELDS.items()
        if name not in ("opcode", "total_ahs_length", "data_segment_length")
    }
    opcodes = (
        st.sampled_from([0x0B, 0x1C, 0x22, 0x3F])
        if kind is BasicHeader
        else st.just(kind.FIELDS["opcode"].default)
    )
    return st.builds(kind, opcode=opcodes, **fields)


HEADERS = st.one_of([header_of(kind) for kind in (*REQUESTS.values(), BasicHeader)])
DATA = st.one_of(st.just(b""), TEXTS, st.binary(max_size=40), st.integers(0, 3000).map(bytes))
AHS = st.one_of(st.just(b""), st.just(b"\0\5\1\0abcd"), st.binary(min_size=4, max_size=4))
PDUS = st.builds(pdu, HEADERS, DATA, AHS)
PDUS_WITH_DIGESTS = st.builds(pdu, HEADERS, DATA, AHS, st.just(Digests(header=True, data=True)))
OPENINGS = st.sampled_from([b"", PLAIN_LOGIN, DISCOVERY_LOGIN])
STREAMS = st.one_of(
    st.binary(max_size=400),
    st.builds(lambda opening, rest: opening + rest, OPENINGS, st.binary(max_size=400)),
    st.builds(lambda opening, pdus: opening + b"".join(pdus), OPENINGS, st.lists(PDUS, max_size=8)),
)


def connection(policy: Any) -> TargetConnection:
    return target(policy, preferences=Parameters(initial_r2t=False, max_outstanding_r2t=3))


def comparable(event: Any) -> Any:
    """Tasks are equal only to themselves; what is in them can be compared."""
    if isinstance(event, CommandReceived):
        task = event.task
        return (
            task.initiator_task_tag,
            task.lun,
            task.cdb,
            bytes(task.data_out),
            task.expected_length,
            task.immediate,
        )
    if isinstance(event, TaskManagementRequested):
        return event.function, event.lun, [task.initiator_task_tag for task in event.tasks]
    return event


def run(stream: bytes, step: int, policy: Any) -> tuple[list[Any], bytes]:
    """All events and all output, with the stream fed in pieces of ``step`` bytes."""
    end = connection(policy)
    events = [event for at in range(0, len(stream), step) for event in end.receive(stream[at : at + step])]
    assert all(isinstance(event, KINDS) for event in events)
    last = [isinstance(event, ProtocolFailure | LoggedOut) for event in events]
    assert not any(last[:-1])
    return [comparable(event) for event in events], b"".join(bytes(buffer) for buffer in end.take_output())


@settings(max_examples=250, deadline=None)
@given(STREAMS, st.sampled_from([None, POLICY]))
def test_any_stream_whole_and_byte_by_byte(stream: bytes, policy: Any) -> None:
    events, output = run(stream, 1 << 30, policy)
    assert run(stream, 1, policy) == (events, output)
    replies, rest = replies_in(output)
    assert rest == b""
    assert len(replies) < 200


DIGESTS = Digests(header=True, data=True)
SPOILED = st.tuples(PDUS_WITH_DIGESTS, st.integers(0, 40), st.integers(0, 1 << 16))


@settings(max_examples=120, deadline=None)
@given(st.lists(SPOILED, max_size=6))
def test_any_stream_with_digests(pdus: list[tuple[bytes, int, int]]) -> None:
    """Most PDUs are whole, some have a byte changed."""
    stream = bytearray(DIGEST_LOGIN)
    for packet, spoil, position in pdus:
        spoiled = bytearray(packet)
        if spoil == 0:
            spoiled[position % len(spoiled)] ^= 1
        stream += spoiled
    events, output = run(bytes(stream), 1 << 30, None)
    assert run(bytes(stream), 1, None) == (events, output)
    found = first_reply(output)
    assert found is not None
    _, rest = replies_in(found[1], DIGESTS)
    assert rest == b""


@settings(max_examples=120, deadline=None)
@given(st.lists(PDUS, max_size=12), st.data())
def test_an_owner_that_answers_at_any_time(pdus: list[bytes], data: st.DataObject) -> None:
    """Numbers on the wire stay right whatever is completed when."""
    end = connection(None)
    open_tasks: list[Task] = []
    output = bytearray()
    for packet in [PLAIN_LOGIN, *pdus]:
        for event in end.receive(packet):
            if isinstance(event, CommandReceived):
                open_tasks.append(event.task)
            elif isinstance(event, TaskManagementRequested):
                end.finish_task_management(event, 0)
        if data.draw(st.integers(0, 5)) == 0:
            open_tasks += received(end, end.abort_tasks(lambda task: task.initiator_task_tag % 2 == 0))
        for _ in range(data.draw(st.integers(0, len(open_tasks)))):
            task = open_tasks.pop(data.draw(st.integers(0, len(open_tasks) - 1)))
            size = data.draw(st.integers(0, 3000))
            end.complete(task, status=0, data_in=bytes(size), transfer_wanted=size)
            open_tasks += received(end)
        output += b"".join(bytes(buffer) for buffer in end.take_output(data.draw(st.integers(0, 2000))))
    output += b"".join(bytes(buffer) for buffer in end.take_output())
    replies, rest = replies_in(bytes(output))
    assert rest == b""
    check_numbers([reply.header for reply in replies])


def received(end: TargetConnection, _aborted: object = None) -> list[Task]:
    """The tasks that another call than receive brought about."""
    return [event.task for event in end.take_events() if isinstance(event, CommandReceived)]


def check_numbers(headers: list[Any]) -> None:
    numbers = Numbers(headers[0])
    for header in headers:
        numbers.check(header)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3), TEXTS), max_size=6))
def test_any_login_against_chap(requests: list[tuple[bool, int, int, bytes]]) -> None:
    """No sequence of login requests gets in without the secret."""
    end = connection(POLICY)
    for transit, stage, following, text in requests:
        header = LoginRequest(transit=transit, current_stage=stage, next_stage=following, cmd_sn=1)
        events = end.receive(pdu(header, text_of(NORMAL) + text))
        assert not any(isinstance(event, LoggedIn) for event in events)


def test_the_openings_do_open() -> None:
    for opening in (PLAIN_LOGIN, DISCOVERY_LOGIN, DIGEST_LOGIN):
        (event,) = connection(None).receive(opening)
        assert isinstance(event, LoggedIn)
