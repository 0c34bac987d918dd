"""What a PDU suffers on its way: a field, a length, a bit, its data, its place."""

from collections.abc import Callable

from tests.fuzz.choices import Choices, table
from tests.fuzz.streams import Digests, RawPdu, assemble, assemble_as_is
from twinlock.wire.iscsi_requests import REQUESTS, BasicHeader

Mutation = Callable[[Choices, RawPdu, Digests], bytes]


def _with(pdu: RawPdu, header: bytes) -> RawPdu:
    return RawPdu(header, pdu.data, pdu.ahs)


def _field(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    """A declared field says something else."""
    fields = REQUESTS.get(pdu.opcode, BasicHeader).FIELDS
    field = fields[choices.pick(tuple(fields))]
    header = bytearray(pdu.header)
    if field.kind in ("bits", "flag"):
        header[field.offset] ^= (choices.byte() & field.mask or 1) << field.shift
    else:
        end = field.offset + field.size
        header[field.offset : end] = choices.number(field.size).to_bytes(field.size, "big")
    return assemble(_with(pdu, bytes(header)), digests)


def _bit(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    """Any bit, reserved ones and lengths as well."""
    header = bytearray(pdu.header)
    header[choices.below(48)] ^= 1 << choices.below(8)
    return assemble_as_is(_with(pdu, bytes(header)), digests)


def _opcode(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    """Another opcode before the same fields."""
    return assemble(_with(pdu, bytes([choices.byte()]) + pdu.header[1:]), digests)


def _data_length(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    """DataSegmentLength does not suit the data, and what follows is read out of place."""
    length = choices.number(3).to_bytes(3, "big")
    return assemble_as_is(_with(pdu, pdu.header[:5] + length + pdu.header[8:]), digests)


def _other_data(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    data = choices.bytes(choices.pick((0, 1, 3, 48, 512, 513, 8192, 8196, len(pdu.data) + 1)))
    return assemble(RawPdu(pdu.header, data, pdu.ahs), digests)


def _cut_data(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    return assemble(RawPdu(pdu.header, pdu.data[: choices.below(len(pdu.data) + 1)], pdu.ahs), digests)


def _ahs(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    """Additional header segments: an extended CDB, a read length, or nonsense (section 11.2.2)."""
    length = choices.pick((5, 1, 0, 17, 200))
    body = length.to_bytes(2, "big") + bytes([choices.pick((1, 2, 0, 0xFF))])
    body += choices.bytes(max(0, length - 1 + choices.pick((0, 0, 0, 4))))
    return assemble(RawPdu(pdu.header, pdu.data, body + bytes(-len(body) % 4)), digests)


def _ahs_length(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    """TotalAHSLength without segments."""
    return assemble_as_is(_with(pdu, pdu.header[:4] + bytes([choices.byte()]) + pdu.header[5:]), digests)


def _digest(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    """A bit changes on the wire, behind the sender's back."""
    packet = bytearray(assemble(pdu, digests))
    packet[choices.below(len(packet))] ^= 1 << choices.below(8)
    return bytes(packet)


def _twice(_choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    return assemble(pdu, digests) * 2


def _lost(_choices: Choices, _pdu: RawPdu, _digests: Digests) -> bytes:
    return b""


def _cut(choices: Choices, pdu: RawPdu, digests: Digests) -> bytes:
    """The end never comes."""
    packet = assemble(pdu, digests)
    return packet[: choices.below(len(packet))]


MUTATIONS: tuple[Mutation, ...] = table(
    (12, _field),
    (4, _bit),
    (2, _opcode),
    (1, _data_length),
    (3, _other_data),
    (3, _cut_data),
    (3, _ahs),
    (1, _ahs_length),
    (1, _digest),
    (2, _twice),
    (2, _lost),
    (1, _cut),
)
