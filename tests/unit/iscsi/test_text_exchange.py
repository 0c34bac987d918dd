import pytest

from tests.support.initiator import Initiator, Reply, text_of
from tests.unit.iscsi.support import OTHER, TARGET, Directory, Link, random_bytes, session, target
from twinlock.iscsi import limits
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.events import Discovered, Event
from twinlock.wire.iscsi_codes import RESERVED_TAG, RejectReason
from twinlock.wire.iscsi_responses import TextResponse

PORTALS = b"TargetAddress=192.0.2.1:3260,1\0TargetAddress=[2001:db8::1]:3260,1\0"
OF_TARGET = b"TargetName=" + TARGET.encode() + b"\0" + PORTALS
OF_OTHER = b"TargetName=" + OTHER.encode() + b"\0" + PORTALS


def discovery(**keys: str) -> Link:
    link = Link(Initiator(None, keys=keys), target())
    link.log_in()
    return link


def ask(link: Link, keys: dict[str, str]) -> tuple[Reply, list[Event]]:
    link.initiator.text(keys)
    events = link.run()
    reply = link.initiator.replies[-1]
    assert isinstance(reply.header, TextResponse)
    return reply, events


@pytest.mark.parametrize(
    ("wanted", "answer", "names"),
    [
        ("All", OF_TARGET + OF_OTHER, (TARGET, OTHER)),
        (OTHER, OF_OTHER, (OTHER,)),
        ("iqn.unknown", b"", ()),
    ],
)
def test_discovery(wanted: str, answer: bytes, names: tuple[str, ...]) -> None:
    reply, events = ask(discovery(), {"SendTargets": wanted})
    assert reply.data == answer
    assert (reply.header.final, reply.header.target_transfer_tag) == (True, RESERVED_TAG)
    assert events == [Discovered("iqn.2026-11.example:initiator", names)]


def test_discovery_must_name_what_it_wants() -> None:
    reply, events = ask(discovery(), {"SendTargets": ""})
    assert (reply.data, events) == (b"SendTargets=Reject\0", [])


@pytest.mark.parametrize("wanted", ["", TARGET])
def test_a_normal_session_may_ask_for_its_own_target(wanted: str) -> None:
    reply, events = ask(session(), {"SendTargets": wanted})
    assert (reply.data, events) == (OF_TARGET, [])


@pytest.mark.parametrize("wanted", ["All", OTHER])
def test_a_normal_session_may_ask_for_nothing_else(wanted: str) -> None:
    assert ask(session(), {"SendTargets": wanted})[0].data == b"SendTargets=Reject\0"


def test_other_keys() -> None:
    link = session()
    reply, _ = ask(link, {"MaxBurstLength": "512", "X-odd": "1", "InitiatorAlias": "me"})
    assert reply.data == b"MaxBurstLength=Reject\0X-odd=NotUnderstood\0"


def test_a_new_segment_length_counts_at_once() -> None:
    link = session()
    ask(link, {"MaxRecvDataSegmentLength": "512"})
    link.initiator.nop(bytes(1000))
    link.run()
    assert len(link.initiator.replies[-1].data) == 512


class ManyTargets(Directory):
    """So many that they do not fit into one data segment."""

    def visible(self, _initiator_name: str, /) -> list[tuple[str, list[str]]]:
        return [(f"iqn.2026-11.io.twinlock:{number:04}", ["192.0.2.1:3260,1"]) for number in range(50)]


def test_an_answer_in_parts() -> None:
    connection = TargetConnection(ManyTargets(), random_bytes=random_bytes(), tsih=1)
    link = Link(Initiator(None, keys={"MaxRecvDataSegmentLength": "512"}), connection)
    link.log_in()
    reply, _ = ask(link, {"SendTargets": "All"})
    text, parts = reply.data, 1
    while reply.header.more:
        assert not reply.header.final
        assert len(reply.data) == 512
        link.initiator.text({}, target_transfer_tag=reply.header.target_transfer_tag)
        assert link.run() == []
        reply = link.initiator.replies[-1]
        text, parts = text + reply.data, parts + 1
    assert (reply.header.final, reply.header.target_transfer_tag) == (True, RESERVED_TAG)
    assert text.count(b"TargetName=") == 50
    assert parts > 5


def test_a_request_in_parts() -> None:
    link = discovery()
    link.initiator.text({}, final=False, more=True)
    link.initiator.take_output()
    link.initiator.cmd_sn -= 1
    whole = text_of({"SendTargets": "All"})
    tag, reply = RESERVED_TAG, None
    for start in range(0, len(whole), 5):
        part, last = whole[start : start + 5], start + 5 >= len(whole)
        header_fields = {"final": last, "more": not last, "target_transfer_tag": tag}
        link.initiator.text({}, **header_fields)
        request = bytearray(link.initiator.take_output())
        request[5:8] = len(part).to_bytes(3, "big")
        link.initiator._output += request + part + bytes(-len(part) % 4)
        link.run()
        reply = link.initiator.replies[-1]
        tag = reply.header.target_transfer_tag
        assert (reply.header.final, reply.header.more) == (last, False)
    assert reply is not None
    assert reply.data == OF_TARGET + OF_OTHER


def test_a_request_that_does_not_end() -> None:
    link = discovery()
    tag = RESERVED_TAG
    for _ in range(limits.NEGOTIATION_TEXT // 8000):
        link.initiator.text({"X": "x" * 7997}, final=False, more=True, target_transfer_tag=tag)
        assert link.run() == []
        tag = link.initiator.replies[-1].header.target_transfer_tag
    link.initiator.text({"X": "x" * 7997}, final=False, more=True, target_transfer_tag=tag)
    assert "too long" in link.failure().reason


def test_an_unknown_transfer_tag_is_rejected() -> None:
    link = discovery()
    link.initiator.text({"SendTargets": "All"}, target_transfer_tag=99)
    assert link.run() == []
    (reject,) = link.initiator.rejects
    assert reject.header.reason == RejectReason.INVALID_PDU_FIELD
    assert ask(link, {"SendTargets": OTHER})[0].data == OF_OTHER


def test_a_request_that_leaves_the_negotiation_open() -> None:
    link = session()
    link.initiator.text({"X-odd": "1"}, final=False)
    link.run()
    reply = link.initiator.replies[-1]
    assert (reply.header.final, reply.header.more) == (False, False)
    link.initiator.text({}, target_transfer_tag=reply.header.target_transfer_tag)
    link.run()
    assert link.initiator.replies[-1].header.final


def test_malformed_text_ends_the_connection() -> None:
    link = session()
    link.initiator.text({"no key": "at all"})
    assert "key=value" in link.failure().reason
