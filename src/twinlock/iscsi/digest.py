"""Digests: the CRC32C that may follow the header and the data of a PDU (RFC 7143 sections 11.2.3 and 13.1).

They guard against what TCP's checksum misses; against malice they do nothing.
Both come into force with the first PDU of the full feature phase; login PDUs never have any.
"""

from dataclasses import dataclass

from crc32c import crc32c
from typing_extensions import Buffer

from twinlock.iscsi.parameters import Parameters

DIGEST_SIZE = 4
"""Bytes of a digest."""
CRC32C = "CRC32C"
"""The value of HeaderDigest and DataDigest that asks for one."""


@dataclass(frozen=True, slots=True)
class Digests:
    """Which parts of a PDU are followed by a digest."""

    header: bool = False
    data: bool = False

    @classmethod
    def agreed(cls, parameters: Parameters) -> "Digests":
        """As the negotiation left it."""
        agreed = cls(parameters.header_digest == CRC32C, parameters.data_digest == CRC32C)
        return NO_DIGESTS if agreed == NO_DIGESTS else agreed


NO_DIGESTS = Digests()


def digest(part: Buffer, padding: bytes = b"") -> bytes:
    """The digest of ``part`` and the ``padding`` after it, as it is sent: least significant byte first."""
    value = crc32c(part)
    return (crc32c(padding, value) if padding else value).to_bytes(DIGEST_SIZE, "little")
