"""The judge knows right from wrong: each rule, broken by hand."""

from collections.abc import Callable

import pytest

from tests.fuzz.oracle.judge import Judge
from tests.fuzz.oracle.rules import Broken
from tests.fuzz.streams import Digests, RawPdu, assemble, crc32c

ISID = bytes(6)
READ, WRITE, WINDOW = 0x40, 0x20, 128


def header(opcode: int, byte1: int, byte3: int = 0, **words: int) -> bytes:
    """A header by the offsets of its words: ``w16`` is the task tag, and so on."""
    built = bytearray(48)
    built[0], built[1], built[3] = opcode, byte1, byte3
    for name, value in words.items():
        offset = int(name[1:])
        built[offset : offset + 4] = (value & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(built)


def target(opcode: int, byte1: int = 0x80, byte3: int = 0, data: bytes = b"", **words: int) -> bytes:
    numbers = {"w28": 2, "w32": 2 + WINDOW}
    return assemble(RawPdu(header(opcode, byte1, byte3, **(numbers | words)), data))


def logged_in(keys: bytes = b"", answer: bytes = b"") -> Judge:
    """A judge that has seen a login; the next StatSN is 2, and CmdSN 1 was used."""
    judge = Judge()
    judge.sent(assemble(RawPdu(header(0x43, 0x87, w24=1), b"InitiatorName=iqn.a\0" + keys)))
    granted = bytearray(target(0x23, 0x87, data=answer, w24=1, w28=1, w32=WINDOW))
    granted[14:16] = b"\0\7"
    judge.received(bytes(granted))
    assert judge.logged_in
    return judge


def asked(byte1: int = READ, length: int = 1024, **options: bytes) -> Judge:
    """A judge that has seen a command with tag 5."""
    judge = logged_in(**options)
    judge.sent(assemble(RawPdu(header(0x01, 0x80 | byte1, w16=5, w20=length, w24=1)), judge.digests))
    return judge


def data_in(offset: int, size: int, data_sn: int, byte1: int = 0x80, **words: int) -> bytes:
    fields = {"w16": 5, "w20": -1, "w36": data_sn, "w40": offset} | words
    return target(0x25, byte1, 0, bytes(size), **fields)


def response(**words: int) -> bytes:
    fields = {"w16": 5, "w24": 2} | words
    return target(0x21, 0x80, 0, b"", **fields)


def hear(judge: Judge, packets: list[bytes]) -> None:
    for packet in packets:
        judge.received(packet)


GOOD_READ = [data_in(0, 512, 0, 0), data_in(512, 512, 1, 0x81, w24=2)]


def test_what_is_right_passes() -> None:
    judge = asked()
    for packet in GOOD_READ:
        judge.received(packet)
    assert judge.unanswered == 0
    judge = asked(WRITE)
    judge.received(target(0x31, w16=5, w20=7, w24=2, w40=0, w44=1024))
    judge.sent(assemble(RawPdu(header(0x05, 0x80, w16=5, w20=7), bytes(1024))))
    judge.received(response(w36=1))
    assert judge.unanswered == 0
    judge.ended()


@pytest.mark.parametrize(
    ("packets", "what"),
    [
        ([*GOOD_READ, response(w24=3)], "no task"),
        ([data_in(0, 512, 0, 0), data_in(0, 512, 1, 0)], "Data-In at 0"),
        ([data_in(0, 512, 0, 0), data_in(512, 512, 2, 0)], "DataSN 2"),
        ([data_in(0, 2048, 0, 0)], "more Data-In"),
        ([data_in(0, 1024, 0, 0x81, w24=3)], "StatSN 3"),
        ([data_in(0, 512, 0, 0x81, w24=2)], "512 bytes came"),
        ([data_in(0, 512, 0, 0x83, w24=2, w44=100)], "512 bytes came"),
        ([data_in(0, 512, 0, 0x87, w24=2, w44=512)], "overflow and underflow"),
        ([data_in(0, 1024, 0, 0x81, w24=2, w44=1)], "residual count and its flags"),
        ([data_in(0, 1024, 0, 0x01, w24=2)], "not final"),
        ([data_in(0, 1024, 0, 0), response(w36=1)], "was not final"),
        ([data_in(0, 1024, 0), response(w36=2)], "ExpDataSN"),
        ([data_in(0, 1024, 0, 0x80, w28=0)], "ExpCmdSN went back"),
        ([data_in(0, 1024, 0, 0x80, w28=3)], "never came"),
        ([data_in(0, 1024, 0, 0x80, w32=100), data_in(0, 1, 1, 0x80, w32=99)], "MaxCmdSN went back"),
        ([response(w16=6)], "no task"),
        ([target(0x21, 0x82, 0x02, w16=5, w24=2, w44=1024)], "without sense"),
        ([target(0x21, 0x82, 0x77, w16=5, w24=2, w44=1024)], "SCSI status"),
        ([target(0x31, w16=5, w20=7, w24=2, w44=512)], "R2T for no write"),
        ([target(0x20, w16=9, w24=2, w20=-1)], "nobody asked for"),
        ([target(0x22, w16=9, w24=2)], "nobody asked for"),
        ([target(0x3F, data=bytes(48), w16=-1, w24=2)], "reject reason"),
        ([target(0x26, w16=9, w24=2)], "nobody asked for"),
        ([target(0x01, w16=5)], "opcode 0x1"),
        ([target(0x23, 0x87, w24=2)], "after the login"),
        ([target(0x32, w16=-1, w24=2, w36=0x09000000)], "event"),
    ],
)
def test_what_is_wrong_with_a_read(packets: list[bytes], what: str) -> None:
    judge = asked()
    with pytest.raises(Broken, match=what):
        hear(judge, packets)


def r2t(offset: int, length: int, r2t_sn: int = 0, tag: int = 7) -> bytes:
    return target(0x31, w16=5, w20=tag, w24=2, w36=r2t_sn, w40=offset, w44=length)


@pytest.mark.parametrize(
    ("packets", "what"),
    [
        ([r2t(512, 1024)], "beyond the write's end"),
        ([r2t(0, 0)], "R2T for 0"),
        ([r2t(0, 512, tag=-1)], "not free"),
        ([r2t(0, 512, r2t_sn=1)], "R2TSN"),
        ([r2t(0, 256), r2t(512, 256, 1, 8)], "gap"),
        ([r2t(0, 256), r2t(256, 256, 1, 8)], "MaxOutstandingR2T"),
        ([response()], "whose data were not taken"),
    ],
)
def test_what_is_wrong_with_a_write(packets: list[bytes], what: str) -> None:
    judge = asked(WRITE)
    with pytest.raises(Broken, match=what):
        hear(judge, packets)


def test_limits_that_were_negotiated() -> None:
    judge = asked(length=2048, keys=b"MaxRecvDataSegmentLength=512\0")
    with pytest.raises(Broken, match="MaxRecvDataSegmentLength"):
        judge.received(data_in(0, 1024, 0, 0))
    judge = asked(length=2048, answer=b"MaxBurstLength=512\0")
    with pytest.raises(Broken, match="MaxBurstLength"):
        judge.received(data_in(0, 1024, 0, 0))


def test_nothing_comes_after_the_last_word() -> None:
    judge = logged_in()
    judge.sent(assemble(RawPdu(header(0x46, 0x80, w16=6, w24=1))))
    judge.received(target(0x26, w16=6, w24=2, w28=1))
    with pytest.raises(Broken, match="after the last"):
        judge.received(target(0x20, w16=-1, w20=3, w24=3, w28=1))


def test_an_end_inside_a_pdu() -> None:
    judge = asked()
    judge.received(GOOD_READ[0][:100])
    with pytest.raises(Broken, match="inside a PDU"):
        judge.ended()


def test_digests_that_are_wrong() -> None:
    judge = asked(answer=b"HeaderDigest=CRC32C\0")
    with pytest.raises(Broken, match="digest"):
        judge.received(assemble(RawPdu(header(0x20, 0x80, w16=-1, w24=2, w28=2, w32=129))) + b"bad!")


def test_the_digest_is_the_standards() -> None:
    assert crc32c(bytes(32)).hex() == "aa36918a"  # RFC 7143 appendix A.4
    assert crc32c(bytes(range(32))).hex() == "4e79dd46"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda login: login[:36] + b"\x07\x77" + login[38:], "login status"),
        (lambda login: login[:16] + b"\0\0\0\1" + login[20:], "task tag"),
        (lambda login: login[:8] + b"x" + login[9:], "ISID"),
        (lambda login: login[:1] + b"\x83" + login[2:], "another stage"),
        (lambda login: login[:14] + b"\0\0" + login[16:], "TSIH"),
        (lambda login: login + login, "after the login"),
    ],
)
def test_what_is_wrong_with_a_login(change: Callable[[bytes], bytes], what: str) -> None:
    judge = Judge()
    judge.sent(assemble(RawPdu(header(0x43, 0x87, w24=1), b"InitiatorName=iqn.a\0")))
    login = bytearray(target(0x23, 0x87, w24=1, w28=1, w32=WINDOW))
    login[14:16] = b"\0\7"
    with pytest.raises(Broken, match=what):
        judge.received(change(bytes(login)))


def test_pdus_with_digests_are_cut_as_they_were_made() -> None:
    judge = asked(answer=b"HeaderDigest=CRC32C\0DataDigest=CRC32C\0")
    pdu = RawPdu(header(0x25, 0x81, w16=5, w20=-1, w24=2, w28=1, w32=WINDOW), bytes(1024))
    assert judge.received(assemble(pdu, Digests(header=True, data=True))) != []
