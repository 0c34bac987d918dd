"""PDUs as the fuzzer sees them: cut out of a stream and put together by RFC 7143, not by the code under test.

Here only lengths and digests are known.  What a header says is read by offsets (sections 11.2 to 11.19), so
that a mistake in the declarations of ``twinlock.wire`` is a contradiction and not a shared belief.
"""

from dataclasses import dataclass, field

_BHS = 48
_POLYNOMIAL = 0x82F63B78


def _crc_row(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_CRC = [_crc_row(value) for value in range(256)]


def crc32c(data: bytes | bytearray) -> bytes:
    """The digest of section 13.1, in the order of bytes on the wire."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Digests:
    """Which digests the connection carries (section 13.1)."""

    header: bool = False
    data: bool = False


NO_DIGESTS = Digests()


@dataclass(frozen=True, slots=True)
class RawPdu:
    """A PDU of either direction."""

    header: bytes
    data: bytes = b""
    ahs: bytes = b""
    intact: bool = True
    """The digests, if there are any, are right."""

    @property
    def opcode(self) -> int:
        return self.header[0] & 0x3F

    @property
    def immediate(self) -> bool:
        return self.header[0] & 0x40 != 0

    @property
    def itt(self) -> int:
        return self.u32(16)

    def u32(self, offset: int) -> int:
        return int.from_bytes(self.header[offset : offset + 4], "big")

    def u16(self, offset: int) -> int:
        return int.from_bytes(self.header[offset : offset + 2], "big")

    def flag(self, bit: int) -> bool:
        """A bit of byte 1."""
        return self.header[1] >> bit & 1 != 0


@dataclass(slots=True)
class Splitter:
    """Cuts one direction into PDUs; ``digests`` may change between two of them."""

    digests: Digests = NO_DIGESTS
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        self._rest += data

    def next(self) -> RawPdu | None:
        """The next whole PDU."""
        rest, digests = self._rest, self.digests
        if len(rest) < _BHS:
            return None
        ahs_end = _BHS + 4 * rest[4]
        length = int.from_bytes(rest[5:8], "big")
        start = ahs_end + 4 * digests.header
        data_end = start + length + -length % 4
        end = data_end + 4 * (digests.data and length > 0)
        if len(rest) < end:
            return None
        intact = (not digests.header or rest[ahs_end:start] == crc32c(rest[:ahs_end])) and (
            data_end == end or rest[data_end:end] == crc32c(rest[start:data_end])
        )
        pdu = RawPdu(
            bytes(rest[:_BHS]), bytes(rest[start : start + length]), bytes(rest[_BHS:ahs_end]), intact
        )
        del rest[:end]
        return pdu

    @property
    def pending(self) -> int:
        """Bytes of a PDU that is not all there."""
        return len(self._rest)


def assemble(pdu: RawPdu, digests: Digests = NO_DIGESTS) -> bytes:
    """The bytes of a PDU, whose header has the right lengths put in."""
    header = bytearray(pdu.header)
    header[4] = len(pdu.ahs) // 4
    header[5:8] = len(pdu.data).to_bytes(3, "big")
    return assemble_as_is(RawPdu(bytes(header), pdu.data, pdu.ahs), digests)


def assemble_as_is(pdu: RawPdu, digests: Digests = NO_DIGESTS) -> bytes:
    """The bytes of a PDU whose header may say wrong lengths."""
    head = pdu.header + pdu.ahs
    body = pdu.data + bytes(-len(pdu.data) % 4)
    if digests.header:
        head += crc32c(head)
    if digests.data and body:
        body += crc32c(body)
    return head + body
