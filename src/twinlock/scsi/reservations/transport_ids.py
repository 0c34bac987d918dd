"""TransportIDs: how initiator ports are named in parameter lists (SPC-4 7.6.4.6, iSCSI)."""

import re
from collections.abc import Iterator

from twinlock.scsi.nexus import Nexus
from twinlock.wire.scsi_inquiry import PROTOCOL_ISCSI
from twinlock.wire.scsi_reservation import TransportIdFormat, TransportIdHeader
from twinlock.wire.structure import Malformed

_LEAST_NAME = 20
_SEPARATOR = ",i,0x"
_ISID = re.compile("[0-9A-Fa-f]{12}")
_LONGEST_NAME = 223
"""Bytes of an iSCSI name (RFC 7143 section 4.2.7.1)."""


class BadTransportId(ValueError):
    """The bytes name no initiator port of this transport."""


class Truncated(ValueError):
    """A TransportID is longer than the data it is in."""


def transport_id(nexus: Nexus) -> bytes:
    """The TransportID of the initiator port of ``nexus``."""
    name = nexus.port_name.encode() + b"\0"
    name = name.ljust(_LEAST_NAME, b"\0")
    name += bytes(-len(name) % 4)
    header = TransportIdHeader(
        format_code=TransportIdFormat.PORT, protocol=PROTOCOL_ISCSI, additional_length=len(name)
    )
    return header.build() + name


def parse_transport_ids(data: bytes) -> Iterator[Nexus]:
    """The ports that ``data``, a row of TransportIDs, names.

    Raises :class:`Truncated` or :class:`BadTransportId`.  Those of format 00b
    name a device and none of its ports: what SPC-4 leaves open is refused.
    """
    while data:
        try:
            header = TransportIdHeader.parse(data)
        except Malformed:
            raise Truncated from None
        end = TransportIdHeader.SIZE + header.additional_length
        if end > len(data):
            raise Truncated
        if header.protocol != PROTOCOL_ISCSI or header.format_code != TransportIdFormat.PORT:
            raise BadTransportId
        yield _port(data[TransportIdHeader.SIZE : end])
        data = data[end:]


def _port(field: bytes) -> Nexus:
    text, ended, padding = field.partition(b"\0")
    if len(field) < _LEAST_NAME or len(field) % 4 or not ended or any(padding):
        raise BadTransportId
    try:
        name, _, digits = text.decode().partition(_SEPARATOR)
    except ValueError:
        raise BadTransportId from None
    if not name or len(name.encode()) > _LONGEST_NAME or not _ISID.fullmatch(digits):
        raise BadTransportId
    return Nexus(name, bytes.fromhex(digits))
